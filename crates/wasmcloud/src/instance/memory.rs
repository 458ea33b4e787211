//! Who uses how much memory: an account for the host, one for each workload within it, and one for each store within that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

/// Stores reserve memory in steps of this many bytes, so that making an instance touches the shared accounts once.
const STEP: u64 = 1 << 20;
/// What a table takes for each element.
const ELEMENT: u64 = size_of::<usize>() as u64;

/// Memory that may be used together. Every account may be within a larger one.
#[derive(Debug)]
pub struct MemoryAccount {
    owner: Owner,
    used: AtomicU64,
    most: u64,
    within: Option<Arc<Self>>,
}

/// Whose memory is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// One instance's.
    Instance,
    /// All instances' of one workload.
    Workload,
    /// All instances' of all workloads.
    Host,
}

impl MemoryAccount {
    /// The account of a host, with `most` bytes for its guests.
    #[must_use]
    pub fn of_host(most: u64) -> Self {
        Self {
            owner: Owner::Host,
            used: AtomicU64::new(0),
            most,
            within: None,
        }
    }

    /// The account of one instance, to ask before there is one.
    #[must_use]
    pub fn of_instance(most: u64) -> Self {
        Self {
            owner: Owner::Instance,
            used: AtomicU64::new(0),
            most,
            within: None,
        }
    }

    /// The account of a workload on a host.
    #[must_use]
    pub fn of_workload(most: u64, host: Arc<Self>) -> Self {
        Self {
            owner: Owner::Workload,
            used: AtomicU64::new(0),
            most,
            within: Some(host),
        }
    }

    /// How many bytes are in use. Stores reserve in steps of a mebibyte.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// How many bytes may be in use.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Whether so many more bytes would fit, and if not, where.
    ///
    /// # Errors
    /// With the account that has no room.
    pub fn has_room(&self, bytes: u64) -> Result<(), NoMemory> {
        if self.used().saturating_add(bytes) > self.most {
            return Err(self.no_room(bytes));
        }
        self.within
            .as_ref()
            .map_or(Ok(()), |within| within.has_room(bytes))
    }

    fn reserve(&self, bytes: u64) -> Result<(), NoMemory> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| self.no_room(bytes))?;
        if let Some(within) = &self.within {
            let reserved = within.reserve(bytes);
            if reserved.is_err() {
                self.used.fetch_sub(bytes, Ordering::Relaxed);
            }
            return reserved;
        }
        Ok(())
    }

    fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(within) = &self.within {
            within.release(bytes);
        }
    }

    fn no_room(&self, wanted: u64) -> NoMemory {
        NoMemory {
            owner: self.owner,
            wanted,
            used: self.used(),
            most: self.most,
        }
    }
}

/// Memory that a guest wanted and did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NoMemory {
    /// Whose memory is used up.
    pub owner: Owner,
    /// How many more bytes were wanted.
    pub wanted: u64,
    /// How many were in use.
    pub used: u64,
    /// How many may be in use.
    pub most: u64,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kibibytes = |bytes: u64| format!("{} KiB", bytes.div_ceil(1 << 10));
        let (whose, setting) = match self.owner {
            Owner::Instance => ("an instance", "`memoryLimitMb`"),
            Owner::Workload => (
                "all instances of a workload",
                "the host's `limits.workloadMemory`",
            ),
            Owner::Host => ("all guests of the host", "the host's `limits.hostMemory`"),
        };
        write!(
            f,
            "{} more of memory were wanted and {} were in use, but {whose} may use {} ({setting})",
            kibibytes(self.wanted),
            kibibytes(self.used),
            kibibytes(self.most)
        )
    }
}

/// The memory of one store. What it reserved is given back when it is dropped.
pub(super) struct StoreMemory {
    account: Arc<MemoryAccount>,
    most: u64,
    used: u64,
    reserved: u64,
    /// What the growth that is under way adds.
    growing: u64,
    refused: Option<NoMemory>,
}

impl StoreMemory {
    pub(super) fn new(account: Arc<MemoryAccount>, most: u64) -> Self {
        Self {
            account,
            most,
            used: 0,
            reserved: 0,
            growing: 0,
            refused: None,
        }
    }

    /// The last growth that was refused: a guest that traps for lack of memory does not say so.
    pub(super) fn refused(&self) -> Option<NoMemory> {
        self.refused
    }

    /// Forgets refusals of an invocation that coped with them.
    pub(super) fn forgive(&mut self) {
        self.refused = None;
    }

