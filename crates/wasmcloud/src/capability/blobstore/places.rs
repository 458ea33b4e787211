//! What keeps blobs, found again by whoever shares it: memory, folders, connections to servers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::filesystem::{Filesystem, Folder};
use super::memory::Memory;
#[cfg(feature = "blobstore-nats")]
use super::nats::{Nats, NatsPlace, Server};
#[cfg(feature = "blobstore-s3")]
use super::s3::{Bucket, S3, S3Place};
use super::settings::{Backend, EntrySettings};
use super::{BlobOptions, Blobs};
use crate::capability::budget::Budget;
use crate::capability::shared::Shared;
use crate::capability::tenant::{Payer, Tenant};
#[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
use crate::net::dial::Dial;
use crate::plugin::PluginError;

/// Where in the folder of the host's data blobs are.
const KEPT: &str = "blobstore";

/// All places of a host.
pub(super) struct Places {
    pub(super) options: BlobOptions,
    /// Where blobs are kept whose entry says nothing.
    pub(super) data: Option<PathBuf>,
    memory: Shared<Tenant, Memory>,
    folders: Shared<PathBuf, Folder>,
    /// What may be kept in memory, and in all folders together.
    memory_budgets: Shared<Payer, Budget>,
    disk_budgets: Shared<Payer, Budget>,
    #[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
    pub(super) dial: Option<Dial>,
    #[cfg(feature = "blobstore-s3")]
    buckets: Shared<S3Place, Bucket>,
    #[cfg(feature = "blobstore-nats")]
    servers: Shared<NatsPlace, Server>,
}

impl Places {
    pub(super) fn new(options: BlobOptions, data_dir: Option<&Path>) -> Self {
        Self {
            options,
            data: data_dir.map(|data| data.join(KEPT)),
            memory: Shared::default(),
            folders: Shared::default(),
            memory_budgets: Shared::default(),
            disk_budgets: Shared::default(),
            #[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
            dial: None,
            #[cfg(feature = "blobstore-s3")]
            buckets: Shared::default(),
            #[cfg(feature = "blobstore-nats")]
            servers: Shared::default(),
        }
    }

    /// Whether the blobs of an entry are kept in memory.
    pub(super) fn are_in_memory(&self, backend: &Backend) -> bool {
        match backend {
            Backend::Default => self.data.is_none(),
            backend => *backend == Backend::Memory,
        }
    }

    /// What the objects of a workload take on their way to servers of S3, and its lists on NATS.
    pub(super) fn held(&self) -> Arc<Budget> {
        Budget::new(self.options.held)
    }

