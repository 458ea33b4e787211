//! Streams into files, for both versions of WASI: the next write begins when the last has ended, and few of one
//! volume are under way at once.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{Source, StreamConsumer, StreamResult as Consumed};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::p3::bindings::filesystem::types::ErrorCode;

use super::change::Place;
use super::volume::At;

/// How much is written at once.
const CHUNK: usize = 64 << 10;

/// A file that is written from one place on.
pub(super) struct Writer {
    place: Place,
    file: Arc<File>,
    at: At,
    turn: Option<Turn>,
    writing: Option<JoinHandle<io::Result<At>>>,
}

type Turn = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

impl Writer {
    pub(super) fn new(place: Place, file: Arc<File>, at: At) -> Self {
        Self {
            place,
            file,
            at,
            turn: None,
            writing: None,
        }
    }

    /// Waits for the right to write.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Option<OwnedSemaphorePermit>> {
        let writes = &self.place.volume;
        let turn = self.turn.get_or_insert_with(|| -> Turn {
            let writes = writes.writes();
            Box::pin(async move { writes.acquire_owned().await.ok() })
        });
        let right = ready!(turn.as_mut().poll(context));
        self.turn = None;
        Poll::Ready(right)
    }

    fn begin(&mut self, bytes: Bytes, right: Option<OwnedSemaphorePermit>) {
        let write = self
            .place
            .clone()
            .write(Arc::clone(&self.file), self.at, bytes);
        self.writing = Some(tokio::spawn(async move {
            let _right = right;
            write.await
        }));
    }

    /// Begins at once if it may; else, the bytes wait for the right to be written, unless too many do.
    fn begin_or_wait(&mut self, bytes: Bytes) -> io::Result<()> {
        let writes = self.place.volume.writes();
        if let Ok(right) = Arc::clone(&writes).try_acquire_owned() {
            self.begin(bytes, Some(right));
            return Ok(());
        }
        let Some(waits) = self.place.volume.waiting_write() else {
            let error = io::Error::from(io::ErrorKind::QuotaExceeded);
            self.place.volume.lost().add(&self.file, &error);
            return Err(error);
        };
        let write = self
            .place
            .clone()
            .write(Arc::clone(&self.file), self.at, bytes);
        self.writing = Some(tokio::spawn(async move {
            let _waits = waits;
            let _right = writes.acquire_owned().await.ok();
            write.await
        }));
        Ok(())
    }

    /// Waits for the write that was begun last.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Ok(()));
        };
        let ended = ready!(Pin::new(writing).poll(context));
        self.writing = None;
        self.at = ended.unwrap_or_else(|error| Err(error.into()))?;
        Poll::Ready(Ok(()))
    }
}

/// The stream of WASI 0.2.
pub(super) struct Output {
    writer: Writer,
    state: State,
    /// Whether it was its turn since it wrote last. Many may have had theirs without writing, so it is no more than leave to try.
    had_turn: bool,
}

enum State {
    Open,
    Failed(io::Error),
    Closed,
}

impl Output {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer,
            state: State::Open,
            had_turn: false,
        }
    }

    /// Reports a failure once; after that, the stream is closed.
    fn check(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open => {
                self.state = State::Open;
                Ok(())
            }
            State::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            State::Closed => Err(StreamError::Closed),
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        let ended = std::future::poll_fn(|context| self.writer.poll_end(context)).await;
        if let Err(error) = ended {
            self.state = State::Failed(error);
        } else if matches!(self.state, State::Open) && !self.had_turn {
            // Who stops waiting leaves the queue: a turn that nobody takes would keep others from theirs.
            drop(self.writer.place.volume.writes().acquire_owned().await);
            self.had_turn = true;
        }
    }
}

#[async_trait::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        if self.writer.writing.is_some() {
            return Err(StreamError::trap("written to without leave"));
        }
        if bytes.len() > CHUNK {
            return Err(StreamError::Trap(wasmtime::format_err!(
                "{} bytes were written to a stream at once, and it gives leave for {CHUNK} at most",
                bytes.len()
            )));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.had_turn = false;
        self.writer.begin_or_wait(bytes).map_err(|error| {
            self.state = State::Closed;
            StreamError::LastOperationFailed(error.into())
        })
    }

    /// Nothing is kept back, so there is nothing to do but wait.
    fn flush(&mut self) -> StreamResult<()> {
        self.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check()?;
        let free = self.had_turn || self.writer.place.volume.writes().available_permits() > 0;
        Ok(if free && self.writer.writing.is_none() {
            CHUNK
        } else {
            0
        })
    }

    async fn cancel(&mut self) {
        // Whether it failed, nobody asks any more.
        let _ = std::future::poll_fn(|context| self.writer.poll_end(context)).await;
        self.state = State::Closed;
    }
}

/// The receiving end of a stream of WASI 0.3.
pub(super) struct Input {
    writer: Writer,
    pending: usize,
    result: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl Input {
    pub(super) fn new(writer: Writer, result: oneshot::Sender<Result<(), ErrorCode>>) -> Self {
        Self {
            writer,
            pending: 0,
            result: Some(result),
        }
    }

    fn tell(&mut self, result: Result<(), ErrorCode>) {
        if let Some(sender) = self.result.take() {
            // Whoever has dropped the future does not want to know.
            let _ = sender.send(result);
        }
    }
}

impl<D> StreamConsumer<D> for Input {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Consumed>> {
        let this = &mut *self;
        let mut source = source.as_direct(store);
        if this.writer.writing.is_none() {
            if source.remaining().is_empty() {
                return Poll::Ready(Ok(Consumed::Completed));
            }
            // Its bytes stay with the guest until it is their turn.
            let right = match this.writer.poll_turn(context) {
                Poll::Pending if finish => {
                    this.writer.turn = None;
                    return Poll::Ready(Ok(Consumed::Cancelled));
                }
                right => ready!(right),
            };
            let bytes = source.remaining();
            let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
            this.pending = bytes.len();
            let bytes = Bytes::copy_from_slice(bytes);
            this.writer.begin(bytes, right);
        }
        // A write that was begun cannot be taken back, so a guest that gives up waits for its end as well.
        match ready!(this.writer.poll_end(context)) {
            Ok(()) => {
                source.mark_read(this.pending);
                Poll::Ready(Ok(Consumed::Completed))
            }
            Err(error) => {
                this.tell(Err(ErrorCode::from(error)));
                Poll::Ready(Ok(Consumed::Dropped))
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.tell(Ok(()));
    }
}
