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
use super::settings::{EntrySettings, entries, read};
use super::{BlobOptions, p2, p3};
use crate::capability::budget::Budget;
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
/// How many bytes of one workload wait, at most, for a guest to say where they are to go, or are read by one at once; and of all
/// workloads.
const MOST_SPOOLED: u64 = 256 << 20;
const MOST_SPOOLED_OF_ALL: u64 = 1 << 30;
/// One workload has so small a part of the streams of the host, at most.
const PARTS: usize = 4;

/// The plugin for blobs.
pub struct Blobstore {
    places: Places,
    /// Streams of the whole host; each may hold a file …
    streams: Arc<Semaphore>,
    /// … and how many of them one workload may have.
    streams_of_one: usize,
    /// Those of blobs in memory, which hold none.
    in_memory: Arc<Semaphore>,
    spooled: Arc<Budget>,
}

/// How many streams one workload may have.
struct Share {
    streams: Arc<Semaphore>,
    in_memory: Arc<Semaphore>,
}

impl Blobstore {
    /// Keeps blobs below the folder of the host's data; without one, in memory.
    #[must_use]
    pub fn new(options: BlobOptions, data_dir: Option<&Path>) -> Self {
        let streams = part_of_open_files(4, 64..=16_384);
        Self {
            streams_of_one: options.most_streams.min(streams / PARTS),
            places: Places::new(options, data_dir),
            streams: Arc::new(Semaphore::new(streams)),
            in_memory: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            spooled: Budget::new(MOST_SPOOLED_OF_ALL),
        }
    }

    /// Reaches servers that manifests name by this way.
    #[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
    pub(crate) fn with_dial(mut self, dial: Dial) -> Self {
        self.places.dial = Some(dial);
        self
    }

    /// What is for one workload, whatever entries it has.
    fn share(&self) -> Share {
        Share {
            streams: Arc::new(Semaphore::new(self.streams_of_one)),
            in_memory: Arc::new(Semaphore::new(self.places.options.most_streams)),
        }
    }

    fn bounds(&self, settings: &EntrySettings, share: &Share) -> Bounds {
        let limits = [settings.largest_object, self.places.options.largest_object];
        let streams = match self.places.are_in_memory(&settings.backend) {
            true => [&share.in_memory, &self.in_memory],
            false => [&share.streams, &self.streams],
        };
        Bounds {
            largest_object: limits.into_iter().flatten().min(),
            streams: streams.map(Arc::clone),
        }
    }

    /// Where the values of one workload wait.
    pub(super) fn spool(&self) -> p2::Spool {
        let values = Arc::new(Semaphore::new(self.places.options.most_streams));
        let budget = Budget::within(&self.spooled, MOST_SPOOLED);
        p2::Spool::new(self.places.data.clone(), budget, values)
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
        let (share, held) = (self.share(), self.places.held());
        let mut opened = Opened::new();
        for (index, entry) in entries(request.workload) {
            let (settings, wrong) = read(request.workload, index, entry);
            if let Some(error) = wrong.into_iter().next() {
                return Err(error);
            }
            let blobs = self.places.open(&settings, &held).await;
            let blobs = blobs.map_err(|error| error.at(format!("spec.hostInterfaces.{index}")))?;
            let bounded = Bounded::new(blobs, self.bounds(&settings, &share));
            let mut entry = entry.clone();
            // By its id a workload says who should answer.
            entry.name = entry.name.filter(|name| name != self.id());
            opened.push((entry, Store::new(Arc::new(bounded))));
        }
        let bound = Bound {
            wasi: routes(&opened, WASI.0),
            wasmcloud: routes(&opened, WASMCLOUD.0),
            spool: self.spool(),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::settings::testing;
    use super::*;

    fn bounds(plugin: &Blobstore, share: &Share, config: &str) -> Bounds {
        let entry = format!(
            "{{namespace: wasi, package: blobstore, interfaces: [blobstore], config: {config}}}"
        );
        let workload = testing::workload("shop", &entry);
        let (index, entry) = entries(&workload).next().unwrap();
        plugin.bounds(&read(&workload, index, entry).0, share)
    }

    fn plugin(data_dir: Option<&Path>) -> Blobstore {
        let options = BlobOptions {
            most_streams: 1 << 20,
            ..BlobOptions::default()
        };
        Blobstore::new(options, data_dir)
    }

    #[test]
    fn one_workload_leaves_most_streams_of_the_host_to_others() {
        let plugin = plugin(None);
        let bounds = bounds(&plugin, &plugin.share(), "{backend: filesystem}");
        let [one, all] = bounds.streams.map(|it| it.available_permits());
        assert!((1..=all / PARTS).contains(&one), "{one} of {all}");
    }

    #[test]
    fn streams_of_blobs_in_memory_take_none_from_those_of_files() {
        let files = plugin(Some(Path::new("/var/lib/host")));
        let none = plugin(None);
        for (plugin, config, holds_files) in [
            (&files, "{}", true),
            (&files, "{backend: in-memory}", false),
            (&none, "{}", false),
        ] {
            let share = plugin.share();
            let [one, all] = bounds(plugin, &share, config).streams;
            assert_eq!(Arc::ptr_eq(&one, &share.streams), holds_files, "{config}");
            assert_eq!(Arc::ptr_eq(&all, &plugin.streams), holds_files, "{config}");
        }
    }
}
