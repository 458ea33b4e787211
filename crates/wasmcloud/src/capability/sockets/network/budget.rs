//! What the network of one workload may hold, and who waits for room.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

use super::{NetError, NetworkBudget, NetworkUsage};

/// Counts against a budget.
#[derive(Debug)]
pub(super) struct Budget {
    limit: NetworkBudget,
    connections: AtomicUsize,
    sockets: AtomicUsize,
    buffered: AtomicUsize,
    /// Whether anybody waits. Written with the lock held.
    hungry: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    wakers: BTreeMap<NonZeroU64, Waker>,
}

/// A place among those who wait for room. Whoever has one gives it back with [`Budget::leave`].
pub(super) type Ticket = Option<NonZeroU64>;

impl Budget {
    pub(super) fn new(limit: NetworkBudget) -> Self {
        Self {
            limit,
            connections: AtomicUsize::new(0),
            sockets: AtomicUsize::new(0),
            buffered: AtomicUsize::new(0),
            hungry: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn usage(&self) -> NetworkUsage {
        NetworkUsage {
            connections: self.connections.load(Ordering::Relaxed),
            buffered: self.buffered.load(Ordering::Relaxed),
        }
    }

    /// One more connection; [`Budget::disconnect`] gives it back.
    pub(super) fn connect(&self) -> Result<(), NetError> {
        one_more(&self.connections, self.limit.connections)
    }

    pub(super) fn disconnect(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// One more bound address; [`Budget::unbind`] gives it back.
    pub(super) fn bind(&self) -> Result<(), NetError> {
        one_more(&self.sockets, self.limit.connections)
    }

    pub(super) fn unbind(&self) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// How much there is left.
    pub(super) fn left(&self) -> usize {
        self.limit
            .buffered
            .saturating_sub(self.buffered.load(Ordering::SeqCst))
    }

    /// Takes as much as there is, at most `wanted`.
    pub(super) fn take(&self, wanted: usize) -> usize {
        if wanted == 0 {
            return 0;
        }
        let mut taken = 0;
        let _ = self
            .buffered
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                taken = wanted.min(self.limit.buffered.saturating_sub(used));
                (taken > 0).then(|| used + taken)
            });
        taken
    }

    /// Takes all of `wanted` or nothing.
    pub(super) fn take_all(&self, wanted: usize) -> bool {
        let fits = |used: usize| Some(used + wanted).filter(|sum| *sum <= self.limit.buffered);
        let taken = self
            .buffered
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits);
        taken.is_ok()
    }

    /// Takes what everybody may have, whether there is room or not.
    pub(super) fn overdraw(&self, bytes: usize) {
        self.buffered.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Gives back, and wakes those who wait if it is worth their while: all of them, when there is an eighth of the whole. Who waits
    /// depends on it only for speed; what everybody may have it gets from its own reader. Called with no lock held.
    pub(super) fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let used = self.buffered.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        // Whoever begins to wait says so before it looks at what there is, so one of the two sees the other.
        let left = self.limit.buffered.saturating_sub(used);
        if self.hungry.load(Ordering::SeqCst) && left >= (self.limit.buffered / 8).max(1) {
            let wakers = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                self.hungry.store(false, Ordering::SeqCst);
                std::mem::take(&mut waiting.wakers)
            };
            wakers.into_values().for_each(Waker::wake);
        }
    }

    /// Waits for room. Whoever called it looks again before it goes to sleep.
    pub(super) fn wait(&self, ticket: &mut Ticket, cx: &Context<'_>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = *ticket.get_or_insert_with(|| {
            waiting.last += 1;
            NonZeroU64::MIN.saturating_add(waiting.last)
        });
        let old = waiting.wakers.insert(ticket, cx.waker().clone());
        self.hungry.store(true, Ordering::SeqCst);
        drop(waiting);
        drop(old);
    }

    /// Waits no more.
    pub(super) fn leave(&self, ticket: &mut Ticket) {
        let Some(ticket) = ticket.take() else {
            return;
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let old = waiting.wakers.remove(&ticket);
        if waiting.wakers.is_empty() {
            self.hungry.store(false, Ordering::SeqCst);
        }
        drop(waiting);
        drop(old);
    }
}

fn one_more(count: &AtomicUsize, most: usize) -> Result<(), NetError> {
    let more = |count| Some(count + 1).filter(|count| *count <= most);
    let counted = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    counted.map(drop).map_err(|_| NetError::Full)
}
