//! The plugin for blobs: which import of a workload leads to what.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wasmtime::component::LinkerInstance;

use super::bounded::{Bounded, Bounds};
use super::container::Store;
use super::filesystem::{Filesystem, Folder};
use super::memory::Memory;
use super::room::Budget;
use super::settings::{Backend, EntrySettings, entries, read};
use super::{BlobOptions, Blobs, p2, p3};
use crate::capability::room::part_of_open_files;
use crate::capability::routes::Routes;
use crate::capability::tenant::Tenant;
use crate::plugin::{
    Asker, BindRequest, Binding, Grant, Import, Offer, Plugin, PluginError, State, StoreData,
};
use crate::workload::{HostInterface, Interface, Workload};

const WASI: (&str, &str) = ("wasi", "0.2.0-draft");
const WASMCLOUD: (&str, &str) = ("wasmcloud", "0.1.0");
/// Where in the folder of the host's data blobs are.
const KEPT: &str = "blobstore";
/// How many bytes of all workloads wait, at most, for a guest to say where they are to go.
const MOST_SPOOLED: u64 = 1 << 30;

/// The plugin for blobs.
pub struct Blobstore {
    options: BlobOptions,
    /// Where blobs are kept whose entry says nothing.
    data: Option<PathBuf>,
    memory: Shared<Tenant, Memory>,
    folders: Shared<PathBuf, Folder>,
    /// Streams of the whole host; each may hold a file.
    streams: Arc<Semaphore>,
    spooled: Arc<Budget>,
}

impl Blobstore {
    /// Keeps blobs below the folder of the host's data; without one, in memory.
    #[must_use]
    pub fn new(options: BlobOptions, data_dir: Option<&Path>) -> Self {
        Self {
            options,
            data: data_dir.map(|data| data.join(KEPT)),
            memory: Shared::default(),
            folders: Shared::default(),
            streams: Arc::new(Semaphore::new(part_of_open_files(4, 64..=16_384))),
            spooled: Budget::new(MOST_SPOOLED),
        }
    }

    /// What keeps the blobs of an entry.
    async fn open(&self, settings: &EntrySettings) -> Result<Arc<dyn Blobs>, PluginError> {
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
                let budget = || Memory::new(Budget::new(self.options.memory));
                return Ok(self.memory.get(&settings.tenant, budget));
            }
        };
        let opened = self.opened(folder, settings.tenant.clone()).await;
        opened.map_err(|error| {
            PluginError::new(format!("the folder for blobs cannot be used: {error}"))
                .hint("the host needs the right to write there")
        })
    }

    async fn opened(&self, path: PathBuf, tenant: Tenant) -> io::Result<Arc<dyn Blobs>> {
        let folder = match self.folders.find(&path) {
            Some(folder) => folder,
            None => {
                let wanted = path.clone();
                let opened = spawn_blocking(move || Folder::open(wanted)).await??;
                // Somebody else may have opened it meanwhile, which does no harm.
                self.folders.get(&path, || opened)
            }
        };
        Ok(Arc::new(Filesystem::open(folder, tenant).await?))
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

    fn bounds(&self, settings: &EntrySettings, workload: &Arc<Semaphore>) -> Bounds {
        let limits = [settings.largest_object, self.options.largest_object];
        Bounds {
            largest_object: limits.into_iter().flatten().min(),
            streams: [Arc::clone(workload), Arc::clone(&self.streams)],
        }
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

impl fmt::Debug for Blobstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blobstore")
    }
}

/// Things that workloads share, for as long as one of them has it.
struct Shared<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V> Shared<K, V> {
    fn find(&self, key: &K) -> Option<Arc<V>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).and_then(Weak::upgrade)
    }

    fn get(&self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(key).and_then(Weak::upgrade) {
            return found;
        }
        known.retain(|_, value| value.strong_count() > 0);
        let made = Arc::new(make());
        known.insert(key.clone(), Arc::downgrade(&made));
        made
    }
}

/// What the imports of a workload lead to.
pub(super) struct Bound {
    wasi: Routes<Option<Store>>,
    wasmcloud: Routes<Option<Store>>,
    /// Where contents wait whose destination is not known yet.
    pub(super) spool: p2::Spool,
}

