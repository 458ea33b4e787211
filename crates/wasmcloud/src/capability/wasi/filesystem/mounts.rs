//! From the volumes of a manifest to open folders: what one workload mounts, and which of it each component sees.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;
use wasmtime_wasi::filesystem::Dir;

use super::change::open_below;
use super::folder::Folders;
use super::options::VolumeOptions;
use super::volume::{Common, OpenFiles, Volume, directory};
use crate::plugin::PluginError;
use crate::workload::{
    ComponentName, Limit, Mebibytes, Volume as VolumeSpec, VolumeMount, VolumeSource, Workload,
};

/// A volume where a component sees it.
pub(super) struct Mount {
    pub(super) path: String,
    pub(super) root: Dir,
    pub(super) volume: Arc<Volume>,
}

/// What each component of a workload sees.
pub(in super::super) struct Mounts(HashMap<ComponentName, Vec<Mount>>);

impl Mounts {
    pub(super) fn of(&self, component: &ComponentName) -> &[Mount] {
        self.0.get(component).map_or(&[], Vec::as_slice)
    }
}

/// Makes and opens volumes for the workloads of one host.
pub(in super::super) struct Volumes {
    options: VolumeOptions,
    folders: Arc<Folders>,
    /// What guests hold of all of them.
    open: Arc<OpenFiles>,
}

impl Volumes {
    pub(in super::super) fn new(options: VolumeOptions) -> Self {
        let base = options.ephemeral_dir.clone();
        let base = base.unwrap_or_else(std::env::temp_dir);
        Self {
            options,
            folders: Arc::new(Folders::new(base)),
            open: Arc::new(OpenFiles::of_host()),
        }
    }

    /// Removes what hosts that are dead have left.
    pub(in super::super) async fn sweep(&self) {
        let folders = Arc::clone(&self.folders);
        // A look that crashes is no reason not to start.
        let _ = spawn_blocking(move || folders.sweep()).await;
    }

    /// Opens every volume that a component mounts.
    ///
    /// # Errors
    /// When one of them cannot be had; then none is held.
    pub(in super::super) async fn mount(&self, workload: &Workload) -> Result<Mounts, PluginError> {
        self.count(workload)?;
        let common = Common::new(self.options.most_open, Arc::clone(&self.open));
        let mut open: HashMap<&str, Arc<Volume>> = HashMap::new();
        for (index, volume) in mounted(workload) {
            let opened = match &volume.source {
                VolumeSource::Ephemeral(limit) => {
                    let limit = self
                        .limit(&volume.name, *limit)
                        .map_err(|error| error.at(size_of(index)))?;
                    let made = self.ephemeral(limit, common.clone()).await;
                    made.map_err(|error| error.at(format!("spec.volumes.{index}.ephemeral")))
                }
                VolumeSource::HostPath(folder) => {
                    let opened = self.host_path(&volume.name, folder, &common).await;
                    opened.map_err(|error| error.at(path_of(index)))
                }
            };
            open.insert(&volume.name, Arc::new(opened?));
        }
        let mut seen: HashMap<ComponentName, Vec<Mount>> = HashMap::new();
        for (component, mount) in mounts(workload) {
            let Some(volume) = open.get(mount.name.as_str()) else {
                let message = format!("`{}` is no volume of the workload", mount.name);
                return Err(PluginError::new(message));
            };
            seen.entry(component.clone()).or_default().push(Mount {
                path: mount.mount_path.clone(),
                root: volume.root(mount.read_only),
                volume: Arc::clone(volume),
            });
        }
        Ok(Mounts(seen))
    }

    /// Everything that would keep a workload from getting its volumes, as far as it shows without making or opening any.
    pub(in super::super) async fn examine(&self, workload: &Workload) -> Vec<PluginError> {
        if let Err(error) = self.count(workload) {
            // A look at each of them is what the limit is to prevent.
            return vec![error];
        }
        let mut wrong = Vec::new();
        for (index, volume) in mounted(workload) {
            match &volume.source {
                VolumeSource::Ephemeral(limit) => {
                    let limit = self.limit(&volume.name, *limit).err();
                    wrong.extend(limit.map(|error| error.at(size_of(index))));
                }
                VolumeSource::HostPath(folder) => {
                    let (roots, wanted) = (self.options.roots.clone(), folder.clone());
                    let found = blocking(move || Ok(find(&roots, &wanted).map(drop))).await;
                    let found = found.unwrap_or_else(|error| Err(Problem::Io(error))).err();
                    let told = found.map(|problem| problem.explain(&volume.name, folder));
                    wrong.extend(told.map(|error| error.at(path_of(index))));
                }
            }
        }
        wrong
    }

    /// Whether a workload has no more volumes than it may.
    fn count(&self, workload: &Workload) -> Result<(), PluginError> {
        let (found, most) = (mounted(workload).count(), self.options.most_volumes);
        if found <= most {
            return Ok(());
        }
        let message = format!(
            "the components mount {found} volumes, and this host gives a workload at most {most}"
        );
        let hint =
            "mount one volume at several paths, or let the configuration of the host give more";
        Err(PluginError::new(message).hint(hint).at("spec.volumes"))
    }

