//! Counts bytes that are kept against a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::BlobError;

/// How many bytes may be kept, and how many are.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicU64,
    most: u64,
}

impl Budget {
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            most,
        })
    }

    /// Nothing yet, to grow.
    pub(super) fn room(self: &Arc<Self>) -> Room {
        Room {
            budget: Arc::clone(self),
            taken: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// What is taken of a budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    budget: Arc<Budget>,
    taken: u64,
}

impl Room {
    /// Takes more.
    ///
    /// # Errors
    /// When the budget has no more; then nothing is taken.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), BlobError> {
        let most = self.budget.most;
        let grown = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let taken = self.budget.used.fetch_update(set, fetch, grown);
        if taken.is_err() {
            let told = format!("there is no room: at most {most} bytes are kept");
            return Err(BlobError::Quota(told));
        }
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}
