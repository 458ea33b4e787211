//! The data of a store: what one instance of a fused component owns, and who its components are.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::{ComponentContext, InstanceContext, Position, WorkloadContext};

/// The `T` of every [`wasmtime::Store`] of this host.
pub struct StoreData {
    instance: Arc<InstanceContext>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    client: DeniedClient,
    table: ResourceTable,
}

impl StoreData {
    /// Data for a fresh instance. It grants nothing: no arguments, no directories, no network.
    #[must_use]
    pub fn new(instance: Arc<InstanceContext>) -> Self {
        Self {
            instance,
            wasi: WasiCtx::default(),
            http: WasiHttpCtx::new(),
            client: DeniedClient,
            table: ResourceTable::new(),
        }
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

impl WasiHttpView for StoreData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.client,
        }
    }
}

/// The HTTP client of a host that grants no outgoing requests.
struct DeniedClient;

type Sent = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
);

impl WasiHttpHooks for DeniedClient {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
    ) -> Box<dyn Future<Output = wasmtime_wasi_http::Result<Sent>> + Send> {
        Box::new(std::future::ready(Err(
            wasmtime_wasi_http::Error::HttpRequestDenied,
        )))
    }
}