    /// The limit of an ephemeral volume in bytes, or none.
    fn limit(&self, name: &str, wanted: Limit<Mebibytes>) -> Result<Option<u64>, PluginError> {
        let most = self.options.largest_ephemeral;
        let refused = |wanted: String, most| {
            let message = format!(
                "the volume `{name}` asks for {wanted}, and this host gives at most {most}"
            );
            let hint = "ask for less, or let the configuration of the host give more";
            PluginError::new(message).hint(hint)
        };
        match (wanted, most) {
            (Limit::Default, most) => {
                let size = self.options.ephemeral_size;
                Ok(Some(most.map_or(size, |most| most.min(size)).bytes()))
            }
            (Limit::Of(size), Some(most)) if size > most => Err(refused(size.to_string(), most)),
            (Limit::Of(size), _) => Ok(Some(size.bytes())),
            (Limit::Unlimited, Some(most)) => Err(refused("no limit".to_owned(), most)),
            (Limit::Unlimited, None) => Ok(None),
        }
    }

    async fn ephemeral(&self, limit: Option<u64>, common: Common) -> Result<Volume, PluginError> {
        let folders = Arc::clone(&self.folders);
        let made = blocking(move || {
            let folder = folders.make()?;
            let root = directory(File::open(folder.path())?);
            Ok(Volume::ephemeral(root, folder, limit, &common))
        });
        made.await.map_err(|error| {
            let base = self.folders.base().display();
            let message = format!("no ephemeral volume can be made in {base}: {error}");
            let hint = "the host needs a folder there that it may write, on a disk with room";
            PluginError::new(message).hint(hint)
        })
    }

    async fn host_path(
        &self,
        name: &str,
        wanted: &Path,
        common: &Common,
    ) -> Result<Volume, PluginError> {
        let (roots, path) = (self.options.roots.clone(), wanted.to_owned());
        let found = blocking(move || Ok(find(&roots, &path)));
        let opened = match found.await {
            Ok(Ok((root, below))) => open_below(directory(root), below).await,
            Ok(Err(problem)) => return Err(problem.explain(name, wanted)),
            Err(error) => Err(error),
        };
        let opened = opened.map_err(|error| Problem::Io(error).explain(name, wanted))?;
        Ok(Volume::of_host(opened, common))
    }
}

/// Every mount of a workload, with the component that has it.
fn mounts(workload: &Workload) -> impl Iterator<Item = (&ComponentName, &VolumeMount)> {
    workload.parts().flat_map(|component| {
        let mounts = &component.local_resources.volume_mounts;
        mounts.iter().map(|mount| (&component.name, mount))
    })
}

/// The volumes of a workload that somebody mounts, with their places in the manifest.
fn mounted(workload: &Workload) -> impl Iterator<Item = (usize, &VolumeSpec)> {
    let volumes = workload.volumes.iter().enumerate();
    volumes.filter(|(_, volume)| mounts(workload).any(|(_, mount)| mount.name == volume.name))
}

/// Where a manifest says how large the volume may be.
fn size_of(index: usize) -> String {
    format!("spec.volumes.{index}.ephemeral.sizeLimitMb")
}

/// Where a manifest names the folder.
fn path_of(index: usize) -> String {
    format!("spec.volumes.{index}.hostPath.path")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(error.into()))
}

/// Why a folder of the machine is not mounted.
enum Problem {
    NoRoots,
    Outside,
    LeadsOutside,
    Absent,
    NoFolder,
    Io(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::NotADirectory => Self::NoFolder,
            _ => Self::Io(error),
        }
    }
}

impl Problem {
    fn explain(self, name: &str, path: &Path) -> PluginError {
        let path = path.display();
        let (problem, hint) = match self {
            Self::NoRoots => (
                format!("`{path}` is a folder of the machine, and this host allows none"),
                "use `ephemeral: {}`, or allow a folder above it in the configuration of the host",
            ),
            Self::Outside => (
                format!("`{path}` is in none of the folders that this host allows"),
                "use a folder below one of them, or allow this one in the configuration of the host",
            ),
            Self::LeadsOutside => (
                format!(
                    "`{path}` is or follows a symbolic link to somewhere that this host does not allow"
                ),
                "name the folder that is meant by its own path; it must be below one that the host allows",
            ),
            Self::Absent => (
                format!("there is no folder `{path}`"),
                "make it before the workload starts, or correct the path",
            ),
            Self::NoFolder => (format!("`{path}` is not a folder"), "name a folder"),
            Self::Io(error) => (
                format!("`{path}` cannot be opened: {error}"),
                "the host needs the right to read and enter it",
            ),
        };
        PluginError::new(format!("the volume `{name}`: {problem}")).hint(hint)
    }
}

/// The root that a folder is below, opened, and the way from there. What is outside every root is refused without a look, so that
/// nobody learns from the answer what the machine has.
fn find(roots: &[PathBuf], wanted: &Path) -> Result<(File, PathBuf), Problem> {
    if roots.is_empty() {
        return Err(Problem::NoRoots);
    }
    let plain = wanted
        .components()
        .all(|step| step != std::path::Component::ParentDir);
    // A root that is not there yet allows nothing.
    let real: Vec<PathBuf> = roots
        .iter()
        .filter_map(|root| root.canonicalize().ok())
        .collect();
    let named = || roots.iter().chain(&real);
    if !plain || !named().any(|root| root.is_absolute() && wanted.starts_with(root)) {
        return Err(Problem::Outside);
    }
    let path = wanted.canonicalize()?;
    let inside = real
        .iter()
        .find_map(|root| Some((root, path.strip_prefix(root).ok()?)));
    let (root, below) = inside.ok_or(Problem::LeadsOutside)?;
    if !path.metadata()?.is_dir() {
        return Err(Problem::NoFolder);
    }
    Ok((File::open(root)?, below.to_owned()))
}
