//! Ports of a service that are published on the machine: connections from outside become connections of the network inside the
//! workload.
//!
//! A [`Publisher`] belongs to a host. A workload opens its ports when it starts, which takes the addresses, and lets the world in when
//! everything of it is ready. A workload that replaces another takes over the very sockets that listen, in one step, so that no
//! connection is refused in between.
//!
//! The end comes in steps, too. Dropping a [`Publication`] stops accepting there; what the operating system has let in and nobody
//! has accepted is reset. Open connections go on until they end. [`Outside::deserted`] waits for that; when the last of a workload's
//! publications and [`Outside`] handles is gone, those that are left are cut off.

mod door;
mod pump;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::network::Network;
use crate::capability::room::part_of_open_files;
use crate::plugin::PluginError;
use crate::workload::{PublishedPort, WorkloadId};
use door::{Door, Target};

/// The fewest and the most connections of all workloads of a host, by default.
const CONNECTIONS: std::ops::RangeInclusive<usize> = 64..=32_768;

/// What a host lets its workloads publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOptions {
    /// Addresses of the machine where ports may be published. 127.0.0.0/8 and ::1 by default. 0.0.0.0 and :: stand for all addresses
    /// of their family, and so only `0.0.0.0/0` and `::/0` allow them.
    pub allow: Vec<IpNet>,
    /// The most connections from outside of one workload. 1,024.
    pub workload_connections: usize,
    /// The most connections from outside of all workloads. Half of the process's limit of open files, at least 64 and at most 32,768.
    pub connections: usize,
    /// How long a TLS handshake may take, and how long a connection waits until the service accepts it. 10 s each.
    pub patience: Duration,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            allow: vec![
                IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
                IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
            ],
            workload_connections: 1024,
            connections: part_of_open_files(2, CONNECTIONS),
            patience: Duration::from_secs(10),
        }
    }
}

impl PublishOptions {
    fn allows(&self, ip: IpAddr) -> bool {
        let all = |net: &IpNet| net.prefix_len() == 0;
        let mut nets = self.allow.iter();
        nets.any(|net| net.contains(&ip) && (!ip.is_unspecified() || all(net)))
    }
}

/// Publishes ports on the machine. One per host; clones are the same.
#[derive(Clone)]
pub struct Publisher(Arc<Shared>);

struct Shared {
    options: PublishOptions,
    /// Of all workloads.
    places: Arc<Semaphore>,
    doors: Mutex<HashMap<SocketAddr, Entry>>,
}

/// Who has an address.
struct Entry {
    holder: WorkloadId,
    door: Weak<Door>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

fn semaphore(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)))
}

impl Publisher {
    /// For one host.
    #[must_use]
    pub fn new(options: PublishOptions) -> Self {
        Self(Arc::new(Shared {
            places: semaphore(options.connections),
            options,
            doors: Mutex::default(),
        }))
    }

    /// Whether the host lets a port be published, without touching anything. [`Publisher::check_all`] adds the place in the manifest.
    ///
    /// # Errors
    /// When the address is not allowed.
    pub fn check(&self, port: &PublishedPort) -> Result<(), PluginError> {
        if self.0.options.allows(port.host_ip) {
            return Ok(());
        }
        let allowed: Vec<String> = self
            .0
            .options
            .allow
            .iter()
            .map(ToString::to_string)
            .collect();
        let message = format!(
            "the port `{}` cannot be published at {}: this host allows {}",
            port.name,
            port.addr(),
            if allowed.is_empty() {
                "no address".to_owned()
            } else {
                allowed.join(", ")
            },
        );
        let hint =
            "choose an allowed `hostIP`, or allow the address in the configuration of the host";
        Err(PluginError::new(message).hint(hint))
    }

    /// Everything that is wrong with the ports of a workload, as far as it shows without touching anything.
    #[must_use]
    pub fn check_all(&self, ports: &[PublishedPort]) -> Vec<PluginError> {
        let ports = ports.iter().enumerate();
        let checked = ports.map(|(index, port)| {
            let path = format!("{}.hostIP", path(index));
            self.check(port).map_err(|error| error.at(path))
        });
        checked.filter_map(Result::err).collect()
    }

