//! Finds the brokers of a workload: one connection to each server, however many entries lead there.

#[cfg(feature = "messaging-nats")]
use std::collections::HashMap;
use std::sync::Arc;

#[cfg(feature = "messaging-nats")]
use async_nats::Client;

use super::Broker;
#[cfg(feature = "messaging-nats")]
use super::jetstream::{JetStream, Known};
#[cfg(feature = "messaging-nats")]
use super::nats::Nats;
use super::plugin::Messaging;
use super::settings::Backend;
#[cfg(feature = "messaging-nats")]
use crate::capability::dial::NamedBy;
#[cfg(feature = "messaging-nats")]
use crate::capability::nats::{self, NatsUrl};
use crate::plugin::PluginError;

/// The brokers that one workload has so far.
pub(super) struct Brokers<'a> {
    plugin: &'a Messaging,
    /// Whose they are, for the log.
    #[cfg(feature = "messaging-nats")]
    about: &'a str,
    #[cfg(feature = "messaging-nats")]
    clients: HashMap<NatsUrl, Client>,
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
            clients: HashMap::new(),
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
                let client = self.client(url).await?;
                Ok(Arc::new(Nats::new(client, self.plugin.room())))
            }
            #[cfg(feature = "messaging-nats")]
            Backend::JetStream(streams) => {
                let client = self.client(&streams.url).await?;
                let (place, ack_wait) = (streams.place.clone(), streams.ack_wait);
                let key = (streams.url.clone(), place.name().to_owned());
                let known = self.streams.entry(key).or_default().clone();
                let room = self.plugin.room();
                let streams = JetStream::new(client, place, ack_wait, room, known);
                Ok(Arc::new(streams))
            }
        }
    }

    #[cfg(feature = "messaging-nats")]
    async fn client(&mut self, url: &NatsUrl) -> Result<Client, PluginError> {
        if let Some(client) = self.clients.get(url) {
            return Ok(client.clone());
        }
        let dial = self.plugin.dial();
        let dial = dial.ok_or_else(|| PluginError::new("this host has no way out"))?;
        let client = nats::connect(dial, url, NamedBy::Workload, self.about).await;
        let client = client.map_err(|error| {
            PluginError::new(format!("there are no messages over NATS: {error}"))
                .at("spec.hostInterfaces")
        })?;
        self.clients.insert(url.clone(), client.clone());
        Ok(client)
    }
}
