//! What was worked out from components and is kept on disk: compiled artifacts, and worlds.
//!
//! An artifact is machine code that this process will run, so a file is used only if it lies in a folder that nobody else may
//! write to, carries the digest of its key and its content, and was made by this very engine. Anything else is compiled again.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::config::Flavour;
use crate::artifact::Digest;

/// Begins every file, so that a later layout can be told from this one.
const MAGIC: &[u8; 8] = b"wcart\x00\x00\x02";
/// Begins the names of files that are being written.
const NEW: &str = ".new-";
const HEADER: usize = MAGIC.len() + 32;

/// A folder of compiled artifacts of one engine.
#[derive(Clone, Debug)]
pub(super) struct DiskCache {
    folder: PathBuf,
}

/// What was found for a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An intact artifact.
    Artifact(Vec<u8>),
    /// Nothing.
    Nothing,
    /// A file that must not be used.
    Damaged(&'static str),
}

impl DiskCache {
    /// Opens the folder for an engine below `root`, making both if need be, for this user only.
    pub(super) fn open(
        root: &Path,
        engine: &wasmtime::Engine,
        flavour: Flavour,
    ) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let folder = format!("{}-{:016x}", flavour.as_str(), hasher.finish());
        Self::open_folder(root, &folder)
    }

    /// Opens the folder of a name below `root`, making both if need be, for this user only.
    pub(super) fn open_folder(root: &Path, name: &str) -> io::Result<Self> {
        let folder = root.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        for part in [root, &folder] {
            check_private(part)?;
        }
        Ok(Self { folder })
    }

    pub(super) fn load(&self, key: &Digest) -> Found {
        let bytes = match fs::read(self.path(key)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(_) => return Found::Damaged("it cannot be read"),
        };
        match bytes.split_at_checked(HEADER) {
            Some((header, body)) if header.starts_with(MAGIC) => {
                if header.ends_with(&seal(key, body)) {
                    Found::Artifact(body.to_vec())
                } else {
                    Found::Damaged("its content is not what was written under this name")
                }
            }
            _ => Found::Damaged("it is no artifact of this version"),
        }
    }

    /// Writes an artifact so that readers see all of it or nothing.
    pub(super) fn store(&self, key: &Digest, artifact: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(NEW)
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.folder)?;
        // Held while it is written: what nobody holds is a leftover.
        let _ = file.as_file().try_lock();
        file.write_all(MAGIC)?;
        file.write_all(&seal(key, artifact))?;
        file.write_all(artifact)?;
        file.as_file().sync_data()?;
        file.persist(self.path(key)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, key: &Digest) -> PathBuf {
        let name: String = key
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.folder.join(format!("{name}.cwasm"))
    }
}

/// Removes what processes that were killed left half written in the folders below `root`. Returns how many files that were.
pub fn remove_leftovers(root: &Path) -> usize {
    let files = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let folders =
        files(root.to_owned()).filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
    let leftovers = folders
        .flat_map(|folder| files(folder.path()))
        .filter(|entry| {
            let is_new = entry.file_name().to_string_lossy().starts_with(NEW);
            is_new && fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        });
    leftovers
        .filter(|entry| fs::remove_file(entry.path()).is_ok())
        .count()
}

/// Binds the content to the key, so that a file under another file's name is noticed as well.
fn seal(key: &Digest, artifact: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(key.as_bytes());
    hasher.update(artifact);
    hasher.finalize().into()
}

/// Refuses a folder in which somebody else could put code for this process to run.
fn check_private(folder: &Path) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    let owner = fs::metadata("/proc/self")
        .map(|me| me.uid())
        .unwrap_or_else(|_| metadata.uid());
    let refuse = |reason: &str| {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{}: {reason}", folder.display()),
        ))
    };
    if metadata.uid() != owner {
        return refuse("the cache folder belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others may write to the cache folder; `chmod 700` it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::engine::config::{Allocation, config};

    fn cache(root: &Path) -> io::Result<DiskCache> {
        let engine = wasmtime::Engine::new(&config(
            Flavour::Plain,
            Allocation::OnDemand { instances: 64 },
        ))
        .unwrap();
        DiskCache::open(root, &engine, Flavour::Plain)
    }

    #[test]
    fn what_is_stored_is_found_and_only_its_owner_can_reach_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cache");
        let cache = cache(&root).unwrap();
        let key = Digest::of(b"key");
        assert_eq!(cache.load(&key), Found::Nothing);
        cache.store(&key, b"code").unwrap();
        assert_eq!(cache.load(&key), Found::Artifact(b"code".to_vec()));
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
        assert_eq!(
            fs::metadata(cache.path(&key)).unwrap().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn any_damaged_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(&dir.path().join("cache")).unwrap();
        let key = Digest::of(b"key");
        cache.store(&key, b"code").unwrap();
        let path = cache.path(&key);
        let intact = fs::read(&path).unwrap();
        for index in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[index] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(
                matches!(cache.load(&key), Found::Damaged(_)),
                "byte {index}"
            );
            fs::write(&path, &intact[..index]).unwrap();
            assert!(
                matches!(cache.load(&key), Found::Damaged(_)),
                "cut at {index}"
            );
        }
    }

    #[test]
    fn a_file_under_the_name_of_another_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(&dir.path().join("cache")).unwrap();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        cache.store(&one, b"code").unwrap();
        fs::rename(cache.path(&one), cache.path(&other)).unwrap();
        assert!(matches!(cache.load(&other), Found::Damaged(_)));
    }

    #[test]
    fn half_written_files_of_processes_that_are_gone_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cache");
        let cache = cache(&root).unwrap();
        cache.store(&Digest::of(b"key"), b"code").unwrap();
        fs::write(cache.folder.join(".new-left"), "half").unwrap();
        let live = fs::File::create(cache.folder.join(".new-live")).unwrap();
        live.lock().unwrap();
        assert_eq!(remove_leftovers(&root), 1);
        drop(live);
        assert_eq!(remove_leftovers(&root), 1);
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1);
        assert_eq!(remove_leftovers(&dir.path().join("none")), 0);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cache");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        let error = cache(&root).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
}
