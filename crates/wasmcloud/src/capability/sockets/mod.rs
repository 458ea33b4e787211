//! `wasi:sockets`: TCP, UDP and name lookups for guests of both versions of WASI.
//!
//! Inside a workload, 127.0.0.0/8 and ::1 are a network of its own, which the operating system knows nothing of. Everything else
//! passes the egress policy, on the address that is really connected to. What listens outside is the host, for the ports that a
//! manifest publishes.

mod addresses;
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
#[cfg(test)]
mod testing;
#[expect(unreachable_pub, reason = "generated code makes its types public")]
mod udp;

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use tokio::sync::{Semaphore, watch};
use wasmtime::component::LinkerInstance;

pub use options::SocketOptions;

use self::known::Known;
use self::network::Network;
use self::places::Places;
use self::publish::{Publication, Publisher};
use crate::net::resolve::{Resolve, SystemResolver};
use crate::plugin::{
    BindRequest, Binding, Import, Offer, Opening, Plugin, PluginError, Port, Presence, State,
    StoreData,
};
use crate::policy::EgressPolicy;
use crate::workload::{ComponentName, Interface, PublishedPort, Workload, WorkloadId};

/// The plugin for sockets.
#[derive(Clone)]
pub struct Sockets(Arc<HostSockets>);

/// What the workloads of a host share.
struct HostSockets {
    publisher: Publisher,
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
            publisher: Publisher::new(options.publish.clone()),
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
struct Bound {
    sockets: Arc<WorkloadSockets>,
    id: WorkloadId,
    ports: Vec<PublishedPort>,
    base: PathBuf,
    published: Vec<Publication>,
    presence: Option<Presence>,
}

#[async_trait]
impl Binding for Bound {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.sockets)))
    }

    fn port_changes(&self) -> Option<watch::Receiver<()>> {
        Some(self.sockets.network.changes())
    }

    fn ports(&self) -> Vec<Port> {
        let listeners = self.sockets.network.listeners().into_iter();
        let inside = listeners.map(|inside| Port {
            inside,
            published: None,
        });
        let published = self.ports.iter().zip(&self.published);
        let published = published.map(|(port, publication)| Port {
            inside: (Ipv4Addr::LOCALHOST, port.container_port).into(),
            published: Some(publication.addr()),
        });
        inside.chain(published).collect()
    }

    async fn ready(&self) {
        let ports = self.ports.iter().map(|port| port.container_port);
        join_all(ports.map(|port| self.sockets.network.listening(port))).await;
    }

    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        let (publisher, network) = (&self.sockets.host.publisher, &self.sockets.network);
        let replaces = opening.replaces.as_ref();
        let opened = publisher.open(&self.id, replaces, &self.ports, &self.base, network);
        self.published = opened.await?;
        self.presence = Some(opening.presence);
        Ok(())
    }

    fn go_live(&mut self) {
        self.published.iter_mut().for_each(Publication::go_live);
    }
}

/// Nobody is let in any more; the workload waits for those who are, as long as it waits for anybody.
impl Drop for Bound {
    fn drop(&mut self) {
        let outside = self.published.first().map(Publication::outside);
        self.published.clear();
        let entered = self.presence.as_ref().and_then(Presence::enter);
        if let (Some(outside), Some(presence), Some(entered)) =
            (outside, self.presence.take(), entered)
        {
            tokio::spawn(async move {
                tokio::select! {
                    () = outside.deserted() => {}
                    () = presence.stopped() => {}
                }
                drop((outside, entered));
            });
        }
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

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        let service = workload.service.iter();
        let ports = service.flat_map(|service| self.0.publisher.check_all(&service.ports));
        ports.collect()
    }

    fn is_wanted(&self, workload: &Workload) -> bool {
        let service = workload.service.as_ref();
        service.is_some_and(|service| !service.ports.is_empty())
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let uses = request.uses.iter();
        let sharing = uses.filter(|(_, interface)| is_p3(interface) && interface.name == "types");
        let sharing = sharing.map(|(component, _)| component.clone()).collect();
        let service = request.workload.service.iter();
        Ok(Box::new(Bound {
            sockets: Arc::new(self.workload(sharing)),
            id: request.id.clone(),
            ports: service.flat_map(|service| service.ports.clone()).collect(),
            base: request.base.to_owned(),
            published: Vec::new(),
            presence: None,
        }))
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
