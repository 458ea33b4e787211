//! Contents on their way to a guest of WASI 0.2.

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use crate::capability::blobstore::{BlobError, Contents, Reading};
use crate::capability::budget::Room;

/// How much is given at once, to a guest that does not want a stream.
const MOST_AT_ONCE: u64 = 64 << 20;

/// Contents that a guest has asked for and not begun to read.
#[allow(unreachable_pub, reason = "the bindings name it publicly")]
pub struct Incoming(Reading);

impl Incoming {
    pub(super) fn new(reading: Reading) -> Self {
        Self(reading)
    }

    /// In bytes.
    pub(super) fn size(&self) -> u64 {
        self.0.length
    }

    /// All of it. It takes room until the guest has it.
    pub(super) async fn whole(self, mut room: Room) -> Result<Vec<u8>, BlobError> {
        let Reading {
            length,
            mut contents,
        } = self.0;
        if length > MOST_AT_ONCE {
            let told = format!("{length} bytes are too many at once; read them as a stream");
            return Err(BlobError::Quota(told));
        }
        room.grow(length).map_err(|full| {
            BlobError::Quota(format!(
                "there is no room for {length} bytes at once: at most {} bytes of values wait in the host; read them as a stream",
                full.most
            ))
        })?;
        // It does not grow, as there would be twice as much of it then.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut whole = Vec::with_capacity(length);
        while let Some(bytes) = contents.next().await {
            let bytes = bytes?;
            if bytes.len() > length.saturating_sub(whole.len()) {
                let told = "there is more of the object than was said";
                return Err(BlobError::Unavailable(told.to_owned()));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    pub(super) fn stream(self) -> Input {
        Input {
            contents: Some(self.0.contents),
            next: Ok(Bytes::new()),
        }
    }
}

/// The stream that the guest reads.
pub(super) struct Input {
    /// `None`: there is no more.
    contents: Option<Contents>,
    /// What the guest has not taken yet.
    next: Result<Bytes, BlobError>,
}

impl Input {
    fn is_empty(&self) -> bool {
        self.next.as_ref().is_ok_and(Bytes::is_empty)
    }

    /// Fetches what comes next, unless there is something.
    async fn fetch(&mut self) {
        while self.is_empty()
            && let Some(contents) = &mut self.contents
        {
            match contents.next().await {
                Some(next) => self.next = next,
                None => self.contents = None,
            }
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.fetch().await;
    }
}

impl InputStream for Input {
    fn read(&mut self, most: usize) -> StreamResult<Bytes> {
        if self.is_empty() {
            // A look, without waiting.
            let _ = self.fetch().now_or_never();
        }
        match &mut self.next {
            Ok(next) if next.is_empty() && self.contents.is_none() => Err(StreamError::Closed),
            Ok(next) => Ok(next.split_to(most.min(next.len()))),
            Err(error) => {
                let error = error.clone();
                (self.contents, self.next) = (None, Ok(Bytes::new()));
                Err(StreamError::LastOperationFailed(error.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use futures::stream;

    use super::*;
    use crate::capability::budget::Budget;

    /// An object of which so many bytes are told, and these pieces come; after them there is an end, or nothing.
    fn object(length: u64, pieces: &[usize], ends: bool) -> Incoming {
        let piece = |length: &usize| Ok(Bytes::from(vec![1; *length]));
        let pieces: Vec<Result<Bytes, BlobError>> = pieces.iter().map(piece).collect();
        let come = stream::iter(pieces);
        Incoming::new(Reading {
            length,
            contents: match ends {
                true => come.boxed(),
                false => come.chain(stream::pending()).boxed(),
            },
        })
    }

    /// Each took up to 64 MiB for as long as its server liked, and there may be hundreds at once.
    #[tokio::test]
    async fn objects_that_are_read_at_once_share_the_room_of_their_workload() {
        let budget = Budget::new(100);
        let mut first = Box::pin(object(60, &[10], false).whole(budget.room()));
        assert!((&mut first).now_or_never().is_none());
        let refused = object(60, &[60], true).whole(budget.room()).await;
        let told = "there is no room for 60 bytes at once: at most 100 bytes of values wait in the host; read them as a stream";
        assert_eq!(refused, Err(BlobError::Quota(told.to_owned())));
        let fits = object(40, &[20, 20], true).whole(budget.room()).await;
        assert_eq!(fits.unwrap(), [1; 40]);
        drop(first);
        let fits = object(60, &[60], true).whole(budget.room()).await;
        assert_eq!(fits.unwrap(), [1; 60]);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn no_more_is_taken_than_was_told() {
        let budget = Budget::new(100);
        let long = object(10, &[6, 6], true).whole(budget.room()).await;
        assert!(matches!(long, Err(BlobError::Unavailable(_))), "{long:?}");
        let many = object(MOST_AT_ONCE + 1, &[], true);
        let many = many.whole(budget.room()).await;
        assert!(matches!(many, Err(BlobError::Quota(_))), "{many:?}");
        assert_eq!(budget.used(), 0);
    }
}
