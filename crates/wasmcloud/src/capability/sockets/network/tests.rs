//! The network as its guests see it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod connections;
mod datagrams;
mod flow;
mod listeners;
mod stress;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures::FutureExt as _;

use super::*;

/// Counts how often it was woken.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Alarm {
    /// How often it was woken since it was asked last.
    fn rang(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// Someone who polls, and how often they were woken.
struct Task {
    alarm: Arc<Alarm>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let alarm = Arc::new(Alarm::default());
        let waker = Arc::clone(&alarm).into();
        Self { alarm, waker }
    }

    fn cx(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    fn rang(&self) -> usize {
        self.alarm.rang()
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn network() -> Arc<Network> {
    Network::new(NetworkBudget::default())
}

fn listen(network: &Arc<Network>, at: &str, backlog: usize) -> Listener {
    network.bind_tcp(addr(at)).unwrap().listen(backlog)
}

fn connect(network: &Arc<Network>, to: SocketAddr) -> Result<Connection, NetError> {
    network.connect(None, to).now_or_never().unwrap()
}

fn accept(listener: &mut Listener) -> Option<Connection> {
    match listener.poll_accept(&mut cx()) {
        Poll::Ready(accepted) => accepted,
        Poll::Pending => panic!("nobody connected"),
    }
}

/// Both ends of a connection: that of who connected first.
fn pair(network: &Arc<Network>) -> (Connection, Connection) {
    let mut listener = listen(network, "127.0.0.1:0", 1);
    let client = connect(network, listener.local_addr()).unwrap();
    (client, accept(&mut listener).unwrap())
}

/// Writes as much as goes.
fn write(connection: &mut Connection, bytes: &[u8]) -> Poll<Result<usize, NetError>> {
    connection.writer.poll_write_from(&mut cx(), bytes)
}

fn read(connection: &mut Connection, most: usize) -> Poll<Result<Bytes, NetError>> {
    connection.reader.poll_read(&mut cx(), most)
}

const NOTHING: NetworkUsage = NetworkUsage {
    connections: 0,
    buffered: 0,
};
