//! `wasi:sockets/ip-name-lookup` of WASI 0.3. It defines no resources, so it can tell who asks.

use wasmtime::component::{Accessor, HasSelf};

use super::generated::wasi::sockets::ip_name_lookup::ErrorCode;
use super::ip_name_lookup::{Host, HostWithStore};
use super::types::IpAddress;
use crate::capability::sockets::caller::Caller;
use crate::capability::sockets::names::{self, LookupFault};
use crate::plugin::{Position, StoreData};

impl Host for StoreData {}

impl HostWithStore<StoreData> for HasSelf<StoreData> {
    async fn resolve_addresses(
        store: &Accessor<StoreData, Self>,
        position: Position,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, ErrorCode>> {
        let caller = store.with(|mut store| Caller::at(store.get(), position))?;
        Ok(match names::look_up(caller, name).await {
            Ok(found) => Ok(found.into_iter().map(IpAddress::from).collect()),
            Err(fault) => Err(code(fault)),
        })
    }
}

fn code(fault: LookupFault) -> ErrorCode {
    match fault {
        LookupFault::NotGranted | LookupFault::Prohibited => ErrorCode::AccessDenied,
        LookupFault::Invalid => ErrorCode::InvalidArgument,
        LookupFault::Unresolvable => ErrorCode::NameUnresolvable,
    }
}
