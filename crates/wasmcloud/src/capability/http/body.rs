//! Bodies of answers, and what becomes of a guest when its answer has been sent or nobody wants it any more.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

/// A body of the host's own.
pub(super) fn text(text: impl Into<Bytes>) -> WasiBody {
    Full::new(text.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// No body at all.
pub(super) fn none() -> WasiBody {
    Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body that tells when it is dropped, by dropping the other end of a channel.
pub(super) struct Tied {
    inner: WasiBody,
    _tie: oneshot::Sender<()>,
}

impl Tied {
    pub(super) fn body(inner: WasiBody, tie: oneshot::Sender<()>) -> WasiBody {
        WasiBody::new(Self { inner, _tie: tie })
    }
}

impl Body for Tied {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether a guest came to a bad end. A body whose writer vanished looks like one that is complete, so this is what tells a client
/// that the answer broke off.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<AtomicBool>);

impl Fate {
    /// A guest whose end is bad unless it is said to be good. To be dropped before the guest's store: from then on its bodies look
    /// complete.
    pub(super) fn running(&self) -> Running {
        Running(Some(self.clone()))
    }

    fn is_bad(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A guest that has not come to its end.
#[derive(Debug)]
pub(super) struct Running(Option<Fate>);

impl Running {
    /// The guest has come to a good end.
    pub(super) fn ended_well(&mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(fate) = &self.0 {
            fate.0.store(true, Ordering::Release);
        }
    }
}

/// What is left of a guest's run: it writes the body, and may have something to do after that.
pub(super) type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that a guest writes, or wrote.
///
/// Whoever reads the body runs the guest, on the connection's task: what it writes goes out with the head where that is possible,
/// and a client that reads slowly slows the guest. When all of it has been sent, the guest goes on by itself with what it has left
/// to do. When the body is dropped before, nobody reads on: the guest goes with it. When the guest comes to a bad end before, the
/// body breaks off.
pub(super) struct Guarded {
    inner: WasiBody,
    fate: Fate,
    /// The guest, while it runs.
    guest: Option<Rest>,
    /// What is left of the announced length, if one was announced: the server may then drop the body without asking for its end.
    remaining: Option<u64>,
    /// The end was found to be none.
    breaking: bool,
}

impl Guarded {
    pub(super) fn new(
        inner: WasiBody,
        length: Option<u64>,
        fate: Fate,
        guest: Option<Rest>,
    ) -> Self {
        Self {
            inner,
            fate,
            guest,
            remaining: length,
            breaking: false,
        }
    }

    /// Whether what looks like the end of the body is none.
    fn broke_off(&self) -> bool {
        self.fate.is_bad() && self.remaining != Some(0)
    }

    /// The next frame; the guest runs when there is none yet.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        let (Poll::Pending, Some(guest)) = (&frame, &mut self.guest) else {
            return frame;
        };
        if guest.as_mut().poll(cx).is_ready() {
            self.guest = None;
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    /// Lets the guest go on without anybody who reads.
    fn let_go(&mut self) {
        if let (Some(guest), Ok(runtime)) = (self.guest.take(), Handle::try_current()) {
            runtime.spawn(guest);
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
        let frame = self.poll_inner(cx);
        match &frame {
            Poll::Ready(None) if self.broke_off() => {
                // What came before goes out first: Hyper throws away what it has not sent when a body fails.
                if !std::mem::replace(&mut self.breaking, true) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(Error::ConnectionTerminated)));
            }
            Poll::Ready(None) => self.let_go(),
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
        self.inner.is_end_stream() && !self.broke_off()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.remaining == Some(0) || self.inner.is_end_stream() {
            self.let_go();
        }
    }
}
