//! `wasi:sockets`: TCP, UDP and name lookups for guests of both versions of WASI.
//!
//! Inside a workload, 127.0.0.0/8 and ::1 are a network of its own, which the operating system knows nothing of. Everything else
//! passes the egress policy, on the address that is really connected to. Nothing listens outside.

mod caller;
#[expect(unreachable_pub, reason = "generated code makes its types public")]
mod fault;
mod known;
mod names;
pub mod network;
mod options;
mod outside;
#[expect(unreachable_pub, reason = "generated code makes its types public")]
mod p2;
mod p3;
mod places;
pub mod publish;
mod rules;
mod settings;
mod stream;
#[expect(unreachable_pub, reason = "generated code makes its types public")]
mod tcp;
#[expect(unreachable_pub, reason = "generated code makes its types public")]
mod udp;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use wasmtime::component::LinkerInstance;

pub use options::SocketOptions;

use self::known::Known;
use self::network::Network;
use self::places::Places;
use crate::capability::resolve::{Resolve, SystemResolver};
use crate::plugin::{BindRequest, Binding, Import, Offer, Plugin, PluginError, State, StoreData};
use crate::policy::EgressPolicy;
use crate::workload::{ComponentName, Interface};

/// The plugin for sockets.
#[derive(Clone)]
pub struct Sockets(Arc<HostSockets>);

/// What the workloads of a host share.
struct HostSockets {
    options: SocketOptions,
    policy: EgressPolicy,
    resolver: Arc<dyn Resolve>,
    places: Arc<Semaphore>,
}

impl Sockets {
    /// With what the options say. Does nothing yet.
    #[must_use]
    pub fn new(options: SocketOptions, policy: EgressPolicy, resolver: Arc<dyn Resolve>) -> Self {
        let places = options.max_connections_of_host;
        Self(Arc::new(HostSockets {
            places: places::semaphore(places.unwrap_or_else(places::default_of_host)),
            options,
            policy,
            resolver,
        }))
    }

    fn workload(&self, sharing: BTreeSet<ComponentName>) -> WorkloadSockets {
        WorkloadSockets {
            network: Network::new(self.0.options.network),
            places: Places::new(self.0.options.max_connections, &self.0.places),
            known: Known::default(),
            lookups: Arc::new(Semaphore::new(names::LOOKUPS)),
            host: Arc::clone(&self.0),
            sharing,
        }
    }
}

impl Default for Sockets {
    fn default() -> Self {
        let resolver = Arc::new(SystemResolver::default());
        Self::new(SocketOptions::default(), EgressPolicy::default(), resolver)
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

/// The sockets of one workload.
pub struct WorkloadSockets {
    host: Arc<HostSockets>,
    network: Arc<Network>,
    places: Places,
    known: Known,
    /// How many names it may have looked up at once.
    lookups: Arc<Semaphore>,
    /// The components whose sockets bear no identity, which are those of WASI 0.3.
    sharing: BTreeSet<ComponentName>,
}

impl WorkloadSockets {
    /// The network inside the workload.
    #[must_use]
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }
}

impl fmt::Debug for WorkloadSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadSockets")
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// Keeps the network of a workload. Instances that are still at work keep it as well.
struct Bound(Arc<WorkloadSockets>);

impl Binding for Bound {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0)))
    }

    fn port_changes(&self) -> Option<watch::Receiver<()>> {
        Some(self.0.network.changes())
    }
}

#[async_trait]
impl Plugin for Sockets {
    fn id(&self) -> &'static str {
        "wasi-sockets"
    }

    fn offers(&self) -> Vec<Offer> {
        let shared = [
            "network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ];
        let shared = shared.map(|name| Offer::shared(interface(name, P2)));
        let own = [
            Offer::identity(interface("instance-network", P2)),
            Offer::shared(interface("types", P3)),
            Offer::identity(interface("ip-name-lookup", P3)),
        ];
        shared.into_iter().chain(own).collect()
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let uses = request.uses.iter();
        let sharing = uses.filter(|(_, interface)| is_p3(interface) && interface.name == "types");
        let sharing = sharing.map(|(component, _)| component.clone()).collect();
        Ok(Box::new(Bound(Arc::new(self.workload(sharing)))))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        match is_p3(import.interface) {
            true => p3::link(import, linker),
            false => p2::link(import, linker),
        }
    }
}

/// The versions of WASI that are implemented.
const P2: (u64, u64, u64) = (0, 2, 12);
const P3: (u64, u64, u64) = (0, 3, 0);

fn interface(name: &str, (major, minor, patch): (u64, u64, u64)) -> Interface {
    Interface {
        namespace: "wasi".to_owned(),
        package: "sockets".to_owned(),
        name: name.to_owned(),
        version: Some(semver::Version::new(major, minor, patch)),
    }
}

fn is_p3(interface: &Interface) -> bool {
    let version = interface.version.as_ref();
    version.is_some_and(|version| (version.major, version.minor) == (0, 3))
}

fn not_offered(import: &Import<'_>) -> wasmtime::Error {
    wasmtime::format_err!("`{}` is not offered", import.interface)
}
