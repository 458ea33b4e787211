//! From a planned entry or callee to something that can be instantiated: fused, compiled or found in the cache, and linked. Done once for
//! the same components, however many workloads share them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre};

use super::cache::{DiskCache, Found};
use super::config::{EngineOptions, Flavour};
use super::engines::{Engines, Running};
use super::fuse::{FuseError, fuse, root};
use super::inspect::{InspectError, Inspected};
use super::isolated::{Functions, IsolationError};
use super::link::{LinkError, Linked, link};
use super::plan::{Member, Offers};
use super::worlds::KnownWorlds;
use crate::artifact::Digest;
use crate::instance::Capacity;
use crate::plugin::{Plugins, StoreData};
use crate::workload::ComponentName;

/// Components that were looked at, by name.
pub type Components = BTreeMap<ComponentName, Inspected>;

/// Changes when the same members would be fused or compiled in another way.
const LAYOUT: &[u8] = b"wasmcloud artifact 2";

/// Compiles and links for one set of plugins.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    plugins: Plugins,
    offers: Offers,
    options: EngineOptions,
    engines: Engines,
    compilations: Arc<Semaphore>,
    worlds: KnownWorlds,
    artifacts: Mutex<HashMap<Digest, Slot>>,
}

/// Whoever holds the lock prepares the artifact; others wait for it and find it.
type Slot = Arc<tokio::sync::Mutex<Weak<Artifact>>>;

/// Something that can be instantiated.
pub struct Artifact {
    /// What instances are made from.
    pub pre: InstancePre<StoreData>,
    /// The functions of its isolated imports, by slot.
    pub(super) isolated: Vec<Functions>,
    /// The engine it runs on.
    pub flavour: Flavour,
    /// The room that the engine has for instances.
    pub capacity: Arc<Capacity>,
    /// Whether it was taken from the cache on disk rather than compiled.
    pub from_disk: bool,
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact")
            .field("flavour", &self.flavour)
            .field("from_disk", &self.from_disk)
            .finish_non_exhaustive()
    }
}

