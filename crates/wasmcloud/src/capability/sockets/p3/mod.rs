//! `wasi:sockets` of WASI 0.3: the sockets as they are, with streams straight into and out of the guest's memory.

mod convert;
mod lookup;
mod stream;
mod tcp;
mod udp;

use wasmtime::component::{HasSelf, LinkerInstance};

use super::fault::Failure;
use super::not_offered;
use crate::plugin::{Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/p3",
        world: "wasmcloud:identity-p3/sockets",
        imports: {
            "wasi:sockets/types.[method]tcp-socket.listen": store | trappable,
            "wasi:sockets/types.[method]tcp-socket.send": store | trappable,
            "wasi:sockets/types.[method]tcp-socket.receive": store | trappable,
            default: trappable,
        },
        named_imports: { "wasi:sockets/ip-name-lookup": crate::plugin::Position },
        trappable_error_type: {
            "wasi:sockets/types.error-code" => crate::capability::sockets::fault::Failure,
        },
        with: {
            "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
            "wasi:sockets/types.tcp-socket": crate::capability::sockets::tcp::Tcp,
            "wasi:sockets/types.udp-socket": crate::capability::sockets::udp::Udp,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasi::sockets::ip_name_lookup;
use generated::wasi::sockets::types;

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    type Own = HasSelf<StoreData>;
    match import.interface.name.as_str() {
        "types" => types::add_to_linker_instance::<S, Own>(linker, |s| s),
        "ip-name-lookup" => {
            ip_name_lookup::add_to_linker_instance::<S, Own>(linker, import.position, |s| s)
        }
        _ => Err(not_offered(import)),
    }
}

type Outcome<T> = Result<T, Failure>;

impl types::Host for StoreData {
    fn convert_error_code(&mut self, failure: Failure) -> wasmtime::Result<types::ErrorCode> {
        match failure {
            Failure::Fault(fault) => Ok(fault.into()),
            Failure::Trap(error) => Err(error),
        }
    }
}
