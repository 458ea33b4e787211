//! The streams of WASI 0.3: connections that come, bytes that come, bytes that go.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, Resource, Source, StreamConsumer, StreamProducer, StreamResult,
};

use super::types::ErrorCode;
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::outside::PIECE;
use crate::capability::sockets::settings::TcpSettings;
use crate::capability::sockets::stream::{Receiving, Sending};
use crate::capability::sockets::tcp::{Listening, Tcp};
use crate::plugin::StoreData;

/// How the stream ended.
pub(super) type Done = Result<(), ErrorCode>;

/// What a stream says that has nothing to say yet.
fn later(finish: bool) -> Poll<wasmtime::Result<StreamResult>> {
    match finish {
        true => Poll::Ready(Ok(StreamResult::Cancelled)),
        false => Poll::Pending,
    }
}

const COMPLETED: Poll<wasmtime::Result<StreamResult>> = Poll::Ready(Ok(StreamResult::Completed));
const DROPPED: Poll<wasmtime::Result<StreamResult>> = Poll::Ready(Ok(StreamResult::Dropped));

/// The connections that a listener accepts.
pub(super) struct Accepted {
    pub(super) listening: Arc<Listening>,
    /// What each of them begins with.
    pub(super) settings: TcpSettings,
}

impl StreamProducer<StoreData> for Accepted {
    type Item = Resource<Tcp>;
    type Buffer = Option<Self::Item>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, StoreData>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return match self.listening.poll_acceptable(cx) {
                Poll::Ready(()) => COMPLETED,
                Poll::Pending => later(finish),
            };
        }
        match self.listening.poll_accept(cx, self.settings) {
            Poll::Ready(Some(tcp)) => {
                let tcp = store.data_mut().table().push(tcp)?;
                destination.set_buffer(Some(tcp));
                COMPLETED
            }
            Poll::Ready(None) => DROPPED,
            Poll::Pending => later(finish),
        }
    }
}

/// Tells once how a stream ended: well, unless it said otherwise before it went.
struct Tell(Option<oneshot::Sender<Done>>);

impl Tell {
    fn end(&mut self, done: Result<(), Fault>) {
        if let Some(sender) = self.0.take() {
            // Whoever has dropped the future does not want to know.
            let _ = sender.send(done.map_err(ErrorCode::from));
        }
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

/// The bytes that come.
pub(super) struct Received {
    half: Option<Receiving>,
    tell: Tell,
}

impl Received {
    pub(super) fn new(half: Receiving, tell: oneshot::Sender<Done>) -> Self {
        Self {
            half: Some(half),
            tell: Tell(Some(tell)),
        }
    }

    fn end(&mut self, done: Result<(), Fault>) -> Poll<wasmtime::Result<StreamResult>> {
        self.half = None;
        self.tell.end(done);
        DROPPED
    }
}

impl<D> StreamProducer<D> for Received {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let Some(half) = &mut self.half else {
            return DROPPED;
        };
        if destination.remaining(&mut store) == Some(0) {
            return match half.poll_readable(cx) {
                Poll::Ready(()) => COMPLETED,
                Poll::Pending => later(finish),
            };
        }
        let mut destination = destination.as_direct(store, PIECE);
        match half.poll_read_into(cx, destination.remaining()) {
            Poll::Pending => later(finish),
            Poll::Ready(Ok(0)) => self.end(Ok(())),
            Poll::Ready(Ok(read)) => {
                destination.mark_written(read);
                COMPLETED
            }
            Poll::Ready(Err(fault)) => self.end(Err(fault)),
        }
    }
}

/// The bytes that go.
pub(super) struct Sent {
    half: Option<Sending>,
    tell: Tell,
}

impl Sent {
    pub(super) fn new(half: Sending, tell: oneshot::Sender<Done>) -> Self {
        Self {
            half: Some(half),
            tell: Tell(Some(tell)),
        }
    }
}

impl<D> StreamConsumer<D> for Sent {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let Some(half) = &mut self.half else {
            return DROPPED;
        };
        let mut source = source.as_direct(store);
        let written = match source.remaining() {
            // Nobody has anything to write yet, but wants to know whether it could be.
            [] => half.poll_writable(cx).map_ok(|_| 0),
            bytes => half.poll_write_from(cx, bytes),
        };
        match written {
            Poll::Pending => later(finish),
            Poll::Ready(Ok(written)) => {
                source.mark_read(written);
                COMPLETED
            }
            Poll::Ready(Err(fault)) => {
                self.half = None;
                self.tell.end(Err(fault));
                DROPPED
            }
        }
    }
}