/// Why an entry or callee could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Members do not fit each other.
    #[error(transparent)]
    Fuse(#[from] FuseError),
    /// The compiler refused.
    #[error("`{root}` does not compile: {reason}")]
    Compile {
        /// The component at position 0.
        root: String,
        /// What the compiler says.
        reason: String,
    },
    /// The host does not fit the component.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The two ends of an isolated link do not fit each other.
    #[error(transparent)]
    Isolated(#[from] IsolationError),
    /// This machine cannot run an engine.
    #[error("this machine cannot run WebAssembly: {0}")]
    NoEngine(String),
    /// The compiler crashed.
    #[error("compiling `{0}` crashed; this is a bug worth reporting")]
    Crashed(String),
}

impl Engine {
    /// An engine that links with the given plugins.
    #[must_use]
    pub fn new(options: EngineOptions, plugins: Plugins) -> Self {
        let offers = Offers::of(&plugins);
        Self::with_offers(options, plugins, offers)
    }

    fn with_offers(options: EngineOptions, plugins: Plugins, offers: Offers) -> Self {
        let compilations = Arc::new(Semaphore::new(options.compilations.max(1)));
        let worlds = KnownWorlds::new(options.cache_dir.clone());
        let engines = Engines::new(options.allocation);
        Self(Arc::new(Inner {
            plugins,
            offers,
            options,
            engines,
            compilations,
            worlds,
            artifacts: Mutex::default(),
        }))
    }

    /// Like [`Engine::new`], for workloads that nobody calls from outside but whoever has the host in hand: they need no entry.
    #[must_use]
    pub fn closed(options: EngineOptions, plugins: Plugins) -> Self {
        let offers = Offers {
            closed: true,
            ..Offers::of(&plugins)
        };
        Self::with_offers(options, plugins, offers)
    }

    /// What its plugins offer.
    #[must_use]
    pub fn offers(&self) -> &Offers {
        &self.0.offers
    }

    /// Its plugins.
    #[must_use]
    pub fn plugins(&self) -> &Plugins {
        &self.0.plugins
    }

    /// Looks at the bytes of a component; see [`inspect`](super::inspect()). A component that is known is not validated again. This takes
    /// milliseconds: not for serving threads.
    ///
    /// # Errors
    /// When the bytes are not a component and cannot be made into one.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Inspected, InspectError> {
        self.0.worlds.inspect(bytes, None)
    }

    /// The same for bytes whose digest may be known.
    pub(crate) fn inspect_known(
        &self,
        bytes: &[u8],
        digest: Option<Digest>,
    ) -> Result<Inspected, InspectError> {
        self.0.worlds.inspect(bytes, digest)
    }

    /// Prepares an entry or callee; `components` must hold its members. What has the same members, linked alike, shares one
    /// artifact for as long as any of it is held.
    ///
    /// # Errors
    /// When the members do not fit each other or the host, or do not compile.
    pub async fn prepare(
        &self,
        flavour: Flavour,
        members: &[Member],
        components: &Components,
    ) -> Result<Arc<Artifact>, PrepareError> {
        let unit = Unit::new(flavour, members, components)?;
        let slot = self.slot(unit.key);
        let mut artifact = slot.lock().await;
        if let Some(artifact) = artifact.upgrade() {
            return Ok(artifact);
        }
        let prepared = self.work(unit, |engine, unit| engine.build(unit)).await?;
        let prepared = Arc::new(prepared);
        *artifact = Arc::downgrade(&prepared);
        Ok(prepared)
    }

    /// Compiles what [`Engine::prepare`] would, into the cache on disk, and links nothing: whoever answers need not be there yet.
    /// Returns which artifact it is, and whether it was in the cache already.
    ///
    /// # Errors
    /// When the members do not fit each other, or do not compile.
    pub async fn compile(
        &self,
        flavour: Flavour,
        members: &[Member],
        components: &Components,
    ) -> Result<(Digest, bool), PrepareError> {
        let unit = Unit::new(flavour, members, components)?;
        self.work(unit, |engine, unit| {
            let running = engine.0.engines.get(unit.flavour);
            let Running { engine: of, .. } = running.map_err(PrepareError::NoEngine)?;
            Ok((unit.key, engine.compiled(of, unit)?.from_disk))
        })
        .await
    }

    /// Does something about a unit where it holds nobody up, at a time when not too many others are at work.
    async fn work<T: Send + 'static>(
        &self,
        unit: Unit,
        work: impl FnOnce(&Self, &Unit) -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, PrepareError> {
        let permit = Arc::clone(&self.0.compilations).acquire_owned().await;
        let (engine, root) = (self.clone(), root(&unit.members));
        // The permit goes along: a caller who leaves does not end the work, and so must not make room for more.
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&engine, &unit)
        });
        done.await.map_err(|_| PrepareError::Crashed(root))?
    }

    /// The slot for a key. Slots whose artifact is gone are dropped on the way.
    fn slot(&self, key: Digest) -> Slot {
        let mut artifacts = self
            .0
            .artifacts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        artifacts.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot
                    .try_lock()
                    .is_ok_and(|artifact| artifact.strong_count() > 0)
        });
        Arc::clone(artifacts.entry(key).or_default())
    }

    fn build(&self, unit: &Unit) -> Result<Artifact, PrepareError> {
        let running = self.0.engines.get(unit.flavour);
        let Running { engine, capacity } = running.map_err(PrepareError::NoEngine)?;
        let Compiled {
            component,
            from_disk,
        } = self.compiled(engine, unit)?;
        let Linked { pre, isolated } =
            link(&component, &self.0.plugins, &self.0.offers, &unit.members)?;
        Ok(Artifact {
            pre,
            isolated,
            flavour: unit.flavour,
            capacity: Arc::clone(capacity),
            from_disk,
        })
    }

    /// Takes what was compiled from the cache on disk, or compiles it.
    fn compiled(&self, engine: &wasmtime::Engine, unit: &Unit) -> Result<Compiled, PrepareError> {
        let cache = self.disk_cache(engine, unit.flavour);
        let cached = cache
            .as_ref()
            .and_then(|cache| load(cache, &unit.key, engine));
        let from_disk = cached.is_some();
        let component = match cached {
            Some(component) => component,
            None => compile(engine, cache.as_ref(), unit)?,
        };
        Ok(Compiled {
            component,
            from_disk,
        })
    }

    /// A cache that cannot be used costs time, not function: that is logged, and the host goes on without.
    fn disk_cache(&self, engine: &wasmtime::Engine, flavour: Flavour) -> Option<DiskCache> {
        let root = self.0.options.cache_dir.as_ref()?;
        DiskCache::open(root, engine, flavour)
            .inspect_err(|error| {
                tracing::warn!(folder = %root.display(), %error, "compiled components are not kept: the cache folder cannot be used");
            })
            .ok()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

/// What becomes one artifact.
struct Unit {
    key: Digest,
    flavour: Flavour,
    members: Vec<Member>,
    /// The members' bytes, by position.
    inspected: Vec<Inspected>,
}

/// What a unit was compiled to.
struct Compiled {
    component: Component,
    /// Whether it was in the cache.
    from_disk: bool,
}

impl Unit {
    fn new(
        flavour: Flavour,
        members: &[Member],
        components: &Components,
    ) -> Result<Self, PrepareError> {
        let inspected = members.iter().map(|member| {
            let inspected = components.get(&member.component).cloned();
            inspected.ok_or_else(|| PrepareError::Compile {
                root: member.component.to_string(),
                reason: "it was not inspected".to_owned(),
            })
        });
        let inspected: Vec<Inspected> = inspected.collect::<Result<_, _>>()?;
        Ok(Self {
            key: key(flavour, members, &inspected),
            flavour,
            members: members.to_vec(),
            inspected,
        })
    }
}

/// What an artifact depends on: its members' bytes and how they are linked, by position; never a name that a workload chose, and
/// not who answers over isolated links: a store knows that.
fn key(flavour: Flavour, members: &[Member], inspected: &[Inspected]) -> Digest {
    let mut hasher = Sha256::new();
    let mut add = |part: &[u8]| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(LAYOUT);
    add(flavour.as_str().as_bytes());
    for (member, component) in members.iter().zip(inspected) {
        add(component.digest.as_bytes());
        for link in &member.fused {
            add(link.import.as_bytes());
            add(&(link.to as u64).to_le_bytes());
            add(link.export.as_bytes());
        }
        add(b"isolated");
        let isolated = member.isolated.iter();
        isolated.for_each(|link| add(link.import.as_bytes()));
        add(b"apart");
        let apart = member.apart.iter();
        apart.for_each(|import| add(import.as_bytes()));
    }
    Digest::from_bytes(hasher.finalize().into())
}

fn load(cache: &DiskCache, key: &Digest, engine: &wasmtime::Engine) -> Option<Component> {
    let artifact = match cache.load(key) {
        Found::Artifact(artifact) => artifact,
        Found::Nothing => return None,
        Found::Damaged(reason) => {
            tracing::warn!(artifact = %key, reason, "a compiled component in the cache is damaged; compiling it again");
            return None;
        }
    };
    #[expect(
        unsafe_code,
        reason = "runs code from disk: the cache vouches that this engine of this user wrote it and that it is intact"
    )]
    // SAFETY: the bytes come from `Component::serialize` of a compatible engine: the folder is private to this user, the digest in
    // the file matches its content, and Wasmtime checks the version and settings that it recorded in it.
    let component = unsafe { Component::deserialize(engine, &artifact) };
    component
        .inspect_err(|error| {
            tracing::warn!(artifact = %key, error = format!("{error:#}"), "a compiled component in the cache does not fit this engine; compiling it again");
        })
        .ok()
}

fn compile(
    engine: &wasmtime::Engine,
    cache: Option<&DiskCache>,
    unit: &Unit,
) -> Result<Component, PrepareError> {
    let begun = Instant::now();
    let bytes = fuse(&unit.members, &unit.inspected)?;
    let component = Component::new(engine, &bytes[..]).map_err(|error| PrepareError::Compile {
        root: root(&unit.members),
        reason: format!("{error:#}"),
    })?;
    if let Some(cache) = cache {
        let stored = component
            .serialize()
            .map_err(std::io::Error::other)
            .and_then(|artifact| cache.store(&unit.key, &artifact));
        if let Err(error) = stored {
            tracing::warn!(%error, "a compiled component could not be kept in the cache");
        }
    }
    let millis = begun.elapsed().as_millis();
    tracing::debug!(component = %root(&unit.members), millis, "compiled");
    Ok(component)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
