//! Room for instances: a bounded number at once, shared fairly between workloads, with a bounded queue for those that wait.
//!
//! Nobody has a fixed share. A workload may hold at most [`GREED`] times as many slots as are free, so one that takes all it can
//! get leaves room for the next, and that one for the next again; one that is alone on the host may take everything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use super::ticker::Ticker;

/// How many slots a workload may hold for each that is free.
const GREED: u32 = 3;
/// How many holders of idle instances are asked at once whether they have one.
const MOST_ASKED: usize = 256;

/// The room for instances of one engine.
pub struct Capacity {
    total: u32,
    _ticker: Arc<Ticker>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    free: u32,
    tenants: u32,
    /// By key; the places of tenants that left are used again.
    shares: Vec<Option<ShareState>>,
    vacant: Vec<usize>,
    /// Tenants with somebody waiting, each once, in the order in which they are served.
    turns: VecDeque<usize>,
    /// Who may hold idle instances.
    idle: VecDeque<Weak<dyn Idle>>,
}

#[derive(Default)]
struct ShareState {
    held: u32,
    most_waiting: usize,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    weight: u32,
    answer: oneshot::Sender<()>,
}

/// Somebody who waits. What is granted to one who has left goes back.
struct Waiter<'a> {
    share: &'a Arc<Share>,
    weight: u32,
    granted: oneshot::Receiver<()>,
}

impl Waiter<'_> {
    /// Room, unless the workload went meanwhile.
    async fn wait(&mut self) -> Option<Permit> {
        (&mut self.granted).await.ok()?;
        Some(self.share.permit(self.weight))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.granted.close();
        if self.granted.try_recv().is_ok() {
            drop(self.share.permit(self.weight));
        }
        // One behind it may want less.
        let mut state = self.share.capacity.state();
        state.forget_those_who_left(self.share.key);
        state.serve();
    }
}

/// Whoever keeps instances that are not in use, and can give one up when others need room.
pub(super) trait Idle: Send + Sync {
    /// Gives one up. False when there is none.
    fn evict(&self) -> bool;
}

/// What one workload has of the room.
pub struct Share {
    capacity: Arc<Capacity>,
    key: usize,
}

/// Room for one instance, until it is dropped.
pub(super) struct Permit {
    share: Arc<Share>,
    weight: u32,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// As many of the workload wait as may.
    #[error("too many invocations of the workload wait for room already")]
    QueueFull,
    /// The wait took too long.
    #[error("no instance became free within {} ms", .0.as_millis())]
    Waited(Duration),
    /// It would not even fit into an empty host.
    #[error("the component has more memories or tables than this host has room for")]
    TooBig,
}

impl Capacity {
    /// Room for `total` instances of an engine, whose epoch `ticker` moves on.
    pub fn new(total: u32, ticker: Arc<Ticker>) -> Arc<Self> {
        let state = State {
            free: total,
            ..State::default()
        };
        Arc::new(Self {
            total,
            _ticker: ticker,
            state: Mutex::new(state),
        })
    }

