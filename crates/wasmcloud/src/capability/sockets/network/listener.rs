//! Bound addresses, who listens there, and connecting to them.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Connection, NetError};

/// A TCP address that is taken. Dropping it gives it back.
#[derive(Debug)]
pub struct TcpBinding {
    addr: SocketAddr,
}

impl TcpBinding {
    /// The address, with the port that was found if any was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens. `backlog` is how many connections may wait to be accepted, held to 1..=4096.
    #[must_use]
    pub fn listen(self, backlog: usize) -> Listener {
        let _ = backlog;
        Listener { addr: self.addr }
    }
}

/// Accepts connections. Dropping it gives the address back and resets the connections that were never accepted.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection; `None`: there will be none any more.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        let _ = cx;
        Poll::Pending
    }

    /// Ready when [`Listener::poll_accept`] is.
    pub fn poll_acceptable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}

/// A connection that is coming about. Dropping it gives up.
#[derive(Debug, Default)]
pub struct Connect {}

impl Future for Connect {
    type Output = Result<Connection, NetError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _ = cx;
        Poll::Ready(Err(NetError::Refused))
    }
}
