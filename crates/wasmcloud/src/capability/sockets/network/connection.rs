//! Connections: a reader and a writer at each end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::NetError;

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    /// What the other end sends. Dropping it shuts receiving down: what the other end writes then fails.
    pub reader: Reader,
    /// What goes to the other end. Dropping it ends what the other end reads.
    pub writer: Writer,
    /// The address of this end.
    pub local: SocketAddr,
    /// The address of the other end.
    pub peer: SocketAddr,
}

/// Receives. One task at a time waits for it: the last that polled is woken.
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// The next bytes, at most `most` (at least 1), which are not copied. None at all: the end.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Bytes, NetError>> {
        let _ = (cx, most);
        Poll::Pending
    }

    /// Like [`Reader::poll_read`], with a copy. 0: the end.
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, NetError>> {
        let _ = (cx, into);
        Poll::Pending
    }

    /// Ready when a read would be.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// Sends. One task at a time waits for it: the last that polled is woken.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// Takes a prefix of the bytes, without a copy where that does not waste memory, and says how much it was.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, NetError>> {
        let _ = (cx, bytes);
        Poll::Pending
    }

    /// Like [`Writer::poll_write`], with a copy.
    pub fn poll_write_from(
        &mut self,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<Result<usize, NetError>> {
        let _ = (cx, from);
        Poll::Pending
    }

    /// How much a write would take now, at least 1. Other connections of the workload may take shared room meanwhile: then it is less,
    /// and the write waits.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, NetError>> {
        let _ = cx;
        Poll::Pending
    }

    /// How many bytes may be on their way, held to 4 KiB..=1 MiB. Gives what it is now.
    pub fn set_capacity(&mut self, bytes: usize) -> usize {
        bytes
    }

    /// How many bytes may be on their way.
    #[must_use]
    pub fn capacity(&self) -> usize {
        0
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}
