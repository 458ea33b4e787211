//! The streams of `wasmcloud:blobstore`: contents out and in, and names. They have no room for an error: one that breaks off would
//! pass for whole, so the guest ends instead.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, Source, StreamConsumer, StreamProducer, StreamResult, VecBuffer,
};

use crate::capability::blobstore::{self, BlobError, Contents};

/// How much a guest writes at once …
const CHUNK: usize = 64 << 10;
/// … and how many such chunks wait to be written.
pub(super) const WAITING: usize = 4;
/// How many names are handed over at once.
const NAMES: usize = 256;

type Done = Poll<wasmtime::Result<StreamResult>>;

const COMPLETED: Done = Poll::Ready(Ok(StreamResult::Completed));
const DROPPED: Done = Poll::Ready(Ok(StreamResult::Dropped));

/// What a stream says that has nothing to say yet.
fn later(finish: bool) -> Done {
    match finish {
        true => Poll::Ready(Ok(StreamResult::Cancelled)),
        false => Poll::Pending,
    }
}

fn broken(error: BlobError) -> Done {
    Poll::Ready(Err(
        wasmtime::Error::from(error).context("a stream of blobs broke off")
    ))
}

/// The contents of an object.
pub(super) struct Received {
    contents: Contents,
    /// What came while the guest only asked whether there is something.
    ahead: Option<Bytes>,
}

impl Received {
    pub(super) fn new(contents: Contents) -> Self {
        Self {
            contents,
            ahead: None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(ahead)));
        }
        loop {
            let next = ready!(self.contents.poll_next_unpin(cx));
            if !matches!(&next, Some(Ok(bytes)) if bytes.is_empty()) {
                return Poll::Ready(next);
            }
        }
    }
}

impl<D> StreamProducer<D> for Received {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Done {
        let bytes = match self.poll_next(cx) {
            Poll::Pending => return later(finish),
            Poll::Ready(None) => return DROPPED,
            Poll::Ready(Some(Err(error))) => return broken(error),
            Poll::Ready(Some(Ok(bytes))) => bytes,
        };
        if destination.remaining(&mut store) == Some(0) {
            self.ahead = Some(bytes);
        } else {
            destination.set_buffer(bytes);
        }
        COMPLETED
    }
}

/// What a guest writes, on its way to an object.
pub(super) struct Sent(PollSender<Bytes>);

impl Sent {
    pub(super) fn new(sender: mpsc::Sender<Bytes>) -> Self {
        Self(PollSender::new(sender))
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
    ) -> Done {
        match self.0.poll_reserve(cx) {
            Poll::Pending => return later(finish),
            // Nobody writes any more; `write-data` says why.
            Poll::Ready(Err(_)) => return DROPPED,
            Poll::Ready(Ok(())) => {}
        }
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
        if bytes.is_empty() {
            return COMPLETED;
        }
        let (chunk, length) = (Bytes::copy_from_slice(bytes), bytes.len());
        if self.0.send_item(chunk).is_err() {
            return DROPPED;
        }
        source.mark_read(length);
        COMPLETED
    }
}

/// The names of objects.
pub(super) struct Names(pub(super) blobstore::Names);

impl<D> StreamProducer<D> for Names {
    type Item = String;
    type Buffer = VecBuffer<String>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, VecBuffer<String>>,
        finish: bool,
    ) -> Done {
        if destination.remaining(&mut store) == Some(0) {
            return COMPLETED;
        }
        let mut names = Vec::new();
        while names.len() < NAMES {
            match self.0.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(name))) => names.push(name),
                Poll::Ready(Some(Err(error))) => return broken(error),
                Poll::Ready(None) if names.is_empty() => return DROPPED,
                Poll::Pending if names.is_empty() => return later(finish),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        destination.set_buffer(names.into());
        COMPLETED
    }
}
