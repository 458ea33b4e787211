//! UDP: endpoints with a queue of datagrams each.

use std::collections::VecDeque;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::address::Key;
use super::{NetError, Network};

/// The most that a datagram holds.
const MOST: usize = 65_507;
/// What a datagram costs beyond its bytes, so that many empty ones are not free.
const OVERHEAD: usize = 64;
/// How much an endpoint holds. The longest datagram fits.
const ROOM: usize = 64 * 1024 + OVERHEAD;

/// A bound UDP address. Dropping it gives it back.
#[derive(Debug)]
pub struct Datagrams {
    network: Arc<Network>,
    key: Key,
    inbox: Arc<Inbox>,
}

/// What was sent to an endpoint.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(Bytes, Key)>,
    held: usize,
    gone: bool,
    waker: Option<Waker>,
}

fn cost(data: &[u8]) -> usize {
    data.len() + OVERHEAD
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has room. What is put in is charged already.
    fn put(&self, data: &[u8], from: Key) -> bool {
        let mut state = self.lock();
        if state.gone || state.held + cost(data) > ROOM {
            return false;
        }
        state.held += cost(data);
        state.queue.push_back((Bytes::copy_from_slice(data), from));
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

impl Datagrams {
    /// For an address that was noted and counted.
    pub(super) const fn new(network: Arc<Network>, key: Key, inbox: Arc<Inbox>) -> Self {
        Self {
            network,
            key,
            inbox,
        }
    }

    /// Its address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.key.addr()
    }

    /// Sends one datagram, without ever waiting. Where nobody is, or no room for it, it is lost, as datagrams are: an endpoint holds
    /// 64 KiB that nobody received yet, as far as the workload's budget goes.
    ///
    /// # Errors
    /// `TooLarge`: more than 65,507 bytes.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddr,
    ) -> Poll<Result<(), NetError>> {
        let _ = cx;
        if data.len() > MOST {
            return Poll::Ready(Err(NetError::TooLarge));
        }
        let to = Key::new(to).filter(|to| to.is_same_family(self.key));
        let inbox = to.and_then(|to| self.network.inbox(to.specific()));
        if let Some(inbox) = inbox
            && self.network.budget.take_all(cost(data))
            && !inbox.put(data, self.key.specific())
        {
            self.network.budget.give_back(cost(data));
        }
        Poll::Ready(Ok(()))
    }

    /// The next datagram, and who sent it. One task at a time waits for it: the last that polled is woken.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
        let mut state = self.inbox.lock();
        let Some((data, from)) = state.queue.pop_front() else {
            return Self::park(state, cx);
        };
        state.held -= cost(&data);
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        let left = state.waker.take();
        drop(state);
        drop(left);
        self.network.budget.give_back(cost(&data));
        Poll::Ready((data, from.addr()))
    }

    /// Ready when [`Datagrams::poll_receive`] is.
    pub fn poll_receivable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.inbox.lock();
        if state.queue.is_empty() {
            Self::park(state, cx)
        } else {
            Poll::Ready(())
        }
    }

    /// Ready: sending never waits.
    pub fn poll_sendable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    fn park<T>(mut state: MutexGuard<'_, State>, cx: &Context<'_>) -> Poll<T> {
        let old = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.network.unbind_udp(self.key);
        let mut state = self.inbox.lock();
        state.gone = true;
        let held = mem::take(&mut state.held);
        let (queue, waker) = (mem::take(&mut state.queue), state.waker.take());
        drop(state);
        drop((queue, waker));
        self.network.budget.give_back(held);
    }
}
