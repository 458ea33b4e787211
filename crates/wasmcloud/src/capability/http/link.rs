//! Links `wasi:http` of both versions: its types, and the client, which is told whose requests it sends.

mod bounds;

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, LinkerInstance, Resource};
use wasmtime_wasi_http::p2::bindings::http as p2;
use wasmtime_wasi_http::p3::bindings::http as p3;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _};

use super::client::{self, Caller, Client};
use crate::plugin::{Import, Position, StoreData};

mod generated_p2 {
    wasmtime::component::bindgen!({
        path: "wit/p2",
        world: "wasmcloud:identity-p2/http-client",
        imports: { default: trappable },
        named_imports: { "wasi:http/outgoing-handler": crate::plugin::Position },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
        },
        require_store_data_send: true,
    });
}

mod generated_p3 {
    wasmtime::component::bindgen!({
        path: "wit/p3",
        world: "wasmcloud:identity-p3/http-client",
        imports: { "wasi:http/client.send": store | trappable, default: trappable },
        named_imports: { "wasi:http/client": crate::plugin::Position },
        with: {
            "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
            "wasi:http": wasmtime_wasi_http::p3::bindings::http,
        },
        require_store_data_send: true,
    });
}

use generated_p2::named_imports::wasi::http::outgoing_handler;
use generated_p3::named_imports::wasi::http::client as client_p3;

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    let minor = import
        .interface
        .version
        .as_ref()
        .map(|version| version.minor);
    match (import.interface.name.as_str(), minor) {
        ("types", Some(3)) => {
            p3::types::add_to_linker_instance::<S, WasiHttp>(linker, S::http)?;
            bounds::bound_p3(linker)
        }
        ("types", _) => {
            let options = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
            p2::types::add_to_linker_instance::<S, WasiHttp>(linker, &(&options).into(), S::http)?;
            bounds::bound_p2(linker)?;
            linker.func_wrap("http-error-code", |mut store, (error,)| {
                Ok((http_error_code(store.data_mut(), &error)?,))
            })
        }
        ("client", _) => {
            client_p3::add_to_linker_instance::<S, HasSelf<S>>(linker, import.position, |s| s)
        }
        ("outgoing-handler", _) => outgoing_handler::add_to_linker_instance::<S, HasSelf<S>>(
            linker,
            import.position,
            |s| s,
        ),
        _ => Err(wasmtime::format_err!(
            "`{}` is not offered",
            import.interface
        )),
    }
}

/// Why a body broke off. The function that comes with the library does not know the errors that its own bodies end in.
fn http_error_code(
    store: &mut StoreData,
    error: &Resource<p2::types::IoError>,
) -> wasmtime::Result<Option<p2::types::ErrorCode>> {
    let error = store.table().get(error)?;
    Ok(error
        .downcast_ref::<p2::types::ErrorCode>()
        .cloned()
        .or_else(|| client::error::as_p2(error.downcast_ref()?)))
}

impl outgoing_handler::Host for StoreData {
    fn handle(
        &mut self,
        position: Position,
        request: Resource<p2::types::OutgoingRequest>,
        options: Option<Resource<p2::types::RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<p2::types::FutureIncomingResponse>, p2::types::ErrorCode>>
    {
        send_next_for(self, position)?;
        match p2::outgoing_handler::Host::handle(&mut self.http(), request, options) {
            Ok(response) => Ok(Ok(response)),
            Err(error) => error.downcast().map(Err),
        }
    }
}

impl client_p3::HostWithStore<StoreData> for HasSelf<StoreData> {
    async fn send(
        store: &Accessor<StoreData, Self>,
        position: Position,
        request: Resource<p3::types::Request>,
    ) -> wasmtime::Result<Result<Resource<p3::types::Response>, p3::types::ErrorCode>> {
        // `send` takes the sender before it waits for anything, so nobody comes between.
        store.with(|mut store| send_next_for(store.get(), position))?;
        let http = store.with_getter::<WasiHttp>(|data| data.http());
        match <WasiHttp as p3::client::HostWithStore<StoreData>>::send(&http, request).await {
            Ok(response) => Ok(Ok(response)),
            Err(error) => error.downcast().map(Err),
        }
    }
}

impl client_p3::Host for StoreData {}

/// Puts a sender into the store that knows who calls. A host without a client has none, and the store denies the request.
fn send_next_for(store: &mut StoreData, position: Position) -> wasmtime::Result<()> {
    let component = Arc::clone(store.caller(position)?);
    let workload = Arc::clone(store.workload());
    let Some(client) = workload.states.get_arc::<Client>() else {
        return Ok(());
    };
    let caller = Caller {
        workload,
        component,
        gone: store.gone(),
    };
    store.send_next_with(Box::new(move |request, options| {
        Box::pin(client.send(caller, request, options))
    }));
    Ok(())
}
