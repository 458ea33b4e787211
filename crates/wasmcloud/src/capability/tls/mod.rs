//! `wasi:tls`: the client's side of TLS, over streams that a guest has already, such as those of its sockets.
//!
//! It is free to every component, without an entry in `hostInterfaces`. It only computes: a guest could do the same with a library of
//! its own. What its bytes reach is decided where the streams come from, and a name that it gives is looked up by nobody, only compared
//! with the certificate.
//!
//! The dialect of WASI 0.2 has the bodies of `wasmtime-wasi-tls`. Those of 0.3 in that library cannot be linked one interface at a time,
//! and end a guest in a trap where a stream is dropped early, so they are written here.

mod p2;
mod p3;
mod secured;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use wasmtime::component::LinkerInstance;

use crate::capability::http::Trust;
use crate::plugin::{BindRequest, Binding, Import, Offer, Plugin, PluginError, State, StoreData};
use secured::Bound;

const ID: &str = "wasi-tls";
/// What it serves. Versions that are drafts match exactly.
const OFFERS: [&str; 3] = [
    "wasi:tls/types@0.2.0-draft",
    "wasi:tls/client@0.3.0-draft",
    "wasi:tls/types@0.3.0-draft",
];
/// How many connections a workload may have at once, with those that are only begun. Each takes some hundred KiB of the host's memory at
/// worst.
const MOST: usize = 256;

/// The plugin for TLS.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whose certificates are trusted; none where no host is configured.
    trust: Option<Trust>,
}

struct Holder(Arc<Bound>);

impl Binding for Holder {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0)))
    }
}

impl Tls {
    /// Trusts whom the HTTP client trusts.
    #[must_use]
    pub(crate) fn new(trust: Trust) -> Self {
        Self { trust: Some(trust) }
    }
}

#[async_trait]
impl Plugin for Tls {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self) -> Vec<Offer> {
        let interfaces = OFFERS.iter().filter_map(|offer| offer.parse().ok());
        interfaces.map(Offer::shared).collect()
    }

    /// Sessions that can be resumed are the workload's own: a server would know others by them.
    async fn bind(&self, _: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let Some(trust) = &self.trust else {
            return Err(PluginError::new("this host trusts no certificates"));
        };
        let config = trust
            .client(&[])
            .map_err(|error| PluginError::new(format!("TLS cannot be set up: {error}")))?;
        Ok(Box::new(Holder(Arc::new(Bound {
            config,
            room: Arc::new(Semaphore::new(MOST)),
        }))))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let interface = import.interface;
        let minor = interface.version.as_ref().map(|version| version.minor);
        match (interface.name.as_str(), minor) {
            ("types", Some(2)) => p2::link(linker),
            ("types", Some(3)) => p3::link_types(linker),
            ("client", Some(3)) => p3::link_client(linker),
            _ => Err(wasmtime::format_err!("`{interface}` is not offered")),
        }
    }
}
