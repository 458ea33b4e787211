//! The data of a store: what one instance of a fused component owns, and who its components are.

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::memory::StoreMemory;
use super::{
    CalledBy, ComponentContext, FileState, InstanceContext, IsolatedCallee, Position,
    WorkloadContext,
};

/// The `T` of every [`wasmtime::Store`] of this host.
pub struct StoreData {
    /// Before everything that a guest holds, so that it is cancelled before that is dropped.
    gone: Option<DropGuard>,
    instance: Arc<InstanceContext>,
    wasi: WasiCtx,
    #[cfg(feature = "http")]
    http: super::http::HttpState,
    /// Made when the guest asks for it.
    #[cfg(feature = "tls")]
    tls: Option<wasmtime_wasi_tls::WasiTlsCtx>,
    table: ResourceTable,
    files: FileState,
    memory: StoreMemory,
    called_by: Option<CalledBy>,
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
            gone: None,
            instance,
            wasi: WasiCtx::default(),
            #[cfg(feature = "http")]
            http: super::http::HttpState::default(),
            #[cfg(feature = "tls")]
            tls: None,
            table,
            files: FileState::default(),
            memory,
            called_by: None,
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

    /// Notes who calls over an isolated link. Where an instance serves several calls at once, that is who called last.
    pub fn is_called_by(&mut self, caller: Option<CalledBy>) {
        self.called_by = caller;
    }

    /// Who called over an isolated link, where anybody did.
    #[must_use]
    pub fn called_by(&self) -> Option<&CalledBy> {
        self.called_by.as_ref()
    }

    /// Cancelled when the store is dropped, before anything that its guest holds is: by it, what outlives the store can tell a
    /// guest that is gone from one that let go.
    pub fn gone(&mut self) -> CancellationToken {
        let guard = self
            .gone
            .get_or_insert_with(|| CancellationToken::new().drop_guard());
        guard.token().clone()
    }

    /// Sets who sends the next request of the guest; without, it is denied. It is set right before the call of the client, and used
    /// once.
    #[cfg(feature = "http")]
    pub fn send_next_with(&mut self, send: super::SendRequest) {
        self.http.send_next_with(send);
    }

    /// What `wasi:tls` of WASI 0.2 works on; `make` is for the first time.
    #[cfg(feature = "tls")]
    pub fn tls(
        &mut self,
        make: fn(&WorkloadContext) -> wasmtime_wasi_tls::WasiTlsCtx,
    ) -> wasmtime_wasi_tls::WasiTlsCtxView<'_> {
        let workload = &self.instance.workload;
        wasmtime_wasi_tls::WasiTlsCtxView {
            ctx: self.tls.get_or_insert_with(|| make(workload)),
            table: &mut self.table,
        }
    }

    /// The resources that the guest holds.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// The resources that the guest holds, and what is known about its descriptors.
    pub fn files(&mut self) -> (&mut ResourceTable, &mut FileState) {
        (&mut self.table, &mut self.files)
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
