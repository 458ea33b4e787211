//! How many sockets of the operating system there may be: a place for each, held as long as the socket is open.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::capability::room::part_of_open_files;

/// The places of one workload, which are also places of the host.
#[derive(Clone, Debug)]
pub(super) struct Places {
    own: Arc<Semaphore>,
    host: Arc<Semaphore>,
}

/// The right to one socket of the operating system.
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
}

/// As many as a semaphore can count.
pub(super) fn semaphore(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

impl Places {
    pub(super) fn new(own: usize, host: &Arc<Semaphore>) -> Self {
        Self {
            own: semaphore(own),
            host: Arc::clone(host),
        }
    }

    /// A place if there is one: nobody waits for another socket to be closed.
    pub(super) fn take(&self) -> Option<Place> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let host = Arc::clone(&self.host).try_acquire_owned().ok()?;
        Some(Place {
            _own: own,
            _host: host,
        })
    }
}

/// Half of the files that the process may have open, within reason.
pub(super) fn default_of_host() -> usize {
    part_of_open_files(2, 64..=32_768)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_place_is_one_of_the_workload_and_one_of_the_host() {
        let host = semaphore(3);
        let (a, b) = (Places::new(2, &host), Places::new(2, &host));
        let held = [a.take().unwrap(), a.take().unwrap()];
        assert!(a.take().is_none());
        let other = b.take().unwrap();
        assert!(b.take().is_none());
        drop(held);
        assert!(b.take().is_some() && a.take().is_some());
        drop(other);
    }
}
