//! Streams of a guest with a pipe at their other end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf, duplex};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureProducer, Resource, Source, StreamConsumer, StreamProducer, StreamResult,
};
use wasmtime_wasi_tls::Error;

use crate::capability::tls::secured::Place;
use crate::plugin::StoreData;

/// How much a pipe holds: a record of TLS, and what is around it.
const ROOM: usize = 20 << 10;

/// Both ends of a pipe. It is used in one direction; where one end is dropped, the other one notices.
pub(super) fn pipe() -> (DuplexStream, DuplexStream) {
    duplex(ROOM)
}

type Produced = Poll<wasmtime::Result<StreamResult>>;

const COMPLETED: Produced = Poll::Ready(Ok(StreamResult::Completed));
const DROPPED: Produced = Poll::Ready(Ok(StreamResult::Dropped));

/// What a stream says that has nothing to say yet.
fn later(finish: bool) -> Produced {
    match finish {
        true => Poll::Ready(Ok(StreamResult::Cancelled)),
        false => Poll::Pending,
    }
}

/// An end of a pipe for a stream of the guest, which may keep it: so the place of its connection is kept as long.
type End = (DuplexStream, Arc<Place>);

/// A pipe that the guest's stream is emptied into. Its end is the end of the stream.
pub(super) struct Filled(pub(super) Option<End>);

impl<D> StreamConsumer<D> for Filled {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Produced {
        let Some((pipe, _)) = &mut self.0 else {
            return DROPPED;
        };
        let mut source = source.as_direct(store);
        if source.remaining().is_empty() {
            // Whether there is room is found out by writing.
            return COMPLETED;
        }
        match Pin::new(pipe).poll_write(cx, source.remaining()) {
            Poll::Pending => later(finish),
            Poll::Ready(Ok(written @ 1..)) => {
                source.mark_read(written);
                COMPLETED
            }
            // Nobody reads any more; why, the future tells.
            Poll::Ready(_) => {
                self.0 = None;
                DROPPED
            }
        }
    }
}

/// A pipe that the guest reads as a stream. Its end is the end of the pipe.
pub(super) struct Emptied(pub(super) Option<End>);

impl<D> StreamProducer<D> for Emptied {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Produced {
        let Some((pipe, _)) = &mut self.0 else {
            return DROPPED;
        };
        if destination.remaining(&mut store) == Some(0) {
            // Whether there is something is found out by reading.
            return COMPLETED;
        }
        let mut destination = destination.as_direct(store, ROOM);
        let mut buffer = ReadBuf::new(destination.remaining());
        match Pin::new(pipe).poll_read(cx, &mut buffer) {
            Poll::Pending => later(finish),
            Poll::Ready(read) => match (read, buffer.filled().len()) {
                (Ok(()), read @ 1..) => {
                    destination.mark_written(read);
                    COMPLETED
                }
                _ => {
                    self.0 = None;
                    DROPPED
                }
            },
        }
    }
}

/// What a function of the interface returns that may fail.
pub(super) type Outcome = Result<(), Resource<Error>>;

/// How a direction ended, when it has.
pub(super) struct Told(pub(super) oneshot::Receiver<Result<(), Error>>);

impl FutureProducer<StoreData> for Told {
    type Item = Outcome;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, StoreData>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<Outcome>>> {
        let told = match Pin::new(&mut self.0).poll(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(None)),
            told => ready!(told),
        };
        let ended = told.unwrap_or_else(|_| Err(Error::msg("there never was a connection")));
        Poll::Ready(match ended {
            Ok(()) => Ok(Some(Ok(()))),
            Err(error) => {
                let error = store.data_mut().table().push(error)?;
                Ok(Some(Err(error)))
            }
        })
    }
}
