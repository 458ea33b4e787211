//! What a host has for its guests, and what one workload has of it.

use std::sync::Arc;

use super::{Capacity, MemoryAccount, Processors, Share, Tenant};
use crate::policy::GuestLimits;

/// What a host has for its guests.
#[derive(Clone, Debug)]
pub struct HostRoom {
    /// What they may use.
    pub limits: GuestLimits,
    /// Their memory.
    pub memory: Arc<MemoryAccount>,
    /// The processors.
    pub processors: Processors,
}

impl HostRoom {
    /// The room of a host whose process may use `memory` bytes. Must be called inside a Tokio runtime.
    #[must_use]
    pub fn new(limits: GuestLimits, memory: u64) -> Self {
        let most = limits.host_memory.unwrap_or(memory / 4 * 3);
        Self {
            limits,
            memory: Arc::new(MemoryAccount::of_host(most)),
            processors: Processors::here(),
        }
    }

    /// The room of one more workload.
    #[must_use]
    pub fn workload(&self) -> WorkloadRoom {
        let most = self.memory.most();
        let most = self.limits.workload_memory.unwrap_or(most / 2);
        WorkloadRoom {
            host: self.clone(),
            memory: Arc::new(MemoryAccount::of_workload(most, Arc::clone(&self.memory))),
            tenant: Arc::default(),
            shares: Vec::new(),
        }
    }
}

/// What one workload has of a host.
#[derive(Debug)]
pub struct WorkloadRoom {
    /// What the host has.
    pub host: HostRoom,
    /// The memory of all its instances.
    pub memory: Arc<MemoryAccount>,
    /// Its time on the processors.
    pub tenant: Arc<Tenant>,
    shares: Vec<(Arc<Capacity>, Arc<Share>)>,
}

impl WorkloadRoom {
    /// Its share of an engine's room for instances: one for all its entries.
    pub fn share(&mut self, capacity: &Arc<Capacity>) -> Arc<Share> {
        let known = self
            .shares
            .iter()
            .find(|(known, _)| Arc::ptr_eq(known, capacity));
        if let Some((_, share)) = known {
            return Arc::clone(share);
        }
        let share = capacity.share(self.host.limits.waiting);
        self.shares.push((Arc::clone(capacity), Arc::clone(&share)));
        share
    }
}
