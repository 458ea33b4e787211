//! Streams into files of volumes that have a limit, for both versions of WASI: the next write begins when the last has ended.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{Source, StreamConsumer, StreamResult as Consumed};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::p3::bindings::filesystem::types::ErrorCode;

use super::volume::{At, Volume};

/// How much is written at once.
const CHUNK: usize = 64 << 10;

/// A file that is written from one place on.
pub(super) struct Writer {
    volume: Arc<Volume>,
    file: Arc<File>,
    at: At,
    writing: Option<JoinHandle<io::Result<At>>>,
}

impl Writer {
    pub(super) fn new(volume: Arc<Volume>, file: Arc<File>, at: At) -> Self {
        Self {
            volume,
            file,
            at,
            writing: None,
        }
    }

    fn begin(&mut self, bytes: Bytes) {
        let write = Arc::clone(&self.volume).write(Arc::clone(&self.file), self.at, bytes);
        self.writing = Some(tokio::spawn(write));
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
        if !bytes.is_empty() {
            self.writer.begin(bytes);
        }
        Ok(())
    }

    /// Nothing is kept back, so there is nothing to do but wait.
    fn flush(&mut self) -> StreamResult<()> {
        self.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check()?;
        Ok(if self.writer.writing.is_some() {
            0
        } else {
            CHUNK
        })
    }

    async fn cancel(&mut self) {
        self.ready().await;
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
        _finish: bool,
    ) -> Poll<wasmtime::Result<Consumed>> {
        let this = &mut *self;
        let mut source = source.as_direct(store);
        if this.writer.writing.is_none() {
            let bytes = source.remaining();
            let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
            if bytes.is_empty() {
                return Poll::Ready(Ok(Consumed::Completed));
            }
            this.pending = bytes.len();
            this.writer.begin(Bytes::copy_from_slice(bytes));
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
