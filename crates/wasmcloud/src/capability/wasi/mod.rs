//! WASI 0.2 and 0.3: environment and standard streams of the asking component, clocks, random numbers, I/O.
//!
//! Of files, a component sees the volumes that it mounts.

mod filesystem;
mod lines;
mod p2;
mod p3;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::LinkerInstance;

pub use filesystem::VolumeOptions;
use filesystem::{Mounts, Volumes};

use crate::plugin::{BindRequest, Binding, Import, Offer, Plugin, PluginError, State, StoreData};
use crate::workload::{Interface, Workload};

/// The plugin for WASI's basics, and for volumes.
#[derive(Clone)]
pub struct Wasi(Arc<Volumes>);

impl Wasi {
    /// With volumes as the options say. Does nothing yet.
    #[must_use]
    pub fn new(volumes: VolumeOptions) -> Self {
        Self(Arc::new(Volumes::new(volumes)))
    }

    /// Everything that would keep a workload from getting its volumes, as far as it shows without making or opening any.
    pub async fn examine(&self, workload: &Workload) -> Vec<PluginError> {
        self.0.examine(workload).await
    }

    /// Removes the ephemeral volumes that hosts of the same user left behind when they were killed. Other hosts may live.
    pub async fn sweep(&self) {
        self.0.sweep().await;
    }
}

impl Default for Wasi {
    fn default() -> Self {
        Self::new(VolumeOptions::default())
    }
}

impl fmt::Debug for Wasi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wasi")
    }
}

/// Keeps the volumes of a workload. Instances that are still at work keep them as well.
struct Bound(Arc<Mounts>);

impl Binding for Bound {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl Plugin for Wasi {
    fn id(&self) -> &'static str {
        "wasi"
    }

    fn offers(&self) -> Vec<Offer> {
        let shared =
            |package: &str, names: &[&str], version| offers(package, names, version, Offer::shared);
        let identity = |package: &str, names: &[&str], version| {
            offers(package, names, version, Offer::identity)
        };
        [
            shared("io", &["error", "poll", "streams"], P2),
            shared("clocks", &["monotonic-clock", "wall-clock"], P2),
            shared("random", &["insecure", "insecure-seed", "random"], P2),
            shared(
                "cli",
                &[
                    "exit",
                    "terminal-input",
                    "terminal-output",
                    "terminal-stderr",
                    "terminal-stdin",
                    "terminal-stdout",
                ],
                P2,
            ),
            identity("cli", &["environment", "stderr", "stdin", "stdout"], P2),
            shared("filesystem", &["types"], P2),
            identity("filesystem", &["preopens"], P2),
            shared("clocks", &["monotonic-clock", "system-clock", "types"], P3),
            shared("random", &["insecure", "insecure-seed", "random"], P3),
            shared(
                "cli",
                &[
                    "exit",
                    "types",
                    "terminal-input",
                    "terminal-output",
                    "terminal-stderr",
                    "terminal-stdin",
                    "terminal-stdout",
                ],
                P3,
            ),
            identity("cli", &["environment", "stderr", "stdin", "stdout"], P3),
            shared("filesystem", &["types"], P3),
            identity("filesystem", &["preopens"], P3),
        ]
        .concat()
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let mounts = self.0.mount(request.workload).await?;
        Ok(Box::new(Bound(Arc::new(mounts))))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        match import
            .interface
            .version
            .as_ref()
            .map(|version| (version.major, version.minor))
        {
            Some((0, 3)) => p3::link(import, linker),
            _ => p2::link(import, linker),
        }
    }
}

/// The version of WASI 0.2 that is implemented.
const P2: (u64, u64, u64) = (0, 2, 12);
/// The version of WASI 0.3 that is implemented.
const P3: (u64, u64, u64) = (0, 3, 0);

fn offers(
    package: &str,
    names: &[&str],
    (major, minor, patch): (u64, u64, u64),
    offer: fn(Interface) -> Offer,
) -> Vec<Offer> {
    names
        .iter()
        .map(|name| {
            offer(Interface {
                namespace: "wasi".to_owned(),
                package: package.to_owned(),
                name: (*name).to_owned(),
                version: Some(semver::Version::new(major, minor, patch)),
            })
        })
        .collect()
}

fn not_offered(import: &Import<'_>) -> wasmtime::Error {
    wasmtime::format_err!("`{}` is not offered", import.interface)
}
