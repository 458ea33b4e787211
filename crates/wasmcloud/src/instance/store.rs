//! The data of a store: what one instance of a fused component owns, and who its components are.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::memory::StoreMemory;
use super::{ComponentContext, InstanceContext, IsolatedCallee, Position, WorkloadContext};

/// The `T` of every [`wasmtime::Store`] of this host.
pub struct StoreData {
    instance: Arc<InstanceContext>,
    wasi: WasiCtx,
    #[cfg(feature = "http")]
    http: super::http::HttpState,
    table: ResourceTable,
    memory: StoreMemory,
}

impl StoreData {
    /// Data for a fresh instance. It grants nothing: no arguments, no directories, no network.
    #[must_use]
    pub fn new(instance: Arc<InstanceContext>) -> Self {
        let limits = &instance.limits;
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let memory = StoreMemory::new(Arc::clone(&instance.workload.memory), limits.memory);
        Self {
            instance,
            wasi: WasiCtx::default(),
            #[cfg(feature = "http")]
            http: super::http::HttpState::default(),
            table,
            memory,
        }
    }

    /// Everything that every instance of the entry shares.
    #[must_use]
    pub fn instance(&self) -> &Arc<InstanceContext> {
        &self.instance
    }

    pub(super) fn memory(&mut self) -> &mut StoreMemory {
        &mut self.memory
    }

    /// The workload that the instance belongs to.
    #[must_use]
    pub fn workload(&self) -> &Arc<WorkloadContext> {
        &self.instance.workload
    }

    /// The component at a position of the fused component.
    ///
    /// # Errors
    /// When no component has the position, which would be a fault of the host.
    pub fn caller(&self, position: Position) -> wasmtime::Result<&Arc<ComponentContext>> {
        self.instance.member(position)
    }

    /// Who answers an isolated import, by its slot.
    #[must_use]
    pub fn callee(&self, slot: usize) -> Option<&IsolatedCallee> {
        self.instance.callees.get(slot)
    }

    /// The resources that the guest holds.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl std::fmt::Debug for StoreData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreData")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

#[cfg(feature = "http")]
impl wasmtime_wasi_http::WasiHttpView for StoreData {
    fn http(&mut self) -> wasmtime_wasi_http::WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }
}
