//! The plugin for blobs: which import of a workload leads to what.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use wasmtime::component::LinkerInstance;

use super::bounded::{Bounded, Bounds};
use super::container::Store;
use super::places::Places;
use super::room::Budget;
use super::settings::{EntrySettings, entries, read};
use super::{BlobOptions, p2, p3};
use crate::capability::room::part_of_open_files;
use crate::capability::routes::{Routes, troubled};
#[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
use crate::net::dial::Dial;
use crate::plugin::{
    Asker, BindRequest, Binding, Grant, Import, Offer, Plugin, PluginError, State, StoreData,
};
use crate::workload::{HostInterface, Interface, Workload};

const WASI: (&str, &str) = ("wasi", "0.2.0-draft");
const WASMCLOUD: (&str, &str) = ("wasmcloud", "0.1.0");
/// How many bytes of all workloads wait, at most, for a guest to say where they are to go.
const MOST_SPOOLED: u64 = 1 << 30;

/// The plugin for blobs.
pub struct Blobstore {
    places: Places,
    /// Streams of the whole host; each may hold a file.
    streams: Arc<Semaphore>,
    spooled: Arc<Budget>,
}

impl Blobstore {
    /// Keeps blobs below the folder of the host's data; without one, in memory.
    #[must_use]
    pub fn new(options: BlobOptions, data_dir: Option<&Path>) -> Self {
        Self {
            places: Places::new(options, data_dir),
            streams: Arc::new(Semaphore::new(part_of_open_files(4, 64..=16_384))),
            spooled: Budget::new(MOST_SPOOLED),
        }
    }

    /// Reaches servers that manifests name by this way.
    #[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
    pub(crate) fn with_dial(mut self, dial: Dial) -> Self {
        self.places.dial = Some(dial);
        self
    }

    fn bounds(&self, settings: &EntrySettings, workload: &Arc<Semaphore>) -> Bounds {
        let limits = [settings.largest_object, self.places.options.largest_object];
        Bounds {
            largest_object: limits.into_iter().flatten().min(),
            streams: [Arc::clone(workload), Arc::clone(&self.streams)],
        }
    }
}

impl fmt::Debug for Blobstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blobstore")
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

    fn troubles(&self) -> Vec<String> {
        let all = self.0.wasi.all().chain(self.0.wasmcloud.all());
        let troubles = all.filter_map(|(label, store)| {
            let why = store.as_ref()?.trouble()?;
            Some(troubled("blobstore", label, &why))
        });
        troubles.collect()
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
        let most = || Arc::new(Semaphore::new(self.places.options.most_streams));
        let streams = most();
        let mut opened = Opened::new();
        for (index, entry) in entries(request.workload) {
            let (settings, wrong) = read(request.workload, index, entry);
            if let Some(error) = wrong.into_iter().next() {
                return Err(error);
            }
            let blobs = self.places.open(&settings).await;
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
            spool: p2::Spool::new(self.places.data.clone(), Arc::clone(&self.spooled), most()),
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
