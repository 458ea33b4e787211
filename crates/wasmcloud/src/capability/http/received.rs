//! Bodies of requests: as long as they may be, and no slower than they may come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

use super::limits::HttpLimits;
use super::patience::Exchange;

/// What went wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is longer than it may be.
    TooLong,
    /// The client sent nothing while the guest waited.
    TooSlow,
}

/// Tells whoever answers the request what went wrong with its body.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    fault: AtomicU8,
    told: Notify,
}

impl Faults {
    fn tell(&self, fault: Fault) {
        let fault = match fault {
            Fault::TooLong => 1,
            Fault::TooSlow => 2,
        };
        self.0.fault.store(fault, Ordering::Release);
        self.0.told.notify_waiters();
    }

    /// What went wrong, if anything did.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.0.fault.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Fault::TooLong),
            _ => Some(Fault::TooSlow),
        }
    }

    /// Completes when the client was too slow: whoever waits for the guest need not any more.
    pub(super) async fn too_slow(&self) {
        loop {
            let told = self.0.told.notified();
            if self.fault() == Some(Fault::TooSlow) {
                return;
            }
            told.await;
        }
    }
}

/// The body of a request, as a guest gets it.
#[derive(Debug)]
pub(super) struct Received {
    inner: Incoming,
    limits: Option<Limits>,
    /// A guest that still reads the body after its answer keeps the connection busy.
    _exchange: Exchange,
}

/// What a body that is not empty must keep to.
#[derive(Debug)]
struct Limits {
    most: u64,
    left: u64,
    patience: Duration,
    /// Runs while the guest waits for more.
    timer: Option<Pin<Box<Sleep>>>,
    faults: Faults,
}

impl Received {
    /// A body, and where to learn what goes wrong with it; nothing can with an empty one.
    pub(super) fn new(
        inner: Incoming,
        exchange: Exchange,
        limits: &HttpLimits,
    ) -> (Self, Option<Faults>) {
        let faults = (!inner.is_end_stream()).then(Faults::default);
        let limits = faults.clone().map(|faults| Limits {
            most: limits.body_size,
            left: limits.body_size,
            patience: limits.body_timeout,
            timer: None,
            faults,
        });
        let received = Self {
            inner,
            limits,
            _exchange: exchange,
        };
        (received, faults)
    }
}

impl Limits {
    fn fail(&self, fault: Fault) -> Error {
        self.faults.tell(fault);
        match fault {
            Fault::TooLong => Error::HttpRequestBodySize(Some(self.most)),
            Fault::TooSlow => Error::ConnectionReadTimeout,
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        self.timer = None;
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(self.fail(Fault::TooLong)),
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let patience = self.patience;
        self.timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)))
            .as_mut()
            .poll(cx)
            .map(|()| self.fail(Fault::TooSlow))
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(limits) = &mut this.limits else {
            return Pin::new(&mut this.inner)
                .poll_frame(cx)
                .map_err(Error::from);
        };
        if limits.faults.fault().is_some() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(limits.take(frame))),
            Poll::Ready(ended) => Poll::Ready(ended.map(|frame| frame.map_err(Error::from))),
            Poll::Pending => limits.poll_late(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