struct Held(Arc<Bound>);

impl Binding for Held {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0)))
    }
}

/// What was opened for each entry.
type Opened = Vec<(HostInterface, Store)>;

fn routes(opened: &Opened, namespace: &str) -> Routes<Option<Store>> {
    let own = opened
        .iter()
        .filter(|(entry, _)| entry.namespace == namespace);
    let entries: Vec<HostInterface> = own.map(|(entry, _)| entry.clone()).collect();
    Routes::of(&entries, |entry| {
        let found = opened
            .iter()
            .find(|(other, _)| (&other.namespace, &other.name) == (&entry.namespace, &entry.name));
        found.map(|(_, store)| store.clone())
    })
}

#[async_trait]
impl Plugin for Blobstore {
    fn id(&self) -> &'static str {
        "wasi-blobstore"
    }

    fn offers(&self) -> Vec<Offer> {
        let offers = [WASI, WASMCLOUD].into_iter().flat_map(|package| {
            // What a guest cannot do without a container needs no grant of its own.
            let types = ["types", "container"].map(|name| Offer::shared(interface(package, name)));
            let blobstore = Offer {
                grant: Grant::Listed,
                configurable: true,
                ..Offer::shared(interface(package, "blobstore"))
            };
            types.into_iter().chain([blobstore])
        });
        offers.collect()
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        let wrong = entries(workload).flat_map(|(index, entry)| read(workload, index, entry).1);
        wrong.collect()
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let most = || Arc::new(Semaphore::new(self.options.most_streams));
        let streams = most();
        let mut opened = Opened::new();
        for (index, entry) in entries(request.workload) {
            let (settings, wrong) = read(request.workload, index, entry);
            if let Some(error) = wrong.into_iter().next() {
                return Err(error);
            }
            let blobs = self.open(&settings).await;
            let blobs = blobs.map_err(|error| error.at(format!("spec.hostInterfaces.{index}")))?;
            let bounded = Bounded::new(blobs, self.bounds(&settings, &streams));
            let mut entry = entry.clone();
            // By its id a workload says who should answer.
            entry.name = entry.name.filter(|name| name != self.id());
            opened.push((entry, Store::new(Arc::new(bounded))));
        }
        let bound = Bound {
            wasi: routes(&opened, WASI.0),
            wasmcloud: routes(&opened, WASMCLOUD.0),
            spool: p2::Spool::new(self.data.clone(), Arc::clone(&self.spooled), most()),
        };
        Ok(Box::new(Held(Arc::new(bound))))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        match import.interface.namespace.as_str() {
            "wasi" => p2::link(import, linker),
            _ => p3::link(import, linker),
        }
    }
}

fn interface((namespace, version): (&str, &str), name: &str) -> Interface {
    Interface {
        namespace: namespace.to_owned(),
        package: "blobstore".to_owned(),
        name: name.to_owned(),
        version: semver::Version::parse(version).ok(),
    }
}

/// What the import by which a guest asks leads to.
pub(super) fn wasi(store: &StoreData, asker: &Asker) -> wasmtime::Result<Store> {
    led_to(bound(store)?.wasi.to(asker.label.as_deref()))
}

/// The same for the other package.
pub(super) fn wasmcloud(store: &StoreData, asker: &Asker) -> wasmtime::Result<Store> {
    led_to(bound(store)?.wasmcloud.to(asker.label.as_deref()))
}

pub(super) fn bound(store: &StoreData) -> wasmtime::Result<&Bound> {
    let bound = store.workload().states.get::<Bound>();
    bound.ok_or_else(|| wasmtime::format_err!("no blobs were bound to the workload"))
}

fn led_to(store: &Option<Store>) -> wasmtime::Result<Store> {
    let store = store.clone();
    store.ok_or_else(|| wasmtime::format_err!("the workload has no entry for these blobs"))
}

/// What an import is called that is none of the plugin's.
pub(super) fn not_offered(import: &Import<'_>) -> wasmtime::Error {
    wasmtime::format_err!("`{}` is not offered", import.interface)
}