    fn grow(&mut self, bytes: u64) -> bool {
        self.growing = bytes;
        match self.reserve(bytes) {
            Ok(()) => {
                self.used += bytes;
                true
            }
            Err(refused) => {
                self.growing = 0;
                self.refused = Some(refused);
                false
            }
        }
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), NoMemory> {
        let wanted = self.used.saturating_add(bytes);
        if wanted > self.most {
            return Err(NoMemory {
                owner: Owner::Instance,
                wanted: bytes,
                used: self.used,
                most: self.most,
            });
        }
        let missing = wanted.saturating_sub(self.reserved);
        if missing == 0 {
            return Ok(());
        }
        let step = missing.next_multiple_of(STEP);
        let reserved = match self.account.reserve(step) {
            Ok(()) => step,
            Err(_) => self.account.reserve(missing).map(|()| missing)?,
        };
        self.reserved += reserved;
        Ok(())
    }

    fn take_back(&mut self) {
        self.used = self.used.saturating_sub(std::mem::take(&mut self.growing));
    }
}

impl Drop for StoreMemory {
    fn drop(&mut self) {
        if self.reserved > 0 {
            self.account.release(self.reserved);
        }
    }
}

impl ResourceLimiter for StoreMemory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A memory that is full by its own declaration is no concern of the host's.
        let fits = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(fits && self.grow(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = maximum.is_none_or(|maximum| desired <= maximum);
        let elements = desired.saturating_sub(current) as u64;
        Ok(fits && self.grow(elements.saturating_mul(ELEMENT)))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    const MIB: usize = 1 << 20;

    fn accounts(host: u64, workload: u64) -> (Arc<MemoryAccount>, Arc<MemoryAccount>) {
        let host = Arc::new(MemoryAccount::of_host(host));
        let workload = Arc::new(MemoryAccount::of_workload(workload, Arc::clone(&host)));
        (host, workload)
    }

    #[test]
    fn memories_and_tables_of_a_store_add_up() {
        let (host, workload) = accounts(u64::MAX, u64::MAX);
        let mut store = StoreMemory::new(Arc::clone(&workload), 3 * MIB as u64);
        assert!(store.memory_growing(0, MIB, None).unwrap());
        assert!(store.memory_growing(0, MIB, None).unwrap());
        assert!(store.table_growing(0, MIB / 16, None).unwrap());
        assert_eq!((workload.used(), host.used()), (3 << 20, 3 << 20));
        assert!(!store.memory_growing(MIB, 2 * MIB, None).unwrap());
        assert_eq!(store.refused().unwrap().owner, Owner::Instance);
        assert!(store.memory_growing(MIB, MIB + MIB / 2, None).unwrap());
        drop(store);
        assert_eq!((workload.used(), host.used()), (0, 0));
    }

    #[test]
    fn a_workload_and_a_host_have_ends_too_and_what_was_refused_is_not_kept() {
        let (host, first) = accounts(3 << 20, 2 << 20);
        let second = Arc::new(MemoryAccount::of_workload(2 << 20, Arc::clone(&host)));
        let mut a = StoreMemory::new(Arc::clone(&first), u64::MAX);
        let mut b = StoreMemory::new(Arc::clone(&second), u64::MAX);
        assert!(a.memory_growing(0, 2 * MIB, None).unwrap());
        assert!(!a.memory_growing(2 * MIB, 3 * MIB, None).unwrap());
        assert_eq!(a.refused().unwrap().owner, Owner::Workload);
        assert!(!b.memory_growing(0, 2 * MIB, None).unwrap());
        assert_eq!(b.refused().unwrap().owner, Owner::Host);
        assert_eq!((second.used(), host.used()), (0, 2 << 20));
        drop(a);
        assert!(b.memory_growing(0, 2 * MIB, None).unwrap());
    }

    #[test]
    fn less_than_a_step_is_given_where_no_step_is_left() {
        let (_, workload) = accounts(u64::MAX, (MIB / 2) as u64);
        let mut store = StoreMemory::new(workload, u64::MAX);
        assert!(store.memory_growing(0, MIB / 4, None).unwrap());
        assert!(store.memory_growing(MIB / 4, MIB / 2, None).unwrap());
        assert!(!store.memory_growing(MIB / 2, MIB / 2 + 1, None).unwrap());
    }

    #[test]
    fn a_growth_that_fails_after_all_counts_for_nothing() {
        let (_, workload) = accounts(u64::MAX, u64::MAX);
        let mut store = StoreMemory::new(workload, MIB as u64);
        assert!(store.memory_growing(0, MIB, None).unwrap());
        store
            .memory_grow_failed(wasmtime::format_err!("no pages"))
            .unwrap();
        assert!(store.memory_growing(0, MIB, None).unwrap());
    }
}
