//! What workloads keep, found again by whoever shares it: rooms in memory, the file on disk, connections to servers.

use std::path::PathBuf;
use std::sync::Arc;

use super::memory::{Account, Memory};
#[cfg(feature = "keyvalue-nats")]
use super::nats;
#[cfg(feature = "keyvalue-redb")]
use super::redb::Disk;
#[cfg(feature = "keyvalue-redis")]
use super::redis::{Server, ServerUrl};
use super::{KeyValueOptions, Store};
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
    // Of each tenant, so that no other waits for what it asks for, nor loses calls with its connection.
    #[cfg(feature = "keyvalue-redis")]
    servers: Shared<(ServerUrl, Tenant), Server>,
    #[cfg(feature = "keyvalue-nats")]
    clusters: Shared<(NatsUrl, Tenant), nats::Server>,
}

/// What is kept in memory, and by whom it is paid for.
#[derive(Default)]
struct Rooms {
    tenants: Shared<Tenant, Memory>,
    payers: Shared<Payer, Account>,
}

impl Rooms {
    fn room(&self, tenant: &Tenant, limit: u64) -> Arc<Memory> {
        let account = || self.payers.get(&tenant.payer(), || Account::new(limit));
        self.tenants
            .get(tenant, || Arc::new(Memory::within(account())))
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
                let server = self.server(url, tenant);
                server.may_connect().await?;
                Ok(Arc::new(server.tenant(tenant, prefix)))
            }
            #[cfg(feature = "keyvalue-nats")]
            Place::Nats { url, prefix, wish } => {
                let server = self.cluster(url, tenant);
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
    fn server(&self, url: &ServerUrl, tenant: &Tenant) -> Arc<Server> {
        let dial = || self.dial.for_workload();
        let make = || Server::new(about(tenant), url.clone(), dial(), &self.options);
        self.servers.get(&(url.clone(), tenant.clone()), make)
    }

    #[cfg(feature = "keyvalue-nats")]
    fn cluster(&self, url: &NatsUrl, tenant: &Tenant) -> Arc<nats::Server> {
        let (url, dial) = (url.clone(), self.dial.clone());
        let key = (url.clone(), tenant.clone());
        let make = || nats::Server::new(about(tenant), url, dial, &self.options);
        self.clusters.get(&key, make)
    }
}

/// Whose connection it is, for the log.
#[cfg(any(feature = "keyvalue-nats", feature = "keyvalue-redis"))]
fn about(tenant: &Tenant) -> String {
    format!("keys and values of {tenant}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::capability::tenant::testing::tenant;

    #[test]
    fn a_name_to_share_by_brings_no_room() {
        let rooms = Rooms::default();
        let payer = |kind, name| {
            let payer = tenant("a", kind, name).payer();
            rooms.payers.get(&payer, || Account::new(1000))
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

    /// Over the same connection, one that asks for much keeps all others waiting.
    #[cfg(all(feature = "keyvalue-nats", feature = "keyvalue-redis"))]
    #[test]
    fn each_tenant_has_a_connection_of_its_own() {
        use crate::net::resolve::SystemResolver;
        use crate::policy::EgressPolicy;
        let resolver = Arc::new(SystemResolver::default());
        let dial = Dial::new(EgressPolicy::default(), resolver);
        let stores = Stores::new(KeyValueOptions::default(), None, dial);
        let tenants = ["one", "one", "two"].map(|name| tenant("a", "shared", name));
        let url = "redis://127.0.0.1".parse().unwrap();
        let all = tenants.each_ref().map(|it| stores.server(&url, it));
        assert!(Arc::ptr_eq(&all[0], &all[1]));
        assert!(!Arc::ptr_eq(&all[0], &all[2]));
        let url = "nats://127.0.0.1".parse().unwrap();
        let all = tenants.each_ref().map(|it| stores.cluster(&url, it));
        assert!(Arc::ptr_eq(&all[0], &all[1]));
        assert!(!Arc::ptr_eq(&all[0], &all[2]));
    }
}
