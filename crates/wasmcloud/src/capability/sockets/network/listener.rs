//! Bound addresses, who listens there, and connecting to them.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::address::Key;
use super::connection::{Connection, Wire};
use super::{NetError, Network};

/// How many connections may wait to be accepted, at most.
const MOST_BACKLOG: usize = 4096;

/// A TCP address that is taken. Dropping it gives it back.
#[derive(Debug)]
pub struct TcpBinding {
    network: Arc<Network>,
    key: Key,
}

impl TcpBinding {
    /// For an address that was noted and counted.
    pub(super) const fn new(network: Arc<Network>, key: Key) -> Self {
        Self { network, key }
    }

    pub(super) const fn key(&self) -> Key {
        self.key
    }

    /// The address, with the port that was found if any was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.key.addr()
    }

    /// Listens. `backlog` is how many connections may wait to be accepted, held to 1..=4096.
    #[must_use]
    pub fn listen(self, backlog: usize) -> Listener {
        let backlog = Arc::new(Backlog::new(backlog.clamp(1, MOST_BACKLOG)));
        self.network.listens(self.key, &backlog);
        Listener {
            binding: self,
            backlog,
        }
    }
}

impl Drop for TcpBinding {
    fn drop(&mut self) {
        self.network.unbind_tcp(self.key);
    }
}

/// Accepts connections. Dropping it gives the address back and resets the connections that were never accepted.
#[derive(Debug)]
pub struct Listener {
    binding: TcpBinding,
    backlog: Arc<Backlog>,
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.binding.local_addr()
    }

    /// The next connection; `None`: there will be none any more. One task at a time waits for it: the last that polled is woken.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        let mut state = self.backlog.lock();
        let Some(accepted) = state.ready.pop_front() else {
            return Backlog::poll_closed(state, cx).map(|()| None);
        };
        let next = state.waiting.pop_first().map(|(_, next)| next);
        let waker = next.and_then(|next| {
            state.ready.push_back(next.accepts);
            next.waker
        });
        if state.ready.is_empty() {
            state.ready = VecDeque::new();
        }
        let left = state.waker.take();
        drop(state);
        drop(left);
        waker.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(accepted))
    }

    /// Ready when [`Listener::poll_accept`] is.
    pub fn poll_acceptable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.backlog.lock();
        if state.ready.is_empty() {
            Backlog::poll_closed(state, cx)
        } else {
            Poll::Ready(())
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let never_accepted = {
            let mut state = self.backlog.lock();
            state.closed = true;
            mem::take(&mut state.ready)
        };
        never_accepted.into_iter().for_each(Connection::reset);
        self.backlog.close();
    }
}

/// Connections that were not accepted yet.
#[derive(Debug)]
pub(super) struct Backlog(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Connections that have come about, at most `most`.
    ready: VecDeque<Connection>,
    /// Those that come about when there is room, in order.
    waiting: BTreeMap<u64, Waiting>,
    last: u64,
    most: usize,
    closed: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Waiting {
    accepts: Connection,
    waker: Option<Waker>,
}

/// What became of a connection that was offered.
enum Offered {
    Taken,
    Waits(u64),
    Refused,
}

impl Backlog {
    fn new(most: usize) -> Self {
        Self(Mutex::new(State {
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            last: 0,
            most,
            closed: false,
            waker: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, accepts: Connection) -> Offered {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Offered::Refused;
        }
        if state.ready.len() >= state.most {
            state.last += 1;
            let ticket = state.last;
            let waiting = Waiting {
                accepts,
                waker: None,
            };
            state.waiting.insert(ticket, waiting);
            return Offered::Waits(ticket);
        }
        state.ready.push_back(accepts);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Offered::Taken
    }

    /// Takes nothing more, and refuses who waits. What is ready can still be accepted.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = mem::take(&mut state.waiting);
        let waker = state.waker.take();
        drop(state);
        for Waiting { accepts, waker } in waiting.into_values() {
            accepts.reset();
            waker.into_iter().for_each(Waker::wake);
        }
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll_closed(mut state: MutexGuard<'_, State>, cx: &Context<'_>) -> Poll<()> {
        if state.closed {
            return Poll::Ready(());
        }
        let old = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Whether it still waits.
    fn waits(&self, ticket: u64, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        let Some(waiting) = state.waiting.get_mut(&ticket) else {
            return false;
        };
        let old = waiting.waker.replace(cx.waker().clone());
        drop(state);
        drop(old);
        true
    }

    fn give_up(&self, ticket: u64) {
        let given_up = self.lock().waiting.remove(&ticket);
        drop(given_up);
    }
}

/// A connection that is coming about. Dropping it gives up.
#[derive(Debug)]
pub struct Connect(Progress);

#[derive(Debug)]
enum Progress {
    Done(Result<Connection, NetError>),
    Waits {
        connects: Connection,
        backlog: Arc<Backlog>,
        ticket: u64,
    },
    Over,
}

impl Connect {
    pub(super) const fn failed(error: NetError) -> Self {
        Self(Progress::Done(Err(error)))
    }

    /// Connects over a new wire, which was noted and counted.
    pub(super) fn to(
        backlog: Arc<Backlog>,
        network: &Arc<Network>,
        (from, to): (Key, Key),
        binding: Option<TcpBinding>,
    ) -> Self {
        let (connects, accepts) = Wire::ends(network, from, to, binding);
        Self(match backlog.offer(accepts) {
            Offered::Taken => Progress::Done(Ok(connects)),
            Offered::Refused => Progress::Done(Err(NetError::Refused)),
            Offered::Waits(ticket) => Progress::Waits {
                connects,
                backlog,
                ticket,
            },
        })
    }
}

impl Future for Connect {
    type Output = Result<Connection, NetError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Progress::Waits {
            backlog, ticket, ..
        } = &self.0
            && backlog.waits(*ticket, cx)
        {
            return Poll::Pending;
        }
        Poll::Ready(match mem::replace(&mut self.0, Progress::Over) {
            Progress::Done(result) => result,
            Progress::Waits { connects, .. } if connects.was_reset() => Err(NetError::Refused),
            Progress::Waits { connects, .. } => Ok(connects),
            Progress::Over => Err(NetError::Aborted),
        })
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        if let Progress::Waits {
            backlog, ticket, ..
        } = &self.0
        {
            backlog.give_up(*ticket);
        }
    }
}
