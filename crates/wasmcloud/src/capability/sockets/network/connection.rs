//! Connections: a reader and a writer at each end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::address::Key;
use super::budget::Ticket;
use super::pipe::Pipe;
use super::{NetError, Network, TcpBinding};

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    // The reader is dropped first: bytes that were not read make the end that the other side sees a reset.
    /// What the other end sends. Dropping it shuts receiving down: what the other end writes then fails.
    pub reader: Reader,
    /// What goes to the other end. Dropping it ends what the other end reads.
    pub writer: Writer,
    /// The address of this end.
    pub local: SocketAddr,
    /// The address of the other end.
    pub peer: SocketAddr,
}

/// What both ends share: the pipes, and what the connection holds of the network.
pub(super) struct Wire {
    network: Arc<Network>,
    from: Key,
    to: Key,
    /// The address that was bound for it, if one was.
    _binding: Option<TcpBinding>,
    /// From whoever connected to whoever accepts, and back.
    out: Pipe,
    back: Pipe,
}

impl Wire {
    /// Both ends of a connection: that of whoever connects, and that of whoever accepts. It is counted and noted already, and
    /// undoes that when both ends are gone.
    pub(super) fn ends(
        network: &Arc<Network>,
        from: Key,
        to: Key,
        binding: Option<TcpBinding>,
    ) -> (Connection, Connection) {
        let wire = Arc::new(Self {
            network: Arc::clone(network),
            from,
            to,
            _binding: binding,
            out: Pipe::new(),
            back: Pipe::new(),
        });
        let end = |side, local: Key, peer: Key| Connection {
            reader: Reader {
                wire: Arc::clone(&wire),
                side,
            },
            writer: Writer {
                wire: Arc::clone(&wire),
                side,
                ticket: None,
            },
            local: local.addr(),
            peer: peer.addr(),
        };
        (end(Side::Connects, from, to), end(Side::Accepts, to, from))
    }

    const fn written_by(&self, side: Side) -> &Pipe {
        match side {
            Side::Connects => &self.out,
            Side::Accepts => &self.back,
        }
    }

    const fn read_by(&self, side: Side) -> &Pipe {
        match side {
            Side::Connects => &self.back,
            Side::Accepts => &self.out,
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.addr(), self.to.addr());
        write!(f, "{from} -> {to}")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.network.disconnect(self.from, self.to);
    }
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Connects,
    Accepts,
}

impl Connection {
    /// Lets it go in such a way that the other end sees a reset, not an end.
    pub fn reset(self) {
        drop(self.reader);
        self.writer.reset();
    }

    /// Whether the other end is gone without an orderly end.
    pub(super) fn was_reset(&self) -> bool {
        let reader = &self.reader;
        reader.wire.read_by(reader.side).is_reset()
    }
}

/// Receives. One task at a time waits for it: the last that polled is woken.
#[derive(Debug)]
pub struct Reader {
    wire: Arc<Wire>,
    side: Side,
}

impl Reader {
    fn pipe(&self) -> &Pipe {
        self.wire.read_by(self.side)
    }

    /// The next bytes, at most `most` (and at least 1), without a copy where they are many. None at all: the end. What was sent before
    /// an end or a reset comes first.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Bytes, NetError>> {
        let read = self
            .pipe()
            .poll_read(cx, &self.wire.network.budget, |queue| {
                queue.pop(most.max(1))
            });
        read.map_ok(Option::unwrap_or_default)
    }

    /// Like [`Reader::poll_read`], with a copy. 0: the end.
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, NetError>> {
        let read = self
            .pipe()
            .poll_read(cx, &self.wire.network.budget, |queue| queue.pop_into(into));
        read.map_ok(Option::unwrap_or_default)
    }

    /// Ready when a read would be.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pipe().poll_readable(cx)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.pipe().abandon(&self.wire.network.budget) {
            self.wire.written_by(self.side).reset();
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.poll_read_into(cx, buf.initialize_unfilled()))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

/// Sends. One task at a time waits for it: the last that polled is woken.
///
/// Writes fail with `Reset` when nobody reads any more, and with `Aborted` after a shutdown.
#[derive(Debug)]
pub struct Writer {
    wire: Arc<Wire>,
    side: Side,
    ticket: Ticket,
}

impl Writer {
    /// Takes a prefix of the bytes, without a copy where that does not waste memory, and says how much it was.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, NetError>> {
        let room = (&self.wire.network.budget, &mut self.ticket);
        let pipe = self.wire.written_by(self.side);
        pipe.poll_write(cx, room, bytes.len(), |queue, most| queue.push(bytes, most))
    }

    /// Like [`Writer::poll_write`], with a copy.
    pub fn poll_write_from(
        &mut self,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<Result<usize, NetError>> {
        let room = (&self.wire.network.budget, &mut self.ticket);
        let pipe = self.wire.written_by(self.side);
        pipe.poll_write(cx, room, from.len(), |queue, most| {
            queue.push_copy(from.get(..most).unwrap_or(from));
        })
    }

    /// How much a write would take now, at least 1. Other connections of the workload may take room meanwhile that all share: then a
    /// write takes less, or waits.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, NetError>> {
        let room = (&self.wire.network.budget, &mut self.ticket);
        self.wire.written_by(self.side).poll_writable(cx, room)
    }

    /// Ready when nobody will read what is written any more.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire.written_by(self.side).poll_abandoned(cx)
    }

    /// Ends in such a way that the other end sees a reset, not an end.
    pub fn reset(self) {
        self.wire.written_by(self.side).reset();
    }

    /// How many bytes may be on their way, held to 4 KiB..=1 MiB. Gives what it is now.
    pub fn set_capacity(&mut self, bytes: usize) -> usize {
        self.wire.written_by(self.side).set_capacity(bytes)
    }

    /// How many bytes may be on their way.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.wire.written_by(self.side).capacity()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.wire.network.budget.leave(&mut self.ticket);
        self.wire.written_by(self.side).end();
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_from(cx, bytes).map_err(Into::into)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.written_by(self.side).end();
        Poll::Ready(Ok(()))
    }
}
