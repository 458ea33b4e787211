//! Contents on their way to a guest of WASI 0.2.

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use crate::capability::blobstore::{BlobError, Contents, Reading};

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

    /// All of it.
    pub(super) async fn whole(self) -> Result<Vec<u8>, BlobError> {
        let Reading {
            length,
            mut contents,
        } = self.0;
        if length > MOST_AT_ONCE {
            let told = format!("{length} bytes are too many at once; read them as a stream");
            return Err(BlobError::Quota(told));
        }
        let mut whole = BytesMut::new();
        while let Some(bytes) = contents.next().await {
            whole.extend_from_slice(&bytes?);
        }
        Ok(whole.into())
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
