//! `wasi:sockets` of WASI 0.2: operations in two steps, pollables and streams around the same sockets that 0.3 has.

mod convert;
mod lookup;
mod stream;
mod tcp;
mod udp;

use std::task::{Context, Waker};

use wasmtime::component::{HasSelf, LinkerInstance, Resource};

use super::caller::Caller;
use super::fault::{Failure, Fault};
use super::not_offered;
use crate::plugin::{Import, Position, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/p2",
        world: "wasmcloud:identity-p2/sockets",
        imports: { default: trappable },
        named_imports: { "wasi:sockets/instance-network": crate::plugin::Position },
        trappable_error_type: {
            "wasi:sockets/network.error-code" => crate::capability::sockets::fault::Failure,
        },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:sockets/network.network": super::Network,
            "wasi:sockets/tcp.tcp-socket": super::tcp::TcpSocket,
            "wasi:sockets/udp.udp-socket": super::udp::UdpSocket,
            "wasi:sockets/udp.incoming-datagram-stream": super::udp::Incoming,
            "wasi:sockets/udp.outgoing-datagram-stream": super::udp::Outgoing,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": super::lookup::Lookup,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasi::sockets::instance_network;
use generated::wasi::sockets::{
    ip_name_lookup, network, tcp as tcp_types, tcp_create_socket, udp as udp_types,
    udp_create_socket,
};

/// The right to use the network as somebody.
pub struct Network(Caller);

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    type Own = HasSelf<StoreData>;
    match import.interface.name.as_str() {
        "instance-network" => {
            instance_network::add_to_linker_instance::<S, Own>(linker, import.position, |s| s)
        }
        "network" => {
            let options = generated::LinkOptions::default();
            network::add_to_linker_instance::<S, Own>(linker, &(&options).into(), |s| s)
        }
        "ip-name-lookup" => ip_name_lookup::add_to_linker_instance::<S, Own>(linker, |s| s),
        "tcp" => tcp_types::add_to_linker_instance::<S, Own>(linker, |s| s),
        "tcp-create-socket" => tcp_create_socket::add_to_linker_instance::<S, Own>(linker, |s| s),
        "udp" => udp_types::add_to_linker_instance::<S, Own>(linker, |s| s),
        "udp-create-socket" => udp_create_socket::add_to_linker_instance::<S, Own>(linker, |s| s),
        _ => Err(not_offered(import)),
    }
}

type Outcome<T> = Result<T, Failure>;

/// Looks once, without waiting. Whoever waits already is told in its place: a look must not make the socket forget whom to wake.
struct Looks(Waker);

impl Default for Looks {
    fn default() -> Self {
        Self(Waker::noop().clone())
    }
}

impl Looks {
    fn once<T>(&self, look: impl FnOnce(&mut Context<'_>) -> T) -> T {
        look(&mut Context::from_waker(&self.0))
    }

    /// Remembers who waits.
    fn wait(&mut self, cx: &Context<'_>) {
        self.0.clone_from(cx.waker());
    }
}

impl network::Host for StoreData {
    fn convert_error_code(&mut self, failure: Failure) -> wasmtime::Result<network::ErrorCode> {
        match failure {
            Failure::Fault(fault) => Ok(fault.into()),
            Failure::Trap(error) => Err(error),
        }
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<network::ErrorCode>> {
        let error = self.table().get(&error)?;
        Ok(error.downcast_ref::<Fault>().map(|fault| (*fault).into()))
    }
}

impl network::HostNetwork for StoreData {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table().delete(network)?;
        Ok(())
    }
}

impl instance_network::Host for StoreData {
    fn instance_network(&mut self, position: Position) -> wasmtime::Result<Resource<Network>> {
        let network = Network(Caller::at(self, position)?);
        Ok(self.table().push(network)?)
    }
}

/// Whom a network belongs to.
fn caller(store: &mut StoreData, network: &Resource<Network>) -> wasmtime::Result<Caller> {
    Ok(store.table().get(network)?.0.clone())
}
