//! How many connections there may be, and how many there are: a place for each, held as long as the socket is open.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::capability::room::part_of_open_files;

/// What is counted about the client of one workload.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) open: AtomicUsize,
    pub(super) waiting: AtomicUsize,
    pub(super) opened: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) denied: AtomicU64,
}

/// What the client of one workload does and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Connections that are open, or about to be.
    pub open: usize,
    /// Those of them that nobody uses.
    pub idle: usize,
    /// Requests that wait for a connection because there are as many as may be.
    pub waiting: usize,
    /// Connections that were ever begun.
    pub opened: u64,
    /// Requests that guests ever sent, denied ones included.
    pub requests: u64,
    /// Requests that the policy denied.
    pub denied: u64,
}

/// The fewest and the most places that a host has by default.
const BY_DEFAULT: std::ops::RangeInclusive<usize> = 64..=32_768;

/// As many as a semaphore can count.
fn semaphore(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

/// The places of one workload, which are also places of the host.
#[derive(Clone, Debug)]
pub(super) struct Places {
    own: Arc<Semaphore>,
    host: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
}

impl Places {
    /// The places of a host; `None`: half of the files that the process may have open, within reason.
    pub(super) fn of_host(wanted: Option<usize>) -> Arc<Semaphore> {
        semaphore(wanted.unwrap_or_else(|| part_of_open_files(2, BY_DEFAULT)))
    }

    pub(super) fn new(own: usize, host: Arc<Semaphore>) -> Self {
        Self {
            own: semaphore(own),
            host,
            counters: Arc::default(),
        }
    }

    /// A place if there is one, without waiting.
    pub(super) fn take_now(&self) -> Option<Place> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let host = Arc::clone(&self.host).try_acquire_owned().ok()?;
        Some(self.place(own, host))
    }

    /// A place, in the order in which they were asked for. `None`: there are none any more.
    /// When it is the workload's turn and the host has none left, `make_room` is called once.
    pub(super) async fn take(&self, make_room: impl FnOnce()) -> Option<Place> {
        let own = Arc::clone(&self.own).acquire_owned().await.ok()?;
        if self.host_is_full() {
            make_room();
        }
        let host = Arc::clone(&self.host).acquire_owned().await.ok()?;
        Some(self.place(own, host))
    }

    /// Whether the host has none left, whatever the workload has.
    pub(super) fn host_is_full(&self) -> bool {
        self.host.available_permits() == 0
    }

    fn place(&self, own: OwnedSemaphorePermit, host: OwnedSemaphorePermit) -> Place {
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        Place {
            _own: own,
            _host: host,
            counters: Arc::clone(&self.counters),
        }
    }
}

/// The right to one connection.
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
    counters: Arc<Counters>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one who waits, as long as it lives.
pub(super) struct Waiting<'a>(&'a Counters);

/// How many requests of a workload wait for a connection at most.
const MOST_WAITING: usize = 1000;

impl<'a> Waiting<'a> {
    /// One more. `None`: as many wait as may.
    pub(super) fn new(counters: &'a Counters) -> Option<Self> {
        let before = counters.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(counters);
        (before < MOST_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket with its place, which is given up when the socket is closed, not before. The socket comes first, so that it is.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    _place: Place,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream, place: Place) -> Self {
        Self {
            stream,
            _place: place,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_place_is_one_of_the_workload_and_one_of_the_host() {
        let host = Places::of_host(Some(3));
        let (a, b) = (Places::new(2, Arc::clone(&host)), Places::new(2, host));
        let held = [a.take_now().unwrap(), a.take_now().unwrap()];
        assert!(a.take_now().is_none() && !a.host_is_full());
        let other = b.take_now().unwrap();
        assert!(b.take_now().is_none() && b.host_is_full());
        assert_eq!(a.counters.open.load(Ordering::Relaxed), 2);
        drop((held, other));
        assert!(b.take_now().is_some());
        assert_eq!(a.counters.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn only_so_many_wait() {
        let counters = Counters::default();
        let waiting: Vec<_> = (0..MOST_WAITING)
            .map(|_| Waiting::new(&counters).unwrap())
            .collect();
        assert!(Waiting::new(&counters).is_none());
        drop(waiting);
        assert!(Waiting::new(&counters).is_some());
    }
}
