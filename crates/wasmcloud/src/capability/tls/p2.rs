//! `wasi:tls` 0.2.0-draft: the bodies of `wasmtime-wasi-tls`, with the certificates that this host trusts.

use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::{HasData, LinkerInstance};
use wasmtime_wasi_tls::p2::LinkOptions;
use wasmtime_wasi_tls::p2::bindings::types;
use wasmtime_wasi_tls::{
    Error, TlsProvider, TlsStream, TlsTransport, WasiTlsCtx, WasiTlsCtxBuilder, WasiTlsCtxView,
};

use super::secured::{Bound, Place, secure};
use crate::plugin::{StoreData, WorkloadContext};

/// What the bodies see of a store.
struct View;

impl HasData for View {
    type Data<'a> = WasiTlsCtxView<'a>;
}

pub(super) fn link(linker: &mut LinkerInstance<'_, StoreData>) -> wasmtime::Result<()> {
    let mut options = LinkOptions::default();
    options.tls(true);
    types::add_to_linker_instance::<StoreData, View>(linker, &options, view)
}

fn view(data: &mut StoreData) -> WasiTlsCtxView<'_> {
    data.tls(context)
}

fn context(workload: &WorkloadContext) -> WasiTlsCtx {
    let provider = Provider(workload.states.get_arc());
    WasiTlsCtxBuilder::new()
        .provider(Box::new(provider))
        .build()
}

/// Makes the connections of one workload.
struct Provider(Option<Arc<Bound>>);

type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn TlsStream>, Error>> + Send>>;

impl TlsProvider for Provider {
    fn connect(&self, server_name: String, transport: Box<dyn TlsTransport>) -> Connecting {
        let place = Place::take(self.0.as_deref());
        Box::pin(async move {
            let secured = secure(place?, server_name, transport).await?;
            Ok(Box::new(secured) as Box<dyn TlsStream>)
        })
    }
}
