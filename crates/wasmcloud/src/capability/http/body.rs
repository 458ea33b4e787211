//! Bodies of answers, and what becomes of a guest when its answer has been sent or nobody wants it any more.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::task::AbortHandle;
use wasmtime_wasi_http::{Error, WasiBody};

/// A body of the host's own.
pub(super) fn text(text: impl Into<Bytes>) -> WasiBody {
    Full::new(text.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body that a guest still writes.
///
/// When all of it has been sent, the guest may go on with what it has left to do. When it is dropped before, nobody reads on: the
/// guest is ended.
pub(super) struct Guarded {
    inner: WasiBody,
    guest: Option<AbortHandle>,
    /// What is left of the announced length, if one was announced: the server may then drop the body without asking for its end.
    remaining: Option<u64>,
}

impl Guarded {
    pub(super) fn new(inner: WasiBody, length: Option<u64>, guest: AbortHandle) -> Self {
        Self {
            inner,
            guest: Some(guest),
            remaining: length,
        }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.guest = None,
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(remaining), Some(data)) = (&mut self.remaining, frame.data_ref()) {
                    *remaining = remaining.saturating_sub(data.len() as u64);
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(guest) = &self.guest
            && self.remaining != Some(0)
            && !self.inner.is_end_stream()
        {
            guest.abort();
        }
    }
}
