//! What every command of `wash wit` begins with: the project's WIT, what is vendored, and what the files of `wkg` say.

use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;
use wasm_pkg_common::package::Version;

use super::args::NetworkArgs;
use super::cache::Cache;
use super::folder::{Own, Vendored};
use super::lock::{LOCK, Lock, Pin};
use super::manifest::{MANIFEST, Manifest};
use super::name::Named;
use super::registries::source;
use super::remote::Remote;
use super::settings::{Settings, Source};
use crate::failure::Failure;
use crate::project::Project;

/// A project, seen by `wash wit`.
#[derive(Debug)]
pub(super) struct Session {
    dir: PathBuf,
    pub(super) settings: Settings,
    pub(super) manifest: Manifest,
    pub(super) own: Own,
    pub(super) vendored: Vendored,
    pub(super) lock: Lock,
    pub(super) network: NetworkArgs,
    cache: Cache,
    remote: OnceCell<Remote>,
}

impl Session {
    /// Reads everything; asks nobody.
    pub(super) fn open(project: &Project, network: NetworkArgs) -> Result<Self, Failure> {
        let settings = project.config.wit.clone();
        let own = Own::read(project.path(&settings.wit_dir))?;
        let manifest = Manifest::read(&project.path(MANIFEST))?;
        let twice = settings.sources.keys().find(|it| {
            manifest.paths.contains_key(&it.package) || manifest.versions.contains_key(&it.package)
        });
        if let Some(named) = twice {
            let message = format!(
                "both `overrides` in {MANIFEST} and `wit.sources` in .wash/config.yaml say where {} comes from",
                named.package
            );
            return Err(Failure::new(message).hint("remove one of them"));
        }
        Ok(Self {
            dir: project.dir.clone(),
            vendored: Vendored::read(&own.deps())?,
            lock: Lock::read(project.path(LOCK))?,
            settings,
            manifest,
            own,
            network,
            cache: Cache::of_user(),
            remote: OnceCell::new(),
        })
    }

    /// Puts another text into a file of the project, for this session only.
    pub(super) fn change(&mut self, file: &Path, text: String) -> Result<(), Failure> {
        let mut texts = self.own.texts.clone();
        texts.insert(file.to_owned(), text);
        self.own = Own::of(self.own.path.clone(), texts)?;
        Ok(())
    }

    /// The file or folder that a package comes from, if it comes from one.
    pub(super) fn local(&self, named: &Named) -> Option<PathBuf> {
        let path = match source(&self.settings, named) {
            Some(Source::Path(path)) => path,
            Some(Source::Registry(_)) => return None,
            None => self.manifest.paths.get(&named.package)?,
        };
        let dot = self.dir == Path::new(".");
        Some(if dot {
            path.clone()
        } else {
            self.dir.join(path)
        })
    }

    /// Who asks registries; an error if that is not allowed.
    pub(super) async fn remote(&self, named: &Named) -> Result<&Remote, Failure> {
        if self.network.offline {
            let message = format!("{named} is not on this machine, and --offline asks no registry");
            let hint = "run `wash wit fetch` once without it; what it puts into `wit/deps` stays";
            return Err(Failure::new(message).hint(hint));
        }
        let remote = self
            .remote
            .get_or_try_init(|| Remote::new(&self.settings, &self.dir));
        remote.await
    }

    /// What the lock file says about a package, or else what its registry says now.
    pub(super) async fn pin(&self, named: &Named) -> Result<Pin, Failure> {
        if let Some(pin) = self.lock.pin(named) {
            return Ok(pin.clone());
        }
        let Some(version) = &named.version else {
            return Err(self.without_version(named).await);
        };
        if self.network.locked {
            let message =
                format!("{LOCK} says nothing about {named}, and --locked keeps it as it is");
            return Err(Failure::new(message).hint("run `wash wit fetch` without --locked"));
        }
        self.allowed(named, version)?;
        let remote = self.remote(named).await?;
        let place = remote.place(named)?;
        let Some(digest) = remote.digest(named, version).await? else {
            let versions = remote.versions(named).await?;
            let message = format!("{} has no version {version} in {place}", named.package);
            return Err(Failure::new(message).hint(there_are(&versions)));
        };
        Ok(Pin::new(named, version.clone(), place, digest))
    }

    /// The content of a package, from an earlier download or else from its registry.
    pub(super) async fn content(&self, named: &Named, pin: &Pin) -> Result<Vec<u8>, Failure> {
        if let Some(bytes) = self.cache.get(pin.digest) {
            return Ok(bytes);
        }
        let remote = self.remote(named).await?;
        let bytes = remote.content(named, &pin.version, pin.digest).await?;
        self.cache.put(pin.digest, &bytes);
        Ok(bytes)
    }

    /// `wkg.toml` may forbid versions.
    pub(super) fn allowed(&self, named: &Named, version: &Version) -> Result<(), Failure> {
        let Some(wanted) = self.manifest.versions.get(&named.package) else {
            return Ok(());
        };
        if wanted.matches(version) {
            return Ok(());
        }
        let message = format!(
            "the WIT names {named}, and `overrides` in {MANIFEST} allow only {wanted} of {}",
            named.package
        );
        Err(Failure::new(message).hint(format!(
            "`wash wit update {}`, or change {MANIFEST}",
            named.package
        )))
    }

    /// Packages of registries have versions, and WIT finds a package only by its whole name.
    async fn without_version(&self, named: &Named) -> Failure {
        let message =
            format!("the WIT names {named} without a version, and packages of registries have one");
        let newest = match self.remote(named).await {
            Ok(remote) => remote.versions(named).await.ok(),
            Err(_) => None,
        };
        let newest = newest.and_then(|mut it| it.pop());
        let hint = match newest {
            Some(version) => format!(
                "write the version behind it, such as {}/…@{version}",
                named.package
            ),
            None => format!("write the version behind it, or put {named} into `wit/deps` by hand"),
        };
        Failure::new(message).hint(hint)
    }
}

/// The versions of a package, for a hint.
pub(super) fn there_are(versions: &[Version]) -> String {
    let newest: Vec<String> = versions
        .iter()
        .rev()
        .take(10)
        .map(ToString::to_string)
        .collect();
    match newest.as_slice() {
        [] => "it has no version at all".to_owned(),
        all if versions.len() > all.len() => format!("the newest are {}", all.join(", ")),
        all => format!("there are {}", all.join(", ")),
    }
}
