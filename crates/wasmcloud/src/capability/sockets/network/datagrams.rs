//! UDP: endpoints with a queue of datagrams each.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::NetError;

/// A bound UDP address. Dropping it gives it back.
#[derive(Debug)]
pub struct Datagrams {
    addr: SocketAddr,
}

impl Datagrams {
    /// Its address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends one datagram. Where nobody is, or the queue there is full, it is lost, as datagrams are.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddr,
    ) -> Poll<Result<(), NetError>> {
        let _ = (cx, data, to);
        Poll::Pending
    }

    /// The next datagram, and who sent it.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
        let _ = cx;
        Poll::Pending
    }

    /// Ready when [`Datagrams::poll_receive`] is.
    pub fn poll_receivable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// Ready when [`Datagrams::poll_send`] is.
    pub fn poll_sendable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}
