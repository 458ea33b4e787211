//! What workloads keep, found again by whoever shares it: rooms in memory, the file on disk, connections to servers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::memory::{Memory, Together};
#[cfg(feature = "keyvalue-nats")]
use super::nats;
#[cfg(feature = "keyvalue-redb")]
use super::redb::Disk;
#[cfg(feature = "keyvalue-redis")]
use super::redis::{Server, ServerUrl};
use super::{KeyValueOptions, Store};
#[cfg(feature = "keyvalue-nats")]
use crate::capability::nats::NatsUrl;
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
    rooms: Mutex<Rooms>,
    #[cfg(feature = "keyvalue-redb")]
    disk: tokio::sync::OnceCell<Arc<Disk>>,
    #[cfg(feature = "keyvalue-redis")]
    servers: Mutex<HashMap<ServerUrl, Weak<Server>>>,
    #[cfg(feature = "keyvalue-nats")]
    clusters: Mutex<HashMap<NatsUrl, Weak<nats::Server>>>,
}

/// What is kept in memory, and by whom it is paid for, for as long as somebody has it.
#[derive(Default)]
struct Rooms {
    tenants: HashMap<Tenant, Weak<Memory>>,
    payers: HashMap<Payer, Weak<Together>>,
}

impl Rooms {
    fn room(&mut self, tenant: &Tenant, limit: u64) -> Arc<Memory> {
        self.tenants.retain(|_, room| room.strong_count() > 0);
        if let Some(room) = self.tenants.get(tenant).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::new(Memory::within(self.together(tenant.payer()), limit));
        self.tenants.insert(tenant.clone(), Arc::downgrade(&room));
        room
    }

    fn together(&mut self, payer: Payer) -> Arc<Together> {
        self.payers.retain(|_, kept| kept.strong_count() > 0);
        if let Some(kept) = self.payers.get(&payer).and_then(Weak::upgrade) {
            return kept;
        }
        let kept = Arc::<Together>::default();
        self.payers.insert(payer, Arc::downgrade(&kept));
        kept
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
            rooms: Mutex::default(),
            #[cfg(feature = "keyvalue-redb")]
            disk: tokio::sync::OnceCell::new(),
            #[cfg(feature = "keyvalue-redis")]
            servers: Mutex::default(),
            #[cfg(feature = "keyvalue-nats")]
            clusters: Mutex::default(),
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
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.room(tenant, self.options.memory_bytes)
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
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, server| server.strong_count() > 0);
        if let Some(server) = servers.get(url).and_then(Weak::upgrade) {
            return server;
        }
        let server = Server::new(url.clone(), self.dial.for_workload(), &self.options);
        servers.insert(url.clone(), Arc::downgrade(&server));
        server
    }

    #[cfg(feature = "keyvalue-nats")]
    fn cluster(&self, url: &NatsUrl) -> Arc<nats::Server> {
        let clusters = self.clusters.lock();
        let mut clusters = clusters.unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|_, server| server.strong_count() > 0);
        if let Some(server) = clusters.get(url).and_then(Weak::upgrade) {
            return server;
        }
        let server = nats::Server::new(url.clone(), self.dial.clone());
        clusters.insert(url.clone(), Arc::downgrade(&server));
        server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::tenant::testing::tenant;

    #[test]
    fn a_name_to_share_by_brings_no_room() {
        let mut rooms = Rooms::default();
        let mut payer = |kind, name| rooms.together(tenant("a", kind, name).payer());
        let shared = ["one", "two"].map(|name| payer("shared", name));
        let own = ["one", "two"].map(|name| payer("workload", name));
        assert!(Arc::ptr_eq(&shared[0], &shared[1]));
        assert!(!Arc::ptr_eq(&own[0], &own[1]));
        assert!(!Arc::ptr_eq(&own[0], &shared[0]));
    }

    #[test]
    fn a_room_is_the_same_for_all_who_have_it() {
        let mut rooms = Rooms::default();
        let mut room = |name| rooms.room(&tenant("a", "shared", name), 1000);
        let all = [room("one"), room("one"), room("two")];
        assert!(Arc::ptr_eq(&all[0], &all[1]));
        assert!(!Arc::ptr_eq(&all[0], &all[2]));
    }
}
