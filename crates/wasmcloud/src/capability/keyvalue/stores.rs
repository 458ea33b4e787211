//! What workloads keep, found again by whoever shares it: rooms in memory, the file on disk, connections to servers.

use std::path::PathBuf;
use std::sync::Arc;

use super::memory::Memory;
#[cfg(feature = "keyvalue-nats")]
use super::nats;
#[cfg(feature = "keyvalue-redb")]
use super::redb::Disk;
#[cfg(feature = "keyvalue-redis")]
use super::redis::{Server, ServerUrl};
use super::{KeyValueOptions, Store};
use crate::capability::budget::Budget;
#[cfg(feature = "keyvalue-nats")]
use crate::capability::nats::NatsUrl;
use crate::capability::shared::Shared;
use crate::capability::tenant::{Payer, Tenant};
#[cfg(feature = "servers")]
use crate::net::dial::Dial;
use crate::plugin::PluginError;

/// Where somebody wants to keep something.
#[derive(Clone)]
pub(super) enum Place {
    /// Wherever this host keeps things: on disk if it has a data folder.
    Usual,
    Memory,
    #[cfg(feature = "keyvalue-redb")]
    Disk,
    #[cfg(feature = "keyvalue-redis")]
    Redis {
        url: ServerUrl,
        prefix: String,
    },
    #[cfg(feature = "keyvalue-nats")]
    Nats {
        url: NatsUrl,
        prefix: String,
        wish: nats::Wish,
    },
}

/// All places of a host.
pub(super) struct Stores {
    pub(super) options: KeyValueOptions,
    #[cfg_attr(
        not(feature = "keyvalue-redb"),
        expect(dead_code, reason = "for the disk only")
    )]
    data_dir: Option<PathBuf>,
    #[cfg(feature = "servers")]
    #[cfg_attr(
        not(any(feature = "keyvalue-nats", feature = "keyvalue-redis")),
        expect(dead_code, reason = "nobody connects")
    )]
    dial: Dial,
    rooms: Rooms,
    #[cfg(feature = "keyvalue-redb")]
    disk: tokio::sync::OnceCell<Arc<Disk>>,
    #[cfg(feature = "keyvalue-redis")]
    servers: Shared<ServerUrl, Server>,
    #[cfg(feature = "keyvalue-nats")]
    clusters: Shared<NatsUrl, nats::Server>,
}

/// What is kept in memory, and by whom it is paid for.
#[derive(Default)]
struct Rooms {
    tenants: Shared<Tenant, Memory>,
    payers: Shared<Payer, Budget>,
}

impl Rooms {
    fn room(&self, tenant: &Tenant, limit: u64) -> Arc<Memory> {
        let budget = || self.payers.get(&tenant.payer(), || Budget::new(limit));
        self.tenants
            .get(tenant, || Arc::new(Memory::within(budget())))
    }
}

impl Stores {
    pub(super) fn new(
        options: KeyValueOptions,
        data_dir: Option<PathBuf>,
        #[cfg(feature = "servers")] dial: Dial,
    ) -> Self {
        Self {
            options,
            data_dir,
            #[cfg(feature = "servers")]
            dial,
            rooms: Rooms::default(),
            #[cfg(feature = "keyvalue-redb")]
            disk: tokio::sync::OnceCell::new(),
            #[cfg(feature = "keyvalue-redis")]
            servers: Shared::default(),
            #[cfg(feature = "keyvalue-nats")]
            clusters: Shared::default(),
        }
    }

    /// What a tenant keeps in a place.
    pub(super) async fn open(
        &self,
        place: &Place,
        tenant: &Tenant,
    ) -> Result<Arc<dyn Store>, PluginError> {
        match place {
            Place::Usual => self.usual(tenant).await,
            Place::Memory => Ok(self.room(tenant)),
            #[cfg(feature = "keyvalue-redb")]
            Place::Disk => self.on_disk(tenant).await,
            #[cfg(feature = "keyvalue-redis")]
            Place::Redis { url, prefix } => {
                let server = self.server(url);
                server.may_connect().await?;
                Ok(Arc::new(server.tenant(tenant, prefix)))
            }
            #[cfg(feature = "keyvalue-nats")]
            Place::Nats { url, prefix, wish } => {
                let server = self.cluster(url);
                server.begin().await?;
                let store = server.tenant(tenant, prefix, *wish);
                store.begin().await?;
                Ok(Arc::new(store))
            }
        }
    }

    async fn usual(&self, tenant: &Tenant) -> Result<Arc<dyn Store>, PluginError> {
        #[cfg(feature = "keyvalue-redb")]
        if self.data_dir.is_some() {
            return self.on_disk(tenant).await;
        }
        tracing::warn!(
            %tenant,
            "keys and values are kept in memory and are lost with the workload: this host has no data folder"
        );
        Ok(self.room(tenant))
    }

    /// In memory. It is gone with the last workload that has it.
    fn room(&self, tenant: &Tenant) -> Arc<dyn Store> {
        self.rooms.room(tenant, self.options.memory_bytes)
    }

    #[cfg(feature = "keyvalue-redb")]
    async fn on_disk(&self, tenant: &Tenant) -> Result<Arc<dyn Store>, PluginError> {
        let Some(folder) = &self.data_dir else {
            let hint =
                "start it with one (`--data-dir`), or let the workload use another `backend`";
            return Err(PluginError::new("this host has no data folder").hint(hint));
        };
        let folder = folder.join("keyvalue");
        let open = || async {
            let disk = Disk::open(folder.clone(), self.options.disk_bytes).await;
            disk.map(Arc::new)
        };
        let disk = self.disk.get_or_try_init(open).await.map_err(|fault| {
            let folder = folder.display();
            PluginError::new(format!(
                "keys and values cannot be kept in {folder}: {fault}"
            ))
        })?;
        Ok(Arc::new(disk.tenant(tenant)))
    }

    #[cfg(feature = "keyvalue-redis")]
    fn server(&self, url: &ServerUrl) -> Arc<Server> {
        let make = || Server::new(url.clone(), self.dial.for_workload(), &self.options);
        self.servers.get(url, make)
    }

    #[cfg(feature = "keyvalue-nats")]
    fn cluster(&self, url: &NatsUrl) -> Arc<nats::Server> {
        let make = || nats::Server::new(url.clone(), self.dial.clone());
        self.clusters.get(url, make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::tenant::testing::tenant;

    #[test]
    fn a_name_to_share_by_brings_no_room() {
        let rooms = Rooms::default();
        let payer = |kind, name| {
            let payer = tenant("a", kind, name).payer();
            rooms.payers.get(&payer, || Budget::new(1000))
        };
        let shared = ["one", "two"].map(|name| payer("shared", name));
        let own = ["one", "two"].map(|name| payer("workload", name));
        assert!(Arc::ptr_eq(&shared[0], &shared[1]));
        assert!(!Arc::ptr_eq(&own[0], &own[1]));
        assert!(!Arc::ptr_eq(&own[0], &shared[0]));
    }

    #[test]
    fn a_room_is_the_same_for_all_who_have_it() {
        let rooms = Rooms::default();
        let room = |name| rooms.room(&tenant("a", "shared", name), 1000);
        let all = [room("one"), room("one"), room("two")];
        assert!(Arc::ptr_eq(&all[0], &all[1]));
        assert!(!Arc::ptr_eq(&all[0], &all[2]));
    }
}
