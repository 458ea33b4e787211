//! The places for connections of a host: how many all pools have together, and how many of them those of one workload.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::super::Fault;
use super::long_rows::LongRows;
use super::pool::Pool;
use super::prepared::Prepared;
use crate::capability::shared::Shared;
use crate::workload::{Namespace, Workload, WorkloadName};

/// Which part of the places of a host one workload may have: one of so many.
const PART: usize = 4;

/// The places of a host.
pub(in super::super) struct Room {
    line: Line,
    /// How many a workload may have.
    part: usize,
    /// How long a row may be on its way from a server.
    longest: usize,
    /// Those of each workload, whatever version of it runs.
    shares: Shared<(Namespace, WorkloadName), Share>,
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// What the entries of one workload may have of them, and what else they have together.
pub(in super::super) struct Share {
    line: Line,
    places: usize,
    pub(super) prepared: Prepared,
    pub(super) long_rows: LongRows,
}

/// A place for a connection. Dropping it makes room for others.
#[must_use = "the place is given back when this is dropped"]
pub(super) struct Place {
    _of_host: OwnedSemaphorePermit,
    _of_workload: OwnedSemaphorePermit,
}

impl Room {
    /// So many places, for connections that bring rows of at most so many bytes.
    pub(in super::super) fn new(places: usize, longest: usize) -> Self {
        Self {
            line: Line::new(places),
            part: (places / PART).max(1),
            longest,
            shares: Shared::default(),
            pools: Mutex::default(),
        }
    }

    /// The share of a workload, the same as long as somebody has it.
    pub(in super::super) fn share(&self, workload: &Workload) -> Arc<Share> {
        let name = (workload.namespace.clone(), workload.name.clone());
        self.shares.get(&name, || {
            Arc::new(Share::new(self.part, LongRows::new(self.longest)))
        })
    }

    /// A pool begins, whose connections may have to make room.
    pub(super) fn join(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// A place. Where there is none, connections that nobody uses make room: those of the workload itself, and then those of others.
    pub(super) async fn place(&self, share: &Share, until: Instant) -> Result<Place, Fault> {
        let own = || self.close(|pool| pool.is_of(share));
        let any = || own() || self.close(|_| true);
        Ok(Place {
            _of_workload: share.line.place(until, own).await?,
            _of_host: self.line.place(until, any).await?,
        })
    }

    /// Whether somebody waits for a place of one workload, or of whatever workload.
    pub(super) fn is_short(&self, share: &Share) -> bool {
        self.line.is_short() || share.line.is_short()
    }

    /// Closes a connection that nobody uses, of the pool that has most of these among some. `false`: there is none.
    fn close(&self, among: impl Fn(&Pool) -> bool) -> bool {
        let mut pools: Vec<Arc<Pool>> = {
            let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.iter().filter_map(Weak::upgrade).collect()
        };
        pools.retain(|pool| among(pool));
        pools.sort_by_cached_key(|pool| Reverse(pool.unused()));
        pools.iter().any(|pool| pool.close_one())
    }
}

impl Share {
    pub(in super::super) fn new(places: usize, long_rows: LongRows) -> Self {
        Self {
            line: Line::new(places),
            places,
            prepared: Prepared::default(),
            long_rows,
        }
    }

    /// How many places it has.
    pub(super) fn places(&self) -> usize {
        self.places
    }
}

/// Places, and those who wait for one.
struct Line {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Line {
    fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    fn is_short(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place, in order. `make_room` says whether it has made some.
    async fn place(
        &self,
        until: Instant,
        make_room: impl Fn() -> bool,
    ) -> Result<OwnedSemaphorePermit, Fault> {
        if let Some(place) = self.free() {
            return Ok(place);
        }
        // Before room is made: what comes back from now on is not kept.
        let _waiting = Waiting::in_line(&self.waiting);
        while make_room() {
            if let Some(place) = self.free() {
                return Ok(place);
            }
        }
        let place = timeout_at(until, Arc::clone(&self.places).acquire_owned()).await;
        place
            .map_err(|_| Fault::Timeout)?
            .map_err(|_| Fault::Timeout)
    }
}

/// Somebody who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn in_line(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use futures::FutureExt as _;
    use tokio::time::Duration;

    use super::*;
    use crate::workload::manifest;

    fn workload(name: &str) -> Workload {
        let text = format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\nspec: {{ components: [{{ name: a, image: a.wasm }}] }}\n"
        );
        let parsed = manifest::parse(&text, std::path::Path::new("workload.yaml")).unwrap();
        parsed[0].workload.clone()
    }

    #[test]
    fn a_workload_has_a_quarter_of_the_places_and_at_least_one() {
        for (places, wanted) in [(1, 1), (2, 1), (7, 1), (8, 2), (100, 25)] {
            let share = Room::new(places, 1).share(&workload("shop"));
            assert_eq!(share.places(), wanted, "of {places}");
        }
    }

    #[tokio::test]
    async fn all_versions_of_a_workload_share_one_share_and_leave_room_for_others() {
        let room = Room::new(8, 1);
        let until = Instant::now() + Duration::from_secs(3600);
        let [old, new] = [1, 2].map(|_| room.share(&workload("shop")));
        let other = room.share(&workload("other"));
        let held = [room.place(&old, until).await, room.place(&new, until).await];
        let mut third = Box::pin(room.place(&old, until));
        assert!((&mut third).now_or_never().is_none());
        assert!(room.is_short(&new) && !room.is_short(&other));
        assert!(room.place(&other, until).await.is_ok());
        drop(held);
        assert!(third.await.is_ok());
        assert!(!room.is_short(&old));
    }
}