    /// How many slots there are.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many slots are taken.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.total - self.state().free
    }

    /// A share for one more workload, of which as many invocations may wait as `most_waiting`.
    #[must_use]
    pub fn share(self: &Arc<Self>, most_waiting: usize) -> Arc<Share> {
        let mut state = self.state();
        state.tenants += 1;
        let key = match state.vacant.pop() {
            Some(key) => key,
            None => {
                state.shares.push(None);
                state.shares.len() - 1
            }
        };
        if let Some(place) = state.shares.get_mut(key) {
            *place = Some(ShareState {
                most_waiting,
                ..ShareState::default()
            });
        }
        drop(state);
        Arc::new(Share {
            capacity: Arc::clone(self),
            key,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks those who hold idle instances to give one up, each in turn. False when nobody has one.
    fn evict_one(&self) -> bool {
        let count = self.state().idle.len();
        for _ in 0..count.min(MOST_ASKED) {
            let holder = {
                let mut state = self.state();
                let Some(holder) = state.idle.pop_front() else {
                    return false;
                };
                let strong = holder.upgrade();
                if strong.is_some() {
                    state.idle.push_back(holder);
                }
                strong
            };
            if holder.is_some_and(|holder| holder.evict()) {
                return true;
            }
        }
        false
    }
}

impl std::fmt::Debug for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capacity")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Whether a workload may take so many more slots now.
    fn grants(&self, key: usize, weight: u32) -> bool {
        let Some(share) = self.shares.get(key).and_then(Option::as_ref) else {
            return false;
        };
        let Some(left) = self.free.checked_sub(weight) else {
            return false;
        };
        share.held == 0
            || self.tenants < 2
            || share.held.saturating_add(weight) <= left.saturating_mul(GREED)
    }

    fn take(&mut self, key: usize, weight: u32) {
        self.free -= weight;
        if let Some(Some(share)) = self.shares.get_mut(key) {
            share.held += weight;
        }
    }

    fn give_back(&mut self, key: usize, weight: u32) {
        self.free += weight;
        if let Some(Some(share)) = self.shares.get_mut(key) {
            share.held -= weight;
        }
    }

    /// Serves those who wait, one of each workload at a time, as far as there is room.
    fn serve(&mut self) {
        let mut passed = 0;
        while passed < self.turns.len() {
            let Some(key) = self.turns.pop_front() else {
                return;
            };
            passed = if self.serve_one(key) { 0 } else { passed + 1 };
            let share = self.shares.get(key).and_then(Option::as_ref);
            if share.is_some_and(|share| !share.waiting.is_empty()) {
                self.turns.push_back(key);
            }
        }
    }

    /// Takes those out of the queue who gave up, as far as they are first, so that nobody makes room for them.
    fn forget_those_who_left(&mut self, key: usize) {
        let Some(Some(share)) = self.shares.get_mut(key) else {
            return;
        };
        let left = |waiting: &Waiting| waiting.answer.is_closed();
        while share.waiting.front().is_some_and(left) {
            share.waiting.pop_front();
        }
        if share.waiting.is_empty() {
            self.turns.retain(|turn| *turn != key);
        }
    }

    /// Serves the first of a workload that still waits. False when there is none, or no room for it.
    fn serve_one(&mut self, key: usize) -> bool {
        loop {
            let share = self.shares.get(key).and_then(Option::as_ref);
            let Some(weight) = share.and_then(|share| Some(share.waiting.front()?.weight)) else {
                return false;
            };
            if !self.grants(key, weight) {
                return false;
            }
            let share = self.shares.get_mut(key).and_then(Option::as_mut);
            let Some(waiting) = share.and_then(|share| share.waiting.pop_front()) else {
                return false;
            };
            if waiting.answer.send(()).is_ok() {
                self.take(key, weight);
                return true;
            }
        }
    }
}

impl Share {
    /// Tells who keeps idle instances of this workload.
    pub(super) fn keeps_idle(&self, holder: Weak<dyn Idle>) {
        self.capacity.state().idle.push_back(holder);
    }

    /// Room for one instance that takes `weight` slots; waits for it no longer than `patience`.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        weight: u32,
        patience: Duration,
    ) -> Result<Permit, NoRoom> {
        let mut waiter = {
            let mut state = self.capacity.state();
            if weight > self.capacity.total {
                return Err(NoRoom::TooBig);
            }
            let first = state
                .shares
                .get(self.key)
                .and_then(Option::as_ref)
                .is_some_and(|share| share.waiting.is_empty());
            if first && state.grants(self.key, weight) {
                state.take(self.key, weight);
                drop(state);
                return Ok(self.permit(weight));
            }
            self.enqueue(&mut state, weight)?
        };
        // Each of them has one slot or more.
        let _ = (0..weight).all(|_| self.capacity.evict_one());
        let granted = tokio::time::timeout(patience, waiter.wait()).await;
        granted.ok().flatten().ok_or(NoRoom::Waited(patience))
    }

    /// Asks those who hold idle instances, of whatever workload, to give one up. False when nobody has one.
    pub(super) fn evict_one(&self) -> bool {
        self.capacity.evict_one()
    }

    /// Whether anybody waits for room.
    pub(super) fn is_wanted(&self) -> bool {
        !self.capacity.state().turns.is_empty()
    }

    /// Whether a workload waits for room that holds less than this one.
    pub(super) fn must_yield(&self) -> bool {
        let state = self.capacity.state();
        let held = |key: usize| {
            let share = state.shares.get(key).and_then(Option::as_ref);
            share.map_or(0, |share| share.held)
        };
        let mine = held(self.key);
        state.turns.iter().any(|turn| held(*turn) < mine)
    }

    fn enqueue(self: &Arc<Self>, state: &mut State, weight: u32) -> Result<Waiter<'_>, NoRoom> {
        let Some(Some(share)) = state.shares.get_mut(self.key) else {
            return Err(NoRoom::TooBig);
        };
        let most = share.most_waiting;
        if share.waiting.len() >= most {
            // Those who gave up leave their places only here.
            share.waiting.retain(|waiting| !waiting.answer.is_closed());
        }
        if share.waiting.len() >= most {
            return Err(NoRoom::QueueFull);
        }
        let (answer, granted) = oneshot::channel();
        share.waiting.push_back(Waiting { weight, answer });
        if !state.turns.contains(&self.key) {
            state.turns.push_back(self.key);
        }
        Ok(Waiter {
            share: self,
            weight,
            granted,
        })
    }

    fn permit(self: &Arc<Self>, weight: u32) -> Permit {
        Permit {
            share: Arc::clone(self),
            weight,
        }
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").finish_non_exhaustive()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.capacity.state();
        state.tenants -= 1;
        let key = self.key;
        if let Some(place) = state.shares.get_mut(key) {
            *place = None;
        }
        state.turns.retain(|turn| *turn != key);
        state.vacant.push(key);
        // Not each time: ten thousand workloads may leave at once.
        if state.idle.len() > 64 + 2 * state.tenants as usize {
            state.idle.retain(|holder| holder.strong_count() > 0);
        }
        // Who is left alone may take everything.
        state.serve();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.share.capacity.state();
        state.give_back(self.share.key, self.weight);
        state.serve();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn capacity(total: u32) -> Arc<Capacity> {
        Capacity::new(total, Arc::default())
    }

    fn now(share: &Arc<Share>) -> Result<Permit, NoRoom> {
        share
            .acquire(1, Duration::ZERO)
            .now_or_never()
            .unwrap_or(Err(NoRoom::QueueFull))
    }

    async fn take_all(share: &Arc<Share>) -> Vec<Permit> {
        let mut held = Vec::new();
        while let Some(Ok(permit)) = share.acquire(1, LONG).now_or_never() {
            held.push(permit);
        }
        held
    }

    #[tokio::test]
    async fn a_workload_that_is_alone_may_take_everything() {
        let capacity = capacity(8);
        let share = capacity.share(2);
        let held = take_all(&share).await;
        assert_eq!(held.len(), 8);
        drop(held);
        assert_eq!(capacity.held(), 0);
    }

    #[tokio::test]
    async fn greedy_workloads_leave_room_for_the_next() {
        let capacity = capacity(100);
        let shares: Vec<_> = (0..5).map(|_| capacity.share(2)).collect();
        let mut held = Vec::new();
        for share in &shares {
            let taken = take_all(share).await;
            assert!(!taken.is_empty());
            held.push(taken);
        }
        let counts: Vec<usize> = held.iter().map(Vec::len).collect();
        assert_eq!(counts.first(), Some(&75));
        assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    }

    #[tokio::test]
    async fn those_who_wait_are_served_one_of_each_workload_in_turn() {
        let capacity = capacity(1);
        let (a, b) = (capacity.share(2), capacity.share(2));
        let held = now(&a).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |name: &'static str, share: &Arc<Share>| {
            let (share, order) = (Arc::clone(share), Arc::clone(&order));
            Box::pin(async move {
                let _permit = share.acquire(1, LONG).await.unwrap();
                order.lock().unwrap().push(name);
            })
        };
        let mut waiting: Vec<_> = [("a1", &a), ("a2", &a), ("b1", &b)]
            .map(|(name, share)| wait(name, share))
            .into();
        for waiting in &mut waiting {
            assert!(waiting.now_or_never().is_none());
        }
        drop(held);
        futures::future::join_all(waiting).await;
        assert_eq!(*order.lock().unwrap(), ["a1", "b1", "a2"]);
    }

    #[tokio::test]
    async fn the_queue_has_an_end_and_those_who_left_do_not_count() {
        let capacity = capacity(1);
        let share = capacity.share(2);
        let _held = now(&share).unwrap();
        let mut first = Box::pin(share.acquire(1, LONG));
        let mut second = Box::pin(share.acquire(1, LONG));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        let third = share.acquire(1, LONG).await.map(drop);
        assert_eq!(third, Err(NoRoom::QueueFull));
        drop(second);
        assert!(share.acquire(1, LONG).now_or_never().is_none());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let capacity = capacity(1);
        let share = capacity.share(2);
        let _held = now(&share).unwrap();
        let patience = Duration::from_millis(1);
        let refused = share.acquire(1, patience).await.map(drop);
        assert_eq!(refused, Err(NoRoom::Waited(patience)));
        let too_big = share.acquire(2, patience).await.map(drop);
        assert_eq!(too_big, Err(NoRoom::TooBig));
    }

    #[tokio::test]
    async fn room_that_was_granted_to_one_who_left_goes_to_the_next() {
        let capacity = capacity(1);
        let share = capacity.share(2);
        let held = now(&share).unwrap();
        let mut first = Box::pin(share.acquire(1, LONG));
        let mut second = Box::pin(share.acquire(1, LONG));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        // The first is granted room and never looks.
        drop(held);
        drop(first);
        assert!(second.await.is_ok());
        assert_eq!(capacity.held(), 0);
    }

    #[tokio::test]
    async fn idle_instances_make_room_for_others() {
        struct Kept(Mutex<Vec<Permit>>, AtomicUsize);
        impl Idle for Kept {
            fn evict(&self) -> bool {
                self.1.fetch_add(1, Ordering::Relaxed);
                let kept = self.0.lock().unwrap().pop();
                kept.is_some()
            }
        }
        let capacity = capacity(2);
        let (a, b, c) = (capacity.share(2), capacity.share(2), capacity.share(2));
        let kept = Arc::new(Kept(Mutex::default(), AtomicUsize::default()));
        kept.0.lock().unwrap().extend([now(&a).unwrap()]);
        let holder: Arc<dyn Idle> = kept.clone();
        a.keeps_idle(Arc::downgrade(&holder));
        let _rest = now(&b).unwrap();
        assert!(c.acquire(1, LONG).now_or_never().is_some());
        assert_eq!(kept.1.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn one_that_takes_several_slots_gets_as_many_idle_ones() {
        struct Kept(Mutex<Vec<Permit>>);
        impl Idle for Kept {
            fn evict(&self) -> bool {
                let kept = self.0.lock().unwrap().pop();
                kept.is_some()
            }
        }
        let capacity = capacity(3);
        let (a, b) = (capacity.share(2), capacity.share(2));
        let holder: Arc<dyn Idle> = Arc::new(Kept(Mutex::new(take_all(&a).await)));
        a.keeps_idle(Arc::downgrade(&holder));
        assert!(b.acquire(3, LONG).now_or_never().is_some());
    }

    #[tokio::test]
    async fn nobody_makes_room_for_those_who_left() {
        let capacity = capacity(1);
        let (a, b) = (capacity.share(2), capacity.share(2));
        let _held = now(&a).unwrap();
        let mut waits = Box::pin(b.acquire(1, LONG));
        assert!((&mut waits).now_or_never().is_none());
        assert!(a.must_yield() && a.is_wanted());
        drop(waits);
        assert!(!a.must_yield() && !a.is_wanted());
    }
}
