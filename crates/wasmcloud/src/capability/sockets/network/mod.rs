//! The network inside one workload: 127.0.0.0/8 and ::1 as its guests see them. Nothing here touches the operating system, and
//! nobody outside the workload can reach it.

mod connection;
mod datagrams;
mod listener;

use std::net::SocketAddr;
use std::sync::Arc;

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

/// What the network of one workload may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkBudget {
    /// How many connections there may be, and how many sockets that are bound.
    pub connections: usize,
    /// How many bytes may be on their way.
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
    /// Bytes on their way that count against the budget.
    pub buffered: usize,
}

/// The network inside one workload: 127.0.0.0/8 and ::1, never the operating system's.
#[derive(Debug)]
pub struct Network {
    budget: NetworkBudget,
}

impl Network {
    /// A network with nobody in it.
    #[must_use]
    pub fn new(budget: NetworkBudget) -> Arc<Self> {
        Arc::new(Self { budget })
    }

    /// Takes an address for TCP. Port 0: any that is free. The unspecified address stands for all loopback addresses of its family.
    ///
    /// # Errors
    /// `NotBindable`, `InUse`, `Full`.
    pub fn bind_tcp(self: &Arc<Self>, addr: SocketAddr) -> Result<TcpBinding, NetError> {
        let _ = (self.budget, addr);
        Err(NetError::NotBindable)
    }

    /// Connects, from any free port unless from a bound one.
    pub fn connect(self: &Arc<Self>, from: Option<TcpBinding>, to: SocketAddr) -> Connect {
        let _ = (from, to);
        Connect::default()
    }

    /// Takes an address for UDP, as [`Network::bind_tcp`] does for TCP.
    ///
    /// # Errors
    /// `NotBindable`, `InUse`, `Full`.
    pub fn bind_udp(self: &Arc<Self>, addr: SocketAddr) -> Result<Datagrams, NetError> {
        let _ = addr;
        Err(NetError::NotBindable)
    }

    /// Returns when somebody listens on the TCP port, at 127.0.0.1 or at ::1.
    pub async fn listening(&self, port: u16) {
        let _ = port;
        std::future::pending().await
    }

    /// Where somebody listens, sorted.
    #[must_use]
    pub fn listeners(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Lets no new connections come about: listeners end, connects are refused. Open connections go on.
    pub fn stop_accepting(&self) {}

    /// What it holds now.
    #[must_use]
    pub fn usage(&self) -> NetworkUsage {
        NetworkUsage::default()
    }
}