    /// What keeps the blobs of an entry. What is held on the way is that of its workload.
    #[cfg_attr(
        not(any(feature = "blobstore-nats", feature = "blobstore-s3")),
        expect(
            unused_variables,
            reason = "only on the way to servers something is held"
        )
    )]
    pub(super) async fn open(
        &self,
        settings: &EntrySettings,
        held: &Arc<Budget>,
    ) -> Result<Arc<dyn Blobs>, PluginError> {
        let folder = match (&settings.backend, &self.data) {
            (Backend::Filesystem(Some(root)), _) => self.allowed(root).await?,
            (Backend::Default | Backend::Filesystem(None), Some(data)) => data.clone(),
            (Backend::Filesystem(None), None) => {
                let told = "this host keeps no data, so it has no folder for blobs";
                let hint = "start it with a folder for its data, or use `backend: in-memory`";
                return Err(PluginError::new(told).hint(hint));
            }
            (Backend::Default | Backend::Memory, _) => {
                if settings.backend == Backend::Default {
                    let tenant = settings.tenant.to_string();
                    tracing::info!(
                        tenant,
                        "blobs are kept in memory, and are lost with the host"
                    );
                }
                return Ok(self.memory_of(&settings.tenant));
            }
            #[cfg(feature = "blobstore-s3")]
            (Backend::S3(place), _) => return self.bucket(place, &settings.tenant, held).await,
            #[cfg(feature = "blobstore-nats")]
            (Backend::Nats(place), _) => return self.server(place, &settings.tenant, held).await,
        };
        let opened = self.opened(folder, settings.tenant.clone()).await;
        opened.map_err(|error| {
            PluginError::new(format!("the folder for blobs cannot be used: {error}"))
                .hint("the host needs the right to write there")
        })
    }

    fn memory_of(&self, tenant: &Tenant) -> Arc<Memory> {
        let empty = || Budget::new(self.options.memory);
        let budget = self.memory_budgets.get(&tenant.payer(), empty);
        self.memory.get(tenant, || Arc::new(Memory::new(budget)))
    }

    async fn opened(&self, path: PathBuf, tenant: Tenant) -> io::Result<Arc<dyn Blobs>> {
        let folder = match self.folders.find(&path) {
            Some(folder) => folder,
            None => {
                let wanted = path.clone();
                let opened = spawn_blocking(move || Folder::open(wanted)).await??;
                // Somebody else may have opened it meanwhile, which does no harm.
                self.folders.get(&path, || Arc::new(opened))
            }
        };
        let empty = || Budget::new(self.options.disk);
        let budget = self.disk_budgets.get(&tenant.payer(), empty);
        Ok(Arc::new(Filesystem::within(folder, tenant, budget).await?))
    }

    /// The folder that a manifest names, if it is below one that the host allows. Of others, nothing is told.
    async fn allowed(&self, root: &Path) -> Result<PathBuf, PluginError> {
        let (roots, wanted) = (self.options.roots.clone(), root.to_owned());
        let found = spawn_blocking(move || below(&roots, &wanted)).await;
        found.ok().flatten().ok_or_else(|| {
            let told = format!("`{}` is no folder that this host allows", root.display());
            let hint = "name a folder that is there, below one of `blobstore.roots` in the configuration of the host";
            PluginError::new(told).hint(hint)
        })
    }

    #[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
    fn way_out(&self) -> Result<Dial, PluginError> {
        let dial = self.dial.clone();
        dial.ok_or_else(|| PluginError::new("this host has no way out"))
    }

    #[cfg(feature = "blobstore-s3")]
    async fn bucket(
        &self,
        place: &S3Place,
        tenant: &Tenant,
        held: &Arc<Budget>,
    ) -> Result<Arc<dyn Blobs>, PluginError> {
        let bucket = match self.buckets.find(place) {
            Some(bucket) => bucket,
            None => {
                let made = Bucket::new(place.clone(), self.way_out()?)?;
                self.buckets.get(place, || Arc::new(made))
            }
        };
        bucket.may_connect().await?;
        Ok(Arc::new(S3::new(bucket, tenant, Arc::clone(held))))
    }

    #[cfg(feature = "blobstore-nats")]
    async fn server(
        &self,
        place: &NatsPlace,
        tenant: &Tenant,
        held: &Arc<Budget>,
    ) -> Result<Arc<dyn Blobs>, PluginError> {
        let server = match self.servers.find(place) {
            Some(server) => server,
            None => {
                let made = Server::connect(place, &self.way_out()?).await?;
                self.servers.get(place, || Arc::new(made))
            }
        };
        Ok(Arc::new(Nats::new(server, tenant, Arc::clone(held))))
    }
}

/// Where the folder really is, if it and its real place are below a root.
fn below(roots: &[PathBuf], wanted: &Path) -> Option<PathBuf> {
    let real = || roots.iter().filter_map(|root| root.canonicalize().ok());
    let named = roots.iter().cloned().chain(real());
    if !named.into_iter().any(|root| wanted.starts_with(root)) {
        return None;
    }
    let path = wanted.canonicalize().ok()?;
    let inside = real().any(|root| path.starts_with(root)) && path.is_dir();
    inside.then_some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::BlobError;
    use super::super::conformance::{name, write_all};
    use super::super::settings::{entries, read, testing};
    use super::*;

    async fn opened(places: &Places, config: &str) -> Arc<dyn Blobs> {
        let entry = format!(
            "{{namespace: wasi, package: blobstore, interfaces: [blobstore], config: {config}}}"
        );
        let workload = testing::workload("shop", &entry);
        let (index, entry) = entries(&workload).next().unwrap();
        let (settings, _) = read(&workload, index, entry);
        let blobs = places.open(&settings, &places.held()).await.unwrap();
        blobs.create_container(&name("c")).await.unwrap();
        blobs
    }

    /// Each of 63 entries with a name of its own had as much room as a workload may have.
    #[tokio::test]
    async fn a_name_to_share_by_brings_no_room() {
        let options = BlobOptions {
            memory: 100_000,
            disk: 100_000,
            ..BlobOptions::default()
        };
        let data = tempfile::tempdir().unwrap();
        for data in [None, Some(data.path())] {
            let places = Places::new(options.clone(), data);
            let one = opened(&places, "{shared: one}").await;
            let two = opened(&places, "{shared: two}").await;
            write_all(&one, "c", "o", &[1; 60_000]).await.unwrap();
            let full = write_all(&two, "c", "o", &[1; 60_000]).await;
            assert!(matches!(full, Err(BlobError::Quota(_))), "{full:?}");
            // What is its own is another room.
            let own = opened(&places, "{}").await;
            write_all(&own, "c", "o", &[1; 60_000]).await.unwrap();
        }
    }
}
