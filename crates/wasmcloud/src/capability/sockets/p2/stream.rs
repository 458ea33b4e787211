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
    /// What was taken and found no room. A task writes it: a guest that has written something may wait for the answer alone.
    rest: Bytes,
    /// Nothing is to be written after the rest.
    last: bool,
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
            last: false,
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
        let mut write = self.lock();
        write.last = true;
        if write.rest.is_empty() {
            write.half = None;
        }
    }

    /// Writes the rest. When nobody but this holds the stream any more, that may take so long and no longer.
    async fn write_rest(self) {
        let written = std::future::poll_fn(|cx| self.lock().poll_rest(cx));
        tokio::pin!(written);
        while tokio::time::timeout(LAST, &mut written).await.is_err() {
            if Arc::strong_count(&self.0) == 1 {
                return;
            }
        }
        let waiting = std::mem::take(&mut self.lock().looks);
        waiting.0.wake();
    }
}

impl Write {
    /// Writes what is left.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(half) = &mut self.half else {
            return Poll::Ready(());
        };
        let written = ready!(poll_written(half, &mut self.rest, cx));
        if self.last {
            self.half = None;
        }
        if let Err(fault) = written {
            self.fail(fault);
        }
        Poll::Ready(())
    }

    /// Waits for room; where there is a rest, for whoever writes it.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        match &mut self.half {
            None => Poll::Ready(Ok(0)),
            Some(_) if self.last => Poll::Ready(Ok(0)),
            Some(_) if !self.rest.is_empty() => Poll::Pending,
            Some(half) => half.poll_writable(cx),
        }
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
        self.rest = Bytes::new();
        self.fault = Some(fault);
    }

    /// Reports a failure once; after that, the stream is closed.
    fn ended(&mut self) -> StreamResult<()> {
        match (&self.half, self.fault.take()) {
            (_, Some(fault)) => Err(StreamError::LastOperationFailed(fault.into())),
            (Some(_), None) if !self.last => Ok(()),
            _ => Err(StreamError::Closed),
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

    /// Takes what there is leave for. Says whether there is a rest of it.
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<bool> {
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
        self.ended()?;
        Ok(!self.rest.is_empty())
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

#[async_trait::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let rest = self.lock().write(bytes)?;
        if rest {
            tokio::spawn(self.clone().write_rest());
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::capability::sockets::outside;
    use crate::capability::sockets::places::{Places, semaphore};
    use crate::capability::sockets::settings::TcpSettings;

    /// Both streams of a connection of the operating system, and its other side.
    async fn outside() -> (Input, Output, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Places::new(1, &semaphore(1)).take().unwrap();
        let to = vec![listener.local_addr().unwrap()];
        let tcp = outside::connect(to, TcpSettings::default(), place).await;
        let (_, receiving, sending) = tcp.unwrap().split();
        let (peer, _) = listener.accept().await.unwrap();
        let input = Input::new(Receiving::Outside(receiving));
        (input, Output::new(Sending::Outside(sending)), peer)
    }

    /// Writes until there is no room; gives how much that was.
    fn fill(output: &mut Output) -> usize {
        let mut written = 0;
        loop {
            let room = output.check_write().unwrap();
            if room == 0 {
                return written;
            }
            output.write(vec![b'x'; room].into()).unwrap();
            written += room;
        }
    }

    #[tokio::test]
    async fn what_found_no_room_is_written_while_the_guest_does_something_else() {
        let (_input, mut output, mut peer) = outside().await;
        output.ready().await;
        let written = fill(&mut output);
        let mut read = vec![0; written];
        // Nobody looks at the stream meanwhile.
        peer.read_exact(&mut read).await.unwrap();
        output.ready().await;
        assert!(output.check_write().unwrap() > 0);
    }

    #[tokio::test]
    async fn what_was_written_goes_out_before_the_end() {
        for gone in [false, true] {
            let (input, mut output, mut peer) = outside().await;
            output.ready().await;
            let written = fill(&mut output);
            let kept = output.clone();
            output.shut_down();
            assert!(matches!(output.check_write(), Err(StreamError::Closed)));
            drop(output);
            let kept = (!gone).then_some((kept, input));
            let mut read = Vec::new();
            peer.read_to_end(&mut read).await.unwrap();
            assert_eq!(read.len(), written);
            drop(kept);
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_told_once() {
        let (mut input, mut output, mut peer) = outside().await;
        peer.write_all(b"bye").await.unwrap();
        input.ready().await;
        assert_eq!(input.read(2).unwrap(), "by");
        rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
        drop(peer);
        // What came before the reset may be lost with it, as operating systems do it.
        let broken = loop {
            input.ready().await;
            match input.read(10) {
                Ok(bytes) => assert!(bytes.len() <= 1),
                Err(error) => break error,
            }
        };
        let StreamError::LastOperationFailed(error) = broken else {
            unreachable!("{broken:?}")
        };
        assert_eq!(error.downcast_ref(), Some(&Fault::Reset));
        assert!(matches!(input.read(10), Err(StreamError::Closed)));
        output.ready().await;
        let _ = output.check_write();
        while output.check_write().is_ok() {
            output.write(Bytes::from_static(b"x")).unwrap_or_default();
        }
        assert!(matches!(output.check_write(), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn who_writes_without_leave_traps() {
        let (input, mut output, _peer) = outside().await;
        let written = output.write(Bytes::from_static(b"x"));
        assert!(matches!(written, Err(StreamError::Trap(_))));
        input.shut_down();
        let mut input = input;
        assert!(matches!(input.read(1), Err(StreamError::Closed)));
    }
}
