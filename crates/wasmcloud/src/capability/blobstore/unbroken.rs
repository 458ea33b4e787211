//! A writer that commits nothing once something went wrong, so that no backend has to remember it.

use async_trait::async_trait;
use bytes::Bytes;

use super::{BlobError, Writing};

/// The writer, until a write fails or nobody waits for its end. Then it is dropped, with what it has begun.
pub(super) struct Unbroken(Option<Box<dyn Writing>>);

impl Unbroken {
    pub(super) fn around(writing: impl Writing + 'static) -> Box<dyn Writing> {
        Box::new(Self(Some(Box::new(writing))))
    }

    fn take(&mut self) -> Result<Box<dyn Writing>, BlobError> {
        let broken = || BlobError::Unavailable("it could not be written".to_owned());
        self.0.take().ok_or_else(broken)
    }
}

#[async_trait]
impl Writing for Unbroken {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        let mut writing = self.take()?;
        writing.write(bytes).await?;
        self.0 = Some(writing);
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BlobError> {
        self.take()?.commit().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::Arc;

    use futures::FutureExt as _;

    use super::*;

    /// Takes single bytes, is never done with two, and refuses more. Holds something while it is there.
    struct Choosy(#[expect(dead_code, reason = "it is held")] Arc<()>);

    #[async_trait]
    impl Writing for Choosy {
        async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
            match bytes.len() {
                1 => Ok(()),
                2 => std::future::pending().await,
                _ => Err(BlobError::Quota("too much".to_owned())),
            }
        }

        async fn commit(self: Box<Self>) -> Result<(), BlobError> {
            Ok(())
        }
    }

    fn one() -> Bytes {
        Bytes::from_static(b"1")
    }

    #[tokio::test]
    async fn nothing_is_committed_after_a_write_that_failed_or_was_left() {
        let held = Arc::new(());
        let mut good = Unbroken::around(Choosy(Arc::clone(&held)));
        good.write(one()).await.unwrap();
        good.commit().await.unwrap();
        for bytes in ["22", "333"] {
            let mut writing = Unbroken::around(Choosy(Arc::clone(&held)));
            writing.write(one()).await.unwrap();
            let written = writing.write(bytes.into()).now_or_never();
            assert!(!matches!(written, Some(Ok(()))));
            assert_eq!(Arc::strong_count(&held), 1, "nothing is held any more");
            assert!(writing.write(one()).await.is_err());
            assert!(writing.commit().await.is_err());
        }
    }
}
