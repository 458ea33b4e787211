//! The network inside one workload: 127.0.0.0/8 and ::1 as its guests see them. Nothing here touches the operating system, and
//! nobody outside the workload can reach it.

mod address;
mod budget;
mod connection;
mod datagrams;
mod listener;
mod pipe;
mod ports;
mod queue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use address::Key;
use budget::Budget;
use datagrams::Inbox;
use listener::Backlog;
use ports::{Local, Ports, TcpPorts};

pub use connection::{Connection, Reader, Writer};
pub use datagrams::Datagrams;
pub use listener::{Connect, Listener, TcpBinding};

/// Why something in the network did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The address is taken, or no port is free.
    #[error("the address is in use")]
    InUse,
    /// The address is not one of the loopback addresses, or not of the right family.
    #[error("the address is not one of this network")]
    NotBindable,
    /// Nobody listens there.
    #[error("nobody listens there")]
    Refused,
    /// The workload has as many connections or sockets as it may have.
    #[error("the workload has as many connections as it may have")]
    Full,
    /// The other side is gone and does not want to know.
    #[error("the connection was reset by the other side")]
    Reset,
    /// This side has given up already.
    #[error("the connection was given up by this side")]
    Aborted,
    /// More than a datagram holds.
    #[error("the datagram is longer than 65507 bytes")]
    TooLarge,
}

