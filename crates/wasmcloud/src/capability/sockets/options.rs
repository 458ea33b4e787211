//! What can be said about the sockets of a host.

use super::network::NetworkBudget;
use super::publish::PublishOptions;

/// Settings of the sockets of all workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Whether `host.wasmcloud.internal` leads to the machine's own loopback, for the ports that a component lists; by default not.
    pub allow_host_loopback: bool,
    /// How many sockets of the operating system one workload has open at most; by default 256.
    pub max_connections: usize,
    /// How many sockets of the operating system all workloads together have open at most. `None`, the default: half of the files
    /// that the process may have open, at least 64 and at most 32,768.
    pub max_connections_of_host: Option<usize>,
    /// What the network inside each workload may hold.
    pub network: NetworkBudget,
    /// What may be published on the machine.
    pub publish: PublishOptions,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            allow_host_loopback: false,
            max_connections: 256,
            max_connections_of_host: None,
            network: NetworkBudget::default(),
            publish: PublishOptions::default(),
        }
    }
}
