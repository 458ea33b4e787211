//! What a store keeps for `wasi:http`: its context, and a client that denies.

use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

/// The part of a store that `wasi:http` needs.
#[derive(Default)]
pub(super) struct HttpState {
    context: WasiHttpCtx,
    client: DeniedClient,
}

impl HttpState {
    pub(super) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView {
            ctx: &mut self.context,
            table,
            hooks: &mut self.client,
        }
    }
}

/// The HTTP client of a host that grants no outgoing requests.
#[derive(Default)]
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
