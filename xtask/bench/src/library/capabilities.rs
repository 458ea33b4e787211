//! The library's side of the `capabilities` bench: workloads whose guest calls a capability in a loop.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::capability::blobstore::BlobOptions;
use wasmcloud::capability::direct::Direct;
use wasmcloud::capability::keyvalue::KeyValueOptions;
use wasmcloud::capability::messaging::MessagingOptions;
use wasmcloud::host::Host as _;
use wasmcloud::plugin::{Import, Offer, Plugin, StoreData};
use wasmcloud::workload::WorkloadId;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, LinkerInstance, Lower};

use super::request;
use crate::manifest;

/// What the handlers of messages tell.
const TALLY: &str = "bench:capabilities/tally@0.1.0";

/// What a workload is made of.
pub(crate) struct Setup {
    /// Its component.
    pub(crate) guest: PathBuf,
    /// The interface through which that is driven, of the package `bench:capabilities`, and those that it has besides.
    pub(crate) interfaces: Vec<&'static str>,
    /// Fields of the component beyond its name and image.
    pub(crate) fields: Value,
    /// The entry of `hostInterfaces` for the capability.
    pub(crate) grant: Value,
    /// Where the host keeps data.
    pub(crate) folder: Arc<TempDir>,
}

/// A workload on a host of its own that can be driven. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Driven {
    direct: Direct,
    id: WorkloadId,
    handled: watch::Receiver<u64>,
    _host: Arc<Assembled>,
    _folder: Arc<TempDir>,
}

impl Driven {
    /// Starts it. The host may reach servers of this machine, and lets more be kept and wait than usual.
    pub(crate) async fn start(setup: Setup) -> anyhow::Result<Self> {
        let drive = setup.interfaces.first().context("nothing to drive it by")?;
        let drive = format!("bench:capabilities/{drive}@0.1.0");
        let direct = Direct::new(drive.parse()?);
        let (count, handled) = watch::channel(0);
        let tally = Tally {
            offer: Offer::shared(TALLY.parse()?),
            count: Arc::new(count),
        };
        let mut config = HostConfig {
            plugins: vec![Arc::new(direct.clone()), Arc::new(tally)],
            data_dir: Some(setup.folder.path().to_owned()),
            blobstore: BlobOptions {
                memory: 4 << 30,
                ..BlobOptions::default()
            },
            keyvalue: KeyValueOptions::default(),
            messaging: MessagingOptions {
                max_waiting: 1 << 20,
                max_waiting_bytes: 1 << 30,
                ..MessagingOptions::default()
            },
            ..HostConfig::default()
        };
        config.egress.allow.push("127.0.0.0/8".parse()?);
        let host = Arc::new(assemble(config).await?);
        let own = json!({
            "namespace": "bench", "package": "capabilities", "interfaces": setup.interfaces
        });
        let grants = [own, setup.grant];
        let manifest = manifest::capable("capable", &setup.guest, &setup.fields, &grants);
        let id = host.host.start(request(&manifest)?).await?.id;
        Ok(Self {
            direct,
            id,
            handled,
            _host: host,
            _folder: setup.folder,
        })
    }

    /// Calls a function of the guest.
    pub(crate) async fn call<P, R>(&self, function: &str, params: P) -> anyhow::Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentType + Lift + Send + Sync + 'static,
    {
        let (told,): (Result<R, String>,) = self.direct.call(&self.id, function, params).await?;
        told.map_err(anyhow::Error::msg)
    }

    /// How many messages it has handled.
    pub(crate) fn handled(&self) -> watch::Receiver<u64> {
        self.handled.clone()
    }
}

/// Counts what was handled.
struct Tally {
    offer: Offer,
    count: Arc<watch::Sender<u64>>,
}

impl Plugin for Tally {
    fn id(&self) -> &'static str {
        "bench-tally"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![self.offer.clone()]
    }

    fn link(
        &self,
        _: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let count = Arc::clone(&self.count);
        linker.func_wrap(
            "handled",
            move |_: StoreContextMut<'_, StoreData>, (): ()| {
                count.send_modify(|count| *count += 1);
                Ok(())
            },
        )
    }
}
