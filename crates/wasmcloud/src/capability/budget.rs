//! Counts bytes that are kept against a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no room: at most {most} bytes are kept")]
pub(crate) struct Full {
    /// How many bytes may be kept.
    pub(crate) most: u64,
}

/// How many bytes may be kept, and how many are.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    most: u64,
    /// Where all of it counts, too.
    above: Option<Arc<Self>>,
}

impl Budget {
    pub(crate) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self::below(None, most))
    }

    /// A part of another one, of so many bytes at most.
    pub(crate) fn within(above: &Arc<Self>, most: u64) -> Arc<Self> {
        Arc::new(Self::below(Some(Arc::clone(above)), most))
    }

    fn below(above: Option<Arc<Self>>, most: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            most,
            above,
        }
    }

    /// Counts what is kept already, also where it is more than may be.
    pub(crate) fn hold(&self, bytes: u64) {
        self.change(|used| Some(used.saturating_add(bytes)));
        if let Some(above) = &self.above {
            above.hold(bytes);
        }
    }

    /// Gives back what was kept with [`Room::keep`] or held.
    pub(crate) fn release(&self, bytes: u64) {
        let less = self.less(bytes);
        if let Some(above) = &self.above {
            above.release(less);
        }
    }

    /// Takes some, until it is given back with [`Budget::release`].
    ///
    /// # Errors
    /// When there is no more; then nothing is taken.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), Full> {
        let most = self.most;
        let grown = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        if self.change(grown).is_none() {
            return Err(Full { most });
        }
        let taken = self.above.as_ref().map_or(Ok(()), |it| it.take(bytes));
        taken.inspect_err(|_| {
            self.less(bytes);
        })
    }

    /// Counts less, and says by how much.
    fn less(&self, bytes: u64) -> u64 {
        // Where others changed what is kept, it may be less than was counted; it is never less than nothing.
        let before = self.change(|used| Some(used.saturating_sub(bytes)));
        before.unwrap_or(0).min(bytes)
    }

    /// Changes how much is used, and says how much was before. `None`: it is as it was.
    fn change(&self, change: impl FnMut(u64) -> Option<u64>) -> Option<u64> {
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.used.fetch_update(set, fetch, change).ok()
    }

    /// Nothing yet, to grow.
    pub(crate) fn room(self: &Arc<Self>) -> Room {
        Room {
            budget: Arc::clone(self),
            taken: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// What is kept stays, but nobody counts it any more.
impl Drop for Budget {
    fn drop(&mut self) {
        self.release(u64::MAX);
    }
}

/// What is taken of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    taken: u64,
}

impl Room {
    /// Takes more.
    ///
    /// # Errors
    /// When the budget has no more; then nothing is taken.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), Full> {
        self.budget.take(bytes)?;
        self.taken += bytes;
        Ok(())
    }

    /// What is taken stays so until it is given back with [`Budget::release`].
    pub(crate) fn keep(mut self) {
        self.taken = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.release(self.taken);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn parts_of_a_budget_take_no_more_together_than_the_whole_has() {
        let whole = Budget::new(100);
        let parts = [(); 3].map(|()| Budget::within(&whole, 60));
        let mut rooms = parts.each_ref().map(Budget::room);
        rooms[0].grow(60).unwrap();
        assert!(rooms[0].grow(1).is_err(), "a part has an end, too");
        rooms[1].grow(40).unwrap();
        assert!(rooms[2].grow(1).is_err());
        // What was refused has taken nothing, neither here nor there.
        let used = parts.each_ref().map(|part| part.used());
        assert_eq!((used, whole.used()), ([60, 40, 0], 100));
        drop(rooms);
        assert_eq!(whole.used(), 0);
    }

    #[test]
    fn what_is_there_already_counts_as_long_as_its_part_is_open() {
        let whole = Budget::new(100);
        let part = Budget::within(&whole, u64::MAX);
        part.hold(150);
        assert!(whole.room().grow(1).is_err());
        part.release(60);
        whole.room().grow(1).unwrap();
        let mut room = part.room();
        room.grow(5).unwrap();
        room.keep();
        assert_eq!((part.used(), whole.used()), (95, 95));
        part.release(1000);
        assert_eq!((part.used(), whole.used()), (0, 0));
        part.hold(30);
        drop(part);
        assert_eq!(whole.used(), 0);
    }
}