impl From<NetError> for io::Error {
    fn from(error: NetError) -> Self {
        let kind = match error {
            NetError::InUse => io::ErrorKind::AddrInUse,
            NetError::NotBindable => io::ErrorKind::AddrNotAvailable,
            NetError::Refused => io::ErrorKind::ConnectionRefused,
            NetError::Full => io::ErrorKind::QuotaExceeded,
            NetError::Reset => io::ErrorKind::ConnectionReset,
            NetError::Aborted => io::ErrorKind::ConnectionAborted,
            NetError::TooLarge => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// What the network of one workload may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkBudget {
    /// How many connections there may be; also how many TCP sockets may be bound or listen, together with those of UDP.
    pub connections: usize,
    /// How many bytes may be on their way, beyond the 4 KiB that each direction of a connection may always hold.
    pub buffered: usize,
}

impl Default for NetworkBudget {
    fn default() -> Self {
        Self {
            connections: 16_384,
            buffered: 64 * 1024 * 1024,
        }
    }
}

/// What the network of one workload holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    /// Connections of which at least one end is open.
    pub connections: usize,
    /// Bytes on their way, beyond 4 KiB in each direction of a connection.
    pub buffered: usize,
}

/// The network inside one workload: 127.0.0.0/8 and ::1, never the operating system's.
///
/// An address means what it means to Linux: 127.0.0.1 and 127.0.0.2 are two addresses, the unspecified one stands for all of its
/// family, the families are separate. To connect or send to the unspecified address is to do so to 127.0.0.1 or ::1.
///
/// Nothing runs here by itself: all work is done by whoever polls or drops something. Whatever comes from a network holds it, so it
/// lives until the last connection is gone, in whichever store that is.
pub struct Network {
    budget: Budget,
    tcp: Mutex<TcpPorts<Arc<Backlog>>>,
    udp: Mutex<Ports<Arc<Inbox>>>,
    /// No connection comes about any more. Read and written with the lock of `tcp` held.
    stopped: AtomicBool,
    /// Somebody listens.
    heard: Notify,
    /// Somebody listens, or has ceased to.
    changes: watch::Sender<()>,
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    /// A network with nobody in it.
    #[must_use]
    pub fn new(budget: NetworkBudget) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(budget),
            tcp: Mutex::new(TcpPorts::new()),
            udp: Mutex::new(Ports::new()),
            stopped: AtomicBool::new(false),
            heard: Notify::new(),
            changes: watch::Sender::new(()),
        })
    }

    /// Takes an address for TCP. Port 0: any that is free. The unspecified address stands for all loopback addresses of its family.
    ///
    /// # Errors
    /// `NotBindable`: no loopback address. `InUse`: it is taken. `Full`: the workload has as many sockets as it may have.
    pub fn bind_tcp(self: &Arc<Self>, addr: SocketAddr) -> Result<TcpBinding, NetError> {
        let key = Key::new(addr).ok_or(NetError::NotBindable)?;
        self.budget.bind()?;
        let bound = lock(&self.tcp).ports.bind(key, Local::Bound);
        match bound {
            Ok(key) => Ok(TcpBinding::new(Arc::clone(self), key)),
            Err(error) => {
                self.budget.unbind();
                Err(error)
            }
        }
    }

    /// Connects, from any free port unless from a bound one. What can be done at once is done before this returns.
    ///
    /// Fails with `Refused` where nobody listens, `InUse` when every port has a connection to that address, `NotBindable` when the
    /// bound address is of the other family, `Full` when the workload has as many connections as it may have. Waits while as many
    /// connections as the listener allows were not accepted yet, in order of arrival.
    pub fn connect(self: &Arc<Self>, from: Option<TcpBinding>, to: SocketAddr) -> Connect {
        match self.begin(from.as_ref(), to) {
            Ok((backlog, keys)) => Connect::to(backlog, self, keys, from),
            Err(error) => Connect::failed(error),
        }
    }

    /// Counts and notes a connection. Gives who listens, and from where to where it goes.
    fn begin(
        &self,
        from: Option<&TcpBinding>,
        to: SocketAddr,
    ) -> Result<(Arc<Backlog>, (Key, Key)), NetError> {
        let to = Key::new(to).ok_or(NetError::Refused)?.specific();
        let from = from.map(TcpBinding::key);
        if from.is_some_and(|from| !from.is_same_family(to)) {
            return Err(NetError::NotBindable);
        }
        let mut tcp = lock(&self.tcp);
        if self.stopped.load(Ordering::Relaxed) {
            return Err(NetError::Refused);
        }
        let backlog = tcp.listener(to).map(Arc::clone).ok_or(NetError::Refused)?;
        self.budget.connect()?;
        match tcp.connect(from, to) {
            Ok(from) => Ok((backlog, (from, to))),
            Err(error) => {
                self.budget.disconnect();
                Err(error)
            }
        }
    }

    /// Takes an address for UDP, as [`Network::bind_tcp`] does for TCP.
    ///
    /// # Errors
    /// As of [`Network::bind_tcp`].
    pub fn bind_udp(self: &Arc<Self>, addr: SocketAddr) -> Result<Datagrams, NetError> {
        let key = Key::new(addr).ok_or(NetError::NotBindable)?;
        self.budget.bind()?;
        let inbox = Arc::new(Inbox::default());
        let bound = lock(&self.udp).bind(key, Arc::clone(&inbox));
        match bound {
            Ok(key) => Ok(Datagrams::new(Arc::clone(self), key, inbox)),
            Err(error) => {
                self.budget.unbind();
                Err(error)
            }
        }
    }

    /// Returns when somebody listens on the TCP port, at 127.0.0.1 or at ::1. Where nobody ever does, it does not return.
    pub async fn listening(&self, port: u16) {
        loop {
            let heard = self.heard.notified();
            if self.is_listening(port) {
                return;
            }
            heard.await;
        }
    }

    fn is_listening(&self, port: u16) -> bool {
        let tcp = lock(&self.tcp);
        let addrs = [
            SocketAddr::from(([127, 0, 0, 1], port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ];
        addrs
            .into_iter()
            .filter_map(Key::new)
            .any(|key| tcp.listener(key).is_some())
    }

    /// Where somebody listens, sorted.
    #[must_use]
    pub fn listeners(&self) -> Vec<SocketAddr> {
        let tcp = lock(&self.tcp);
        let listening = tcp
            .ports
            .iter()
            .filter(|(_, local)| matches!(local, Local::Listening(_)));
        let mut listeners: Vec<SocketAddr> = listening.map(|(key, _)| key.addr()).collect();
        listeners.sort_unstable();
        listeners
    }

    /// Changes whenever [`Network::listeners`] may have.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Lets no new connections come about: connects are refused, and listeners end when they have accepted what had come about. Open
    /// connections go on.
    pub fn stop_accepting(&self) {
        let tcp = lock(&self.tcp);
        self.stopped.store(true, Ordering::Relaxed);
        let backlogs = tcp.ports.iter().filter_map(|(_, local)| match local {
            Local::Listening(backlog) => Some(Arc::clone(backlog)),
            _ => None,
        });
        let backlogs: Vec<Arc<Backlog>> = backlogs.collect();
        drop(tcp);
        for backlog in backlogs {
            backlog.close();
        }
    }

    /// What it holds now.
    #[must_use]
    pub fn usage(&self) -> NetworkUsage {
        self.budget.usage()
    }

    /// Somebody listens at an address that is bound.
    fn listens(&self, key: Key, backlog: &Arc<Backlog>) {
        let mut tcp = lock(&self.tcp);
        if let Some(local) = tcp.ports.get_mut(key) {
            *local = Local::Listening(Arc::clone(backlog));
        }
        let stopped = self.stopped.load(Ordering::Relaxed);
        drop(tcp);
        if stopped {
            backlog.close();
        }
        self.heard.notify_waiters();
        self.changes.send_replace(());
    }

    fn unbind_tcp(&self, key: Key) {
        let taken = lock(&self.tcp).ports.remove(key);
        let listened = matches!(taken, Some(Local::Listening(_)));
        drop(taken);
        self.budget.unbind();
        if listened {
            self.changes.send_replace(());
        }
    }

    fn disconnect(&self, from: Key, to: Key) {
        lock(&self.tcp).disconnect(from, to);
        self.budget.disconnect();
    }

    fn inbox(&self, to: Key) -> Option<Arc<Inbox>> {
        lock(&self.udp).at(to).map(Arc::clone)
    }

    fn unbind_udp(&self, key: Key) {
        let inbox = lock(&self.udp).remove(key);
        drop(inbox);
        self.budget.unbind();
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("usage", &self.usage())
            .field("listeners", &self.listeners())
            .finish_non_exhaustive()
    }
}
