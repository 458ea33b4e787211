//! Instances that outlive an invocation, kept for the next one of the same component.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;

use super::callee::Warm;
use super::capacity::Idle;
use super::shared::{Crew, Crews};

/// How often instances were used again, and what became of them. All counts begin when the workload starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolUsage {
    /// Invocations that found a warm instance.
    pub hits: u64,
    /// Invocations that got a fresh one.
    pub misses: u64,
    /// Instances that were given up after a trap, a timeout or a caller who left.
    pub failed: u64,
    /// Instances that were given up after as many invocations as they may serve.
    pub used_up: u64,
    /// Instances that were given up because others needed the room.
    pub evicted: u64,
}

/// The pool of one entry.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Warm>>,
    /// Instances that serve several invocations at once.
    crews: Mutex<Crews>,
    /// The instance of a service.
    resident: Mutex<Option<Arc<Crew>>>,
    /// Counts the tasks that run crews.
    drivers: TaskTracker,
    hits: AtomicU64,
    misses: AtomicU64,
    failed: AtomicU64,
    used_up: AtomicU64,
    evicted: AtomicU64,
}

/// What becomes of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Hit,
    Miss,
    Failed,
    UsedUp,
    Evicted,
}

impl Pool {
    pub(super) fn take(&self) -> Option<Warm> {
        // The last one in is the one whose pages are most likely in a cache.
        self.idle().pop()
    }

    /// Keeps an instance, unless there are `size` already.
    pub(super) fn keep(&self, warm: Warm, size: usize) {
        let mut idle = self.idle();
        if idle.len() < size {
            idle.push(warm);
        } else {
            drop(idle);
            drop(warm);
        }
    }

    /// Drops every idle instance.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.idle());
        drop(all);
        let crews = self.crews().clear();
        crews.iter().for_each(|crew| crew.disband());
    }

    /// The instance of a service, while it is there.
    pub(super) fn resident(&self) -> Option<Arc<Crew>> {
        let resident = self.resident.lock();
        resident.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn settle(&self, crew: Option<Arc<Crew>>) {
        let resident = self.resident.lock();
        *resident.unwrap_or_else(PoisonError::into_inner) = crew;
    }

    pub(super) fn drivers(&self) -> &TaskTracker {
        &self.drivers
    }

    /// Completes when no crew is left.
    pub(super) async fn gone(&self) {
        self.drivers.close();
        self.drivers.wait().await;
    }

    pub(super) fn note(&self, event: Event) {
        let counter = match event {
            Event::Hit => &self.hits,
            Event::Miss => &self.misses,
            Event::Failed => &self.failed,
            Event::UsedUp => &self.used_up,
            Event::Evicted => &self.evicted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> PoolUsage {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolUsage {
            hits: count(&self.hits),
            misses: count(&self.misses),
            failed: count(&self.failed),
            used_up: count(&self.used_up),
            evicted: count(&self.evicted),
        }
    }

    pub(super) fn crews(&self) -> MutexGuard<'_, Crews> {
        self.crews.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Warm>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle for Pool {
    fn evict(&self) -> bool {
        // The first one in has waited longest.
        let oldest = {
            let mut idle = self.idle();
            (!idle.is_empty()).then(|| idle.remove(0))
        };
        let found = oldest.is_some() || {
            let crew = self.crews().take_idle();
            crew.inspect(|crew| crew.disband()).is_some()
        };
        if found {
            self.note(Event::Evicted);
        }
        found
    }
}