    /// Takes the addresses of all ports of a workload, and reads what TLS takes from files relative to `base`. Where `replaces` has an
    /// address, it keeps it until [`Publication::go_live`]. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When an address is not allowed or cannot be had, or a file is of no use; then nothing is held.
    pub async fn open(
        &self,
        id: &WorkloadId,
        replaces: Option<&WorkloadId>,
        ports: &[PublishedPort],
        base: &Path,
        network: &Arc<Network>,
    ) -> Result<Vec<Publication>, PluginError> {
        if let Some(error) = self.check_all(ports).into_iter().next() {
            return Err(error);
        }
        let places = semaphore(self.0.options.workload_connections);
        let connections = Arc::new(Connections::default());
        let mut publications = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let tls = match &port.tls {
                Some(tls) => Some(tls::acceptor(&tls.resolve(base), &path(index)).await?),
                None => None,
            };
            let target = Target {
                id: id.clone(),
                network: Arc::clone(network),
                port: port.container_port,
                tls,
                patience: self.0.options.patience,
                places: [Arc::clone(&places), Arc::clone(&self.0.places)],
                open: connections.open.clone(),
                here: TaskTracker::new(),
                expected: connections.expected.clone(),
                end: connections.end.clone(),
            };
            let door = self
                .door(id, replaces, port)
                .map_err(|error| error.at(path(index)))?;
            publications.push(Publication {
                publisher: self.clone(),
                door,
                target: Arc::new(target),
                connections: Arc::clone(&connections),
            });
        }
        Ok(publications)
    }

    /// The door at the address of a port: that of the workload which is replaced, or a new one.
    fn door(
        &self,
        id: &WorkloadId,
        replaces: Option<&WorkloadId>,
        port: &PublishedPort,
    ) -> Result<Arc<Door>, PluginError> {
        let mut doors = self.doors();
        doors.retain(|_, entry| entry.door.strong_count() > 0);
        if let Some(entry) = doors.get(&port.addr())
            && Some(&entry.holder) == replaces
            && let Some(door) = entry.door.upgrade()
        {
            return Ok(door);
        }
        let door = match Door::open(port.addr()) {
            Ok(door) => Arc::new(door),
            Err(error) => {
                let holder = doors
                    .iter()
                    .find(|(addr, _)| clash(**addr, port.addr()))
                    .map(|(addr, entry)| (*addr, &entry.holder));
                return Err(cannot_listen(port, &error, holder));
            }
        };
        let entry = Entry {
            holder: id.clone(),
            door: Arc::downgrade(&door),
        };
        doors.insert(door.addr(), entry);
        Ok(door)
    }

    fn doors(&self) -> MutexGuard<'_, HashMap<SocketAddr, Entry>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(index: usize) -> String {
    format!("spec.service.ports.{index}")
}

/// Whether only one of two addresses can be listened on.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip(), other.ip());
    let any = ip.is_unspecified() || other_ip.is_unspecified();
    one.port() == other.port() && (ip == other_ip || any && ip.is_ipv4() == other_ip.is_ipv4())
}

fn cannot_listen(
    port: &PublishedPort,
    error: &io::Error,
    holder: Option<(SocketAddr, &WorkloadId)>,
) -> PluginError {
    let start = format!(
        "the port `{}` cannot be published at {}",
        port.name,
        port.addr()
    );
    match (error.kind(), holder) {
        (io::ErrorKind::AddrInUse, Some((addr, holder))) => {
            PluginError::new(format!("{start}: the workload `{holder}` has {addr}"))
                .hint("choose another `hostPort`, or stop that workload")
        }
        (io::ErrorKind::AddrInUse, None) => {
            PluginError::new(format!("{start}: another program listens there"))
                .hint("choose another `hostPort`, or stop that program")
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            PluginError::new(format!("{start}: the machine does not have that address"))
                .hint("choose another `hostIP`")
        }
        (io::ErrorKind::PermissionDenied, _) => PluginError::new(format!(
            "{start}: the operating system does not let this process"
        ))
        .hint(
            "choose a `hostPort` of 1024 or more, or give the process the right to use lower ones",
        ),
        _ => PluginError::new(format!("{start}: {error}")),
    }
}

/// The connections from outside of one workload.
#[derive(Debug, Default)]
struct Connections {
    open: Open,
    /// Those who may bring further ones.
    expected: Open,
    /// Cuts off those that are open.
    end: CancellationToken,
}

/// A tracker that is closed from the beginning: to wait for it is to wait until it is empty.
#[derive(Clone, Debug)]
struct Open(TaskTracker);

impl Default for Open {
    fn default() -> Self {
        let tracker = TaskTracker::new();
        tracker.close();
        Self(tracker)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// The connections from outside of one workload, over all its ports. When the last handle and the last [`Publication`] are gone,
/// those that are open are cut off.
#[derive(Clone, Debug)]
pub struct Outside(Arc<Connections>);

impl Outside {
    /// How many are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.open.0.len()
    }

    /// Returns when no port is published any more and no connection is open.
    pub async fn deserted(&self) {
        self.0.expected.0.wait().await;
        self.drained().await;
    }

    /// Returns when none is open. While ports are published, new ones may come.
    pub async fn drained(&self) {
        self.0.open.0.wait().await;
    }
}

/// A port that is published, or about to be. Dropping it stops accepting, unless another workload has taken over.
pub struct Publication {
    publisher: Publisher,
    door: Arc<Door>,
    target: Arc<Target>,
    connections: Arc<Connections>,
}

impl Publication {
    /// Lets the world in, taking over from the workload that is replaced.
    pub fn go_live(&mut self) {
        let mut doors = self.publisher.doors();
        if let Some(entry) = doors.get_mut(&self.door.addr()) {
            entry.holder = self.target.id.clone();
        }
        self.door.lead_to(&self.target);
    }

    /// Where the machine listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.door.addr()
    }

    /// How many connections it has.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.target.here.len()
    }

    /// The connections of all ports that were opened with it.
    #[must_use]
    pub fn outside(&self) -> Outside {
        Outside(Arc::clone(&self.connections))
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("addr", &self.addr())
            .field("workload", &self.target.id)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.door.leave(&self.target);
    }
}
