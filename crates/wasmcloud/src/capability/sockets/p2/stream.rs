//! The streams of a connection, which the socket can shut down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::Looks;
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::outside::PIECE;
use crate::capability::sockets::stream::{Receiving, Sending};

/// How long what was written may take to go out when nobody holds the stream any more.
const LAST: Duration = Duration::from_secs(60);

/// What the guest reads from, shared with its socket.
#[derive(Clone)]
pub(super) struct Input(Arc<Mutex<Read>>);

struct Read {
    /// `None`: it is at its end.
    half: Option<Receiving>,
    looks: Looks,
}

impl Input {
    pub(super) fn new(half: Receiving) -> Self {
        Self(Arc::new(Mutex::new(Read {
            half: Some(half),
            looks: Looks::default(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads no more; what is there is thrown away.
    pub(super) fn shut_down(&self) {
        self.lock().half = None;
    }
}

impl Read {
    fn read(&mut self, most: usize) -> StreamResult<Bytes> {
        let Some(half) = &mut self.half else {
            return Err(StreamError::Closed);
        };
        if most == 0 {
            return Ok(Bytes::new());
        }
        match self.looks.once(|cx| half.poll_read(cx, most.min(PIECE))) {
            Poll::Pending => Ok(Bytes::new()),
            Poll::Ready(Ok(bytes)) if bytes.is_empty() => {
                self.half = None;
                Err(StreamError::Closed)
            }
            Poll::Ready(Ok(bytes)) => Ok(bytes),
            Poll::Ready(Err(fault)) => {
                self.half = None;
                Err(StreamError::LastOperationFailed(fault.into()))
            }
        }
    }
}

impl InputStream for Input {
    fn read(&mut self, most: usize) -> StreamResult<Bytes> {
        self.lock().read(most)
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            let mut read = self.lock();
            read.looks.wait(cx);
            match &mut read.half {
                Some(half) => half.poll_readable(cx),
                None => Poll::Ready(()),
            }
        })
        .await;
    }
}

/// What the guest writes to, shared with its socket.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Write>>);

struct Write {
    /// `None`: nothing is written any more.
    half: Option<Sending>,
    /// What was taken and found no room.
    rest: Bytes,
    /// How much the guest may write now.
    leave: usize,
    /// Why it failed, until the guest is told.
    fault: Option<Fault>,
    looks: Looks,
}

impl Output {
    pub(super) fn new(half: Sending) -> Self {
        Self(Arc::new(Mutex::new(Write {
            half: Some(half),
            rest: Bytes::new(),
            leave: 0,
            fault: None,
            looks: Looks::default(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Write> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes no more. What was written goes out.
    pub(super) fn shut_down(&self) {
        self.lock().finish();
    }
}

impl Write {
    /// Writes what is left, then waits for room.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        let Some(half) = &mut self.half else {
            return Poll::Ready(Ok(0));
        };
        ready!(poll_written(half, &mut self.rest, cx))?;
        half.poll_writable(cx)
    }

    /// Ready when there is room, or when there will never be.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.looks.wait(cx);
        if let Err(fault) = ready!(self.poll_room(cx)) {
            self.fail(fault);
        }
        Poll::Ready(())
    }

    fn fail(&mut self, fault: Fault) {
        self.half = None;
        self.fault = Some(fault);
    }

    /// Reports a failure once; after that, the stream is closed.
    fn ended(&mut self) -> StreamResult<()> {
        match (&self.half, self.fault.take()) {
            (_, Some(fault)) => Err(StreamError::LastOperationFailed(fault.into())),
            (Some(_), None) => Ok(()),
            (None, None) => Err(StreamError::Closed),
        }
    }

    fn check(&mut self) -> StreamResult<usize> {
        let looks = std::mem::take(&mut self.looks);
        let room = looks.once(|cx| self.poll_room(cx));
        self.looks = looks;
        self.leave = match room {
            Poll::Ready(Ok(room)) => room.min(PIECE),
            Poll::Pending => 0,
            Poll::Ready(Err(fault)) => {
                self.fail(fault);
                0
            }
        };
        self.ended()?;
        Ok(self.leave)
    }

    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        self.ended()?;
        if bytes.len() > self.leave {
            let (wrote, leave) = (bytes.len(), self.leave);
            return Err(StreamError::Trap(wasmtime::format_err!(
                "{wrote} bytes were written to a stream that had given leave for {leave}"
            )));
        }
        self.leave = 0;
        let Some(half) = &mut self.half else {
            return Err(StreamError::Closed);
        };
        match self.looks.once(|cx| poll_written(half, &mut bytes, cx)) {
            Poll::Ready(Ok(())) => {}
            Poll::Pending => self.rest = bytes,
            Poll::Ready(Err(fault)) => self.fail(fault),
        }
        self.ended()
    }

    /// Lets go of the stream. What is left to write is written without anybody waiting, as an operating system would.
    fn finish(&mut self) {
        let (half, mut rest) = (self.half.take(), std::mem::take(&mut self.rest));
        let Some(mut half) = half.filter(|_| !rest.is_empty()) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let written = std::future::poll_fn(|cx| poll_written(&mut half, &mut rest, cx));
                // Whether it went out, nobody asks any more.
                let _ = tokio::time::timeout(LAST, written).await;
            });
        }
    }
}

/// Writes all of the bytes.
fn poll_written(
    half: &mut Sending,
    bytes: &mut Bytes,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    while !bytes.is_empty() {
        ready!(half.poll_write(cx, bytes))?;
    }
    Poll::Ready(Ok(()))
}

impl Drop for Write {
    fn drop(&mut self) {
        self.finish();
    }
}

#[async_trait::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lock().write(bytes)
    }

    /// Nothing is kept back, so there is nothing to do.
    fn flush(&mut self) -> StreamResult<()> {
        self.lock().ended()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.lock().check()
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.lock().poll_ready(cx)).await;
    }
}
