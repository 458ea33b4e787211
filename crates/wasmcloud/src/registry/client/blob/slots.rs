//! Slots for blobs: so many are fetched at once in all, and no more than half of them from one registry, so that one that is slow keeps
//! nobody from the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// How many blobs are fetched at once.
pub(in crate::registry::client) struct Slots {
    all: Semaphore,
    /// How many of them one registry may have.
    each: usize,
    /// The registries of which somebody has a slot, or waits for one.
    hosts: Mutex<HashMap<String, Host>>,
}

/// What one registry has of the slots.
struct Host {
    free: Arc<Semaphore>,
    /// How many have a slot of it or wait for one.
    users: usize,
}

/// A slot. It is free again when it is dropped.
#[must_use]
pub(in crate::registry::client) struct Slot<'a> {
    _all: Option<SemaphorePermit<'a>>,
    _own: Option<OwnedSemaphorePermit>,
    _user: User<'a>,
}

/// Whoever has a slot of a registry, or waits for one.
struct User<'a> {
    slots: &'a Slots,
    host: &'a str,
    free: Arc<Semaphore>,
}

impl Slots {
    pub(in crate::registry::client) fn new(parallel: usize) -> Self {
        let all = parallel.min(Semaphore::MAX_PERMITS);
        Self {
            all: Semaphore::new(all),
            each: (all / 2).max(1),
            hosts: Mutex::default(),
        }
    }

    /// Waits for a slot of a registry. Whoever waits for its own registry first is not in the way of those that wait for another.
    pub(in crate::registry::client) async fn take<'a>(&'a self, host: &'a str) -> Slot<'a> {
        let user = self.user(host);
        // Neither is ever closed.
        let own = Arc::clone(&user.free).acquire_owned().await.ok();
        let all = self.all.acquire().await.ok();
        Slot {
            _all: all,
            _own: own,
            _user: user,
        }
    }

    fn user<'a>(&'a self, host: &'a str) -> User<'a> {
        let mut hosts = self.hosts();
        let entry = hosts.entry(host.to_owned()).or_insert_with(|| Host {
            free: Arc::new(Semaphore::new(self.each)),
            users: 0,
        });
        entry.users += 1;
        User {
            slots: self,
            host,
            free: Arc::clone(&entry.free),
        }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for User<'_> {
    /// What nobody uses is forgotten: workloads may name any number of registries.
    fn drop(&mut self) {
        let mut hosts = self.slots.hosts();
        let Some(entry) = hosts.get_mut(self.host) else {
            return;
        };
        entry.users = entry.users.saturating_sub(1);
        if entry.users == 0 {
            hosts.remove(self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn one_registry_has_at_most_half_of_the_slots_and_at_least_one() {
        for (parallel, most) in [(1, 1), (2, 1), (3, 1), (4, 2), (9, 4)] {
            let slots = Slots::new(parallel);
            let slot = || slots.take("a.example").now_or_never();
            let held: Vec<Slot<'_>> = (0..parallel).map_while(|_| slot()).collect();
            assert_eq!(held.len(), most, "{parallel}");
        }
    }

    #[test]
    fn those_that_wait_for_one_registry_keep_nobody_from_another() {
        let slots = Slots::new(4);
        let _held = [(); 2].map(|()| slots.take("a.example").now_or_never().unwrap());
        let mut waiting = Box::pin(slots.take("a.example"));
        assert!((&mut waiting).now_or_never().is_none());
        assert!(slots.take("b.example").now_or_never().is_some());
    }

    #[test]
    fn a_slot_that_is_dropped_is_for_the_next() {
        let slots = Slots::new(2);
        let held = slots.take("a.example").now_or_never().unwrap();
        let mut waiting = Box::pin(slots.take("a.example"));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        assert!((&mut waiting).now_or_never().is_some());
    }

    #[test]
    fn a_registry_that_nobody_uses_any_more_is_forgotten() {
        let slots = Slots::new(2);
        let held = slots.take("a.example").now_or_never().unwrap();
        let mut waiting = Box::pin(slots.take("a.example"));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        assert_eq!(slots.hosts().len(), 1);
        drop(waiting);
        assert!(slots.hosts().is_empty());
    }
}
