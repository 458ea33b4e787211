//! The section `sockets`: where the sockets of workloads may lead, and how many there may be.

use ipnet::IpNet;
use serde::Deserialize;

use super::egress::network;
use super::reader::{List, Number, Reader, Text};
use crate::capability::sockets::SocketOptions;

/// Where the sockets of workloads may lead, and how many there may be. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketsSection {
    /// Whether components reach the ports of the machine's own loopback that they list.
    pub allow_host_loopback: Option<bool>,
    /// How many sockets of the operating system all workloads together have open.
    pub connections: Option<u32>,
    /// How many sockets of the operating system one workload has open.
    pub connections_per_workload: Option<u32>,
    /// The network inside each workload.
    pub network: NetworkSection,
    /// What may be published on the machine.
    pub publish: PublishSection,
}

/// The network inside each workload. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSection {
    /// How many connections and bound sockets there may be.
    pub connections: Option<u32>,
    /// How many bytes may be on their way.
    pub buffered: Option<u64>,
}

/// What may be published on the machine. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishSection {
    /// Networks of the machine's addresses where ports may be published.
    pub allow: Option<Vec<IpNet>>,
    /// How many connections from outside one workload has open.
    pub connections_per_workload: Option<u32>,
    /// How many all workloads together have open.
    pub connections: Option<u32>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    allow_host_loopback: Option<bool>,
    connections: Number,
    connections_per_workload: Number,
    network: Option<RawNetwork>,
    publish: Option<RawPublish>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawPublish {
    allow: List,
    connections_per_workload: Number,
    connections: Number,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawNetwork {
    connections: Number,
    buffered: Text,
}

/// Larger ones are mistakes.
const MOST: u32 = 1_000_000;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> SocketsSection {
    SocketsSection {
        allow_host_loopback: raw.allow_host_loopback,
        connections: reader.number(raw.connections, 1..=MOST),
        connections_per_workload: reader.number(raw.connections_per_workload, 0..=MOST),
        network: raw
            .network
            .map(|raw| NetworkSection {
                connections: reader.number(raw.connections, 0..=MOST),
                buffered: reader.size(raw.buffered),
            })
            .unwrap_or_default(),
        publish: raw
            .publish
            .map(|raw| PublishSection {
                allow: reader.list(raw.allow, |reader, text| reader.text(Some(text), network)),
                connections_per_workload: reader.number(raw.connections_per_workload, 1..=MOST),
                connections: reader.number(raw.connections, 1..=MOST),
            })
            .unwrap_or_default(),
    }
}

impl SocketsSection {
    pub(super) fn apply(&self, options: &mut SocketOptions) {
        let number = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
        options.allow_host_loopback = self
            .allow_host_loopback
            .unwrap_or(options.allow_host_loopback);
        options.max_connections_of_host = self
            .connections
            .map(number)
            .or(options.max_connections_of_host);
        options.max_connections = self
            .connections_per_workload
            .map_or(options.max_connections, number);
        let network = &mut options.network;
        network.connections = self.network.connections.map_or(network.connections, number);
        network.buffered = self.network.buffered.map_or(network.buffered, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX)
        });
        let publish = &mut options.publish;
        if let Some(allow) = &self.publish.allow {
            publish.allow.clone_from(allow);
        }
        publish.workload_connections = self
            .publish
            .connections_per_workload
            .map_or(publish.workload_connections, number);
        publish.connections = self.publish.connections.map_or(publish.connections, number);
    }
}
