//! Sockets of the operating system: what is made when a socket of a guest really leaves the machine's inside, and not before.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::fault::Fault;
use super::places::Place;
use super::rules::Family;
use super::settings::{Settings, TcpSettings};

/// How much is read or written at once.
pub(super) const PIECE: usize = 64 << 10;

/// A connection. The stream comes first, so that it is closed when its place is given up.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: TcpStream,
    pub(super) local: SocketAddr,
    _place: Place,
}

impl Tcp {
    pub(super) fn apply(&self, settings: &TcpSettings) {
        settings.apply(&SockRef::from(&self.stream), Family::of(self.local.ip()));
    }

    /// Both halves.
    pub(super) fn split(self) -> (Arc<Self>, Receiving, Sending) {
        let tcp = Arc::new(self);
        let halves = (Receiving(Arc::clone(&tcp)), Sending(Arc::clone(&tcp)));
        (tcp, halves.0, halves.1)
    }
}

/// Connects to the first of the addresses that answers.
pub(super) async fn connect(
    to: Vec<SocketAddr>,
    settings: TcpSettings,
    place: Place,
) -> Result<Tcp, Fault> {
    let mut first = None;
    for to in to {
        match connect_to(to, &settings).await {
            Ok(stream) => {
                let local = stream.local_addr()?;
                return Ok(Tcp {
                    stream,
                    local,
                    _place: place,
                });
            }
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(
        first.map_or(Fault::Unreachable, |error| match Fault::from(error) {
            // Nobody bound the socket, so there was no port left to bind it to.
            Fault::NotBindable => Fault::InUse,
            fault => fault,
        }),
    )
}

async fn connect_to(to: SocketAddr, settings: &TcpSettings) -> io::Result<TcpStream> {
    let family = Family::of(to.ip());
    let socket = match family {
        Family::V4 => TcpSocket::new_v4()?,
        Family::V6 => TcpSocket::new_v6()?,
    };
    settings.apply(&SockRef::from(&socket), family);
    socket.connect(to).await
}

/// The half of a connection that receives. Dropping it ends receiving.
#[derive(Debug)]
pub(super) struct Receiving(Arc<Tcp>);

impl Drop for Receiving {
    fn drop(&mut self) {
        // It fails where the connection is gone already.
        let _ = SockRef::from(&self.0.stream).shutdown(std::net::Shutdown::Read);
    }
}

impl Receiving {
    /// Some bytes, at most so many; none at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Bytes, Fault>> {
        let stream = &self.0.stream;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let mut buffer = BytesMut::with_capacity(most.min(PIECE));
            match stream.try_read_buf(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok(_) => {
                    buffer.truncate(most);
                    return Poll::Ready(Ok(slim(buffer)));
                }
            }
        }
    }

    pub(super) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, Fault>> {
        let stream = &self.0.stream;
        loop {
            match stream.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.poll_read_ready(cx))?;
                }
                read => return Poll::Ready(Ok(read?)),
            }
        }
    }

    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // An error shows when it is read.
        self.0.stream.poll_read_ready(cx).map(drop)
    }
}

/// What holds much more room than bytes is copied: guests may keep what they receive for long.
fn slim(buffer: BytesMut) -> Bytes {
    if buffer.len() * 2 < buffer.capacity() {
        return Bytes::copy_from_slice(&buffer);
    }
    buffer.freeze()
}

/// The half of a connection that sends. Dropping it tells the other side that nothing more comes.
#[derive(Debug)]
pub(super) struct Sending(Arc<Tcp>);

impl Drop for Sending {
    fn drop(&mut self) {
        // It fails where the connection is gone already.
        let _ = SockRef::from(&self.0.stream).shutdown(std::net::Shutdown::Write);
    }
}

impl Sending {
    /// Takes some of the bytes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, Fault>> {
        let written = ready!(self.poll_write_from(cx, bytes))?;
        bytes.advance(written);
        Poll::Ready(Ok(written))
    }

    pub(super) fn poll_write_from(
        &mut self,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<Result<usize, Fault>> {
        let stream = &self.0.stream;
        loop {
            match stream.try_write(from) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(Ok(written?)),
            }
        }
    }

    /// About how much can be written.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        ready!(self.0.stream.poll_write_ready(cx))?;
        Poll::Ready(Ok(PIECE))
    }
}

/// A socket for datagrams, bound to a port that the operating system chose.
#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    _place: Place,
}

impl Udp {
    pub(super) fn new(family: Family, settings: &Settings, place: Place) -> Result<Self, Fault> {
        let domain = match family {
            Family::V4 => socket2::Domain::IPV4,
            Family::V6 => socket2::Domain::IPV6,
        };
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        if family == Family::V6 {
            socket.set_only_v6(true)?;
        }
        socket.bind(&family.unspecified().into())?;
        settings.apply(&SockRef::from(&socket), family);
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            _place: place,
        })
    }

    pub(super) fn apply(&self, settings: &Settings, family: Family) {
        settings.apply(&SockRef::from(&self.socket), family);
    }

    /// Sends a datagram. The operating system is asked first: Tokio knows nothing yet of a socket that is new.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddr,
    ) -> Poll<Result<(), Fault>> {
        let mut sent = SockRef::from(&self.socket).send_to(data, &to.into());
        while let Err(error) = &sent
            && error.kind() == io::ErrorKind::WouldBlock
        {
            ready!(self.socket.poll_send_ready(cx))?;
            sent = self.socket.try_send_to(data, to);
        }
        Poll::Ready(Ok(sent.map(drop)?))
    }

    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Bytes, SocketAddr), Fault>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let mut buffer = BytesMut::with_capacity(PIECE);
            match self.socket.try_recv_buf_from(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok((_, from)) => return Poll::Ready(Ok((slim(buffer), from))),
            }
        }
    }
}
