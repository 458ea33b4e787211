//! Remembers the worlds of components, so that a component is validated and looked through once and then known by its digest: by
//! this process while any workload has it, and by later ones through the cache folder.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::cache::{DiskCache, Found};
use super::inspect::{InspectError, Inspected, World, inspect};
use crate::artifact::Digest;

/// Worlds are kept apart by version, because what is read from a component may change with it. The number in front changes when it
/// does within a version.
pub(super) const FOLDER: &str = concat!("worlds-3-", env!("CARGO_PKG_VERSION"));

/// The worlds that are known.
pub(super) struct KnownWorlds {
    root: Option<PathBuf>,
    known: Mutex<HashMap<Digest, Weak<World>>>,
}

impl KnownWorlds {
    pub(super) fn new(root: Option<PathBuf>) -> Self {
        Self {
            root,
            known: Mutex::default(),
        }
    }

    /// Looks at bytes, or remembers what was seen in them. Core modules are adapted each time. `digest` is that of the bytes, if it is
    /// known.
    pub(super) fn inspect(
        &self,
        bytes: &[u8],
        digest: Option<Digest>,
    ) -> Result<Inspected, InspectError> {
        let digest = digest.unwrap_or_else(|| Digest::of(bytes));
        if let Some(world) = self.remembered(&digest) {
            let bytes = bytes.into();
            return Ok(Inspected {
                bytes,
                digest,
                world,
                adapted: false,
            });
        }
        let inspected = inspect(bytes)?;
        if !inspected.adapted {
            self.remember(&inspected);
        }
        Ok(inspected)
    }

    fn remembered(&self, digest: &Digest) -> Option<Arc<World>> {
        let known = |worlds: &HashMap<Digest, Weak<World>>| worlds.get(digest)?.upgrade();
        if let Some(world) = known(&self.known.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Some(world);
        }
        let Found::Artifact(kept) = self.disk()?.load(digest) else {
            return None;
        };
        let world = Arc::new(serde_json::from_slice(&kept).ok()?);
        self.keep(*digest, &world);
        Some(world)
    }

    fn remember(&self, inspected: &Inspected) {
        self.keep(inspected.digest, &inspected.world);
        let kept = self.disk().zip(serde_json::to_vec(&*inspected.world).ok());
        if let Some((disk, world)) = kept
            && let Err(error) = disk.store(&inspected.digest, &world)
        {
            tracing::debug!(%error, "the world of a component could not be kept in the cache");
        }
    }

    /// Worlds that no workload has any more are dropped on the way.
    fn keep(&self, digest: Digest, world: &Arc<World>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, world| world.strong_count() > 0);
        known.insert(digest, Arc::downgrade(world));
    }

    /// A folder that cannot be used is reported where artifacts are kept in it.
    fn disk(&self) -> Option<DiskCache> {
        DiskCache::open_folder(self.root.as_ref()?, FOLDER).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn guest() -> Vec<u8> {
        std::fs::read(test_guests::HTTP_P2).unwrap()
    }

    #[test]
    fn a_component_is_looked_at_once_while_somebody_has_it() {
        let worlds = KnownWorlds::new(None);
        let first = worlds.inspect(&guest(), None).unwrap();
        let second = worlds.inspect(&guest(), None).unwrap();
        assert!(Arc::ptr_eq(&first.world, &second.world));
        assert_eq!(first.digest, second.digest);
    }

    #[test]
    fn a_later_process_knows_the_world_from_the_cache_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = Some(dir.path().join("cache"));
        let seen = KnownWorlds::new(root.clone())
            .inspect(&guest(), None)
            .unwrap();
        let digest = Digest::of(&guest());
        let later = KnownWorlds::new(root).remembered(&digest).unwrap();
        assert_eq!(*later, *seen.world);
    }

    #[test]
    fn what_is_no_component_is_not_remembered() {
        let worlds = KnownWorlds::new(None);
        assert!(worlds.inspect(b"text", None).is_err());
        assert!(worlds.inspect(b"text", None).is_err());
        let adapted = std::fs::read(test_guests::P1_MODULE).unwrap();
        assert!(worlds.inspect(&adapted, None).unwrap().adapted);
        assert!(worlds.inspect(&adapted, None).unwrap().adapted);
    }
}
