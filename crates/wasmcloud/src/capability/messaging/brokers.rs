//! Finds the brokers of a workload: one connection to each server, however many entries lead there.

#[cfg(feature = "messaging-nats")]
use std::collections::HashMap;
use std::sync::Arc;

use super::Broker;
#[cfg(feature = "messaging-nats")]
use super::jetstream::{JetStream, Known, PATIENCE};
#[cfg(feature = "messaging-nats")]
use super::nats::{Nats, Traffic};
use super::plugin::Messaging;
use super::settings::Backend;
#[cfg(feature = "messaging-nats")]
use super::shared_server::OnSharedServer;
#[cfg(feature = "messaging-nats")]
use crate::capability::nats::{Link, NatsUrl};
#[cfg(feature = "messaging-nats")]
use crate::net::dial::NamedBy;
use crate::plugin::PluginError;

/// The brokers that one workload has so far.
pub(super) struct Brokers<'a> {
    plugin: &'a Messaging,
    /// Whose they are, for the log.
    #[cfg(feature = "messaging-nats")]
    about: &'a str,
    /// Shared by all servers of the workload.
    #[cfg(feature = "messaging-nats")]
    traffic: Traffic,
    #[cfg(feature = "messaging-nats")]
    links: HashMap<NatsUrl, Link>,
    #[cfg(feature = "messaging-nats")]
    streams: HashMap<(NatsUrl, String), Known>,
}

impl<'a> Brokers<'a> {
    #[cfg_attr(
        not(feature = "messaging-nats"),
        expect(unused_variables, reason = "only connections are told of")
    )]
    pub(super) fn of(plugin: &'a Messaging, about: &'a str) -> Self {
        Self {
            plugin,
            #[cfg(feature = "messaging-nats")]
            about,
            #[cfg(feature = "messaging-nats")]
            traffic: Traffic::of(plugin.room()),
            #[cfg(feature = "messaging-nats")]
            links: HashMap::new(),
            #[cfg(feature = "messaging-nats")]
            streams: HashMap::new(),
        }
    }

    #[cfg_attr(
        not(feature = "messaging-nats"),
        expect(clippy::unused_async, reason = "only servers are connected to")
    )]
    pub(super) async fn get(&mut self, backend: &Backend) -> Result<Arc<dyn Broker>, PluginError> {
        match backend {
            Backend::Memory(tenant) => Ok(Arc::new(self.plugin.bus(tenant))),
            #[cfg(feature = "messaging-nats")]
            Backend::Nats(url) => {
                let nats = self.server(url).await?;
                Ok(Arc::new(OnSharedServer(nats)))
            }
            #[cfg(feature = "messaging-nats")]
            Backend::JetStream(streams) => {
                let server = self.server(&streams.url).await?;
                let (place, ack_wait) = (streams.place.clone(), streams.ack_wait);
                let key = (streams.url.clone(), place.name().to_owned());
                let known = self.streams.entry(key).or_default().clone();
                let is_own = place.is_own();
                let streams = JetStream::new(server, place, ack_wait, known);
                Ok(match is_own {
                    true => Arc::new(streams),
                    false => Arc::new(OnSharedServer(streams)),
                })
            }
        }
    }

    #[cfg(feature = "messaging-nats")]
    async fn server(&mut self, url: &NatsUrl) -> Result<Nats, PluginError> {
        let link = self.link(url).await?;
        Ok(Nats::new(link, self.traffic.clone()))
    }

    #[cfg(feature = "messaging-nats")]
    async fn link(&mut self, url: &NatsUrl) -> Result<Link, PluginError> {
        if let Some(link) = self.links.get(url) {
            return Ok(link.clone());
        }
        let dial = self.plugin.dial();
        let dial = dial.ok_or_else(|| PluginError::new("this host has no way out"))?;
        let link = Link::open(dial, url, NamedBy::Workload, self.about, PATIENCE).await;
        let link = link.map_err(|error| {
            PluginError::new(format!("there are no messages over NATS: {error}"))
                .at("spec.hostInterfaces")
        })?;
        self.links.insert(url.clone(), link.clone());
        Ok(link)
    }
}
