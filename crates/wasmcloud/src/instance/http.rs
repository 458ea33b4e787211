//! What a store keeps for `wasi:http`: its context, and who sends the next request.
//!
//! Who sends is not the store's business: whoever links the client puts a sender in right before the call, because only the link
//! knows which component of the fused one calls. Without one, a request is denied.

use std::pin::Pin;

use http::{Request, Response};
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    Error, RequestOptions, Result, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
};

/// The future of an answer.
pub type Answered = Pin<Box<dyn Future<Output = Result<Response<WasiBody>>> + Send>>;

/// Sends one request of a guest.
pub type SendRequest =
    Box<dyn FnOnce(Request<WasiBody>, Option<RequestOptions>) -> Answered + Send>;

/// The most that one set of header fields may take, in bytes of the host's memory. A name and its value take some 70 more than their
/// text.
const FIELDS: usize = 64 << 10;

/// The part of a store that `wasi:http` needs.
pub(super) struct HttpState {
    context: WasiHttpCtx,
    hooks: Hooks,
}

impl Default for HttpState {
    fn default() -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS);
        Self {
            context,
            hooks: Hooks::default(),
        }
    }
}

impl HttpState {
    pub(super) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView {
            ctx: &mut self.context,
            table,
            hooks: &mut self.hooks,
        }
    }

    pub(super) fn send_next_with(&mut self, send: SendRequest) {
        self.hooks.next = Some(send);
    }
}

#[derive(Default)]
struct Hooks {
    next: Option<SendRequest>,
}

type Processed = Box<dyn Future<Output = Result<()>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Processed,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Processed)>> + Send> {
        let Some(send) = self.next.take() else {
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        };
        let answered = send(request, options);
        // The answer's body looks after its connection itself.
        let over: fn() -> Processed = || Box::new(std::future::ready(Ok(())));
        Box::new(async move { Ok((answered.await?, over())) })
    }
}
