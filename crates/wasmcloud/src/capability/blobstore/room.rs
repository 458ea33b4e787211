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
        Self::holding(0, most)
    }

    /// One of which something is used already.
    pub(super) fn holding(used: u64, most: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(used),
            most,
        })
    }

    /// Gives back what was kept with [`Room::keep`].
    pub(super) fn release(&self, bytes: u64) {
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        // Where others changed what is kept, it may be less than was counted; it is never less than nothing.
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.used.fetch_update(set, fetch, less);
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

    /// What is taken stays so until it is given back with [`Budget::release`].
    pub(super) fn keep(mut self) {
        self.taken = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.release(self.taken);
    }
}
