//! What was worked out from components and is kept on disk: compiled artifacts, and worlds.
//!
//! An artifact is machine code that this process will run, so a file is used only if it lies in a folder that nobody else may
//! write to, carries the digest of its key and its content, and was made by this very engine. Anything else is compiled again.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::config::Flavour;
use crate::artifact::Digest;

/// Begins the files of every layout.
const TITLE: &[u8] = b"wcart";
/// Begins every file, so that a later layout can be told from this one.
const MAGIC: &[u8; 8] = b"wcart\x00\x00\x02";
/// Begins the names of files that are being written.
pub(super) const NEW: &str = ".new-";
/// Ends the names of files that are written.
const ENDING: &str = ".cwasm";
const HEADER: usize = MAGIC.len() + 32;
/// How old the mark of the last use may be before it is renewed. Whoever prunes goes by days: a write at each read would tell
/// them no more.
const MARK_LASTS: Duration = Duration::from_secs(60 * 60);

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
        Self::open_folder(root, &folder_name(engine, flavour))
    }

    /// Opens the folder of a name below `root`, making both if need be, for this user only.
    pub(super) fn open_folder(root: &Path, name: &str) -> io::Result<Self> {
        let folder = root.join(name);
        make(&folder)?;
        for part in [root, &folder] {
            check_private(part)?;
        }
        Ok(Self { folder })
    }

    pub(super) fn load(&self, key: &Digest) -> Found {
        let (file, bytes) = match read(&self.path(key)) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(_) => return Found::Damaged("it cannot be read"),
        };
        match content(key, &bytes) {
            Ok(body) => {
                mark_used(&file);
                Found::Artifact(body.to_vec())
            }
            Err(problem) => Found::Damaged(problem),
        }
    }

    /// Writes an artifact so that readers see all of it or nothing.
    pub(super) fn store(&self, key: &Digest, artifact: &[u8]) -> io::Result<()> {
        // While it was compiled, the folder may have been pruned.
        make(&self.folder)?;
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

    pub(super) fn path(&self, key: &Digest) -> PathBuf {
        self.folder.join(format!("{}{ENDING}", key.hex()))
    }
}

/// The name of the folder for what an engine compiles: other versions, settings and kinds of processors have others.
pub(super) fn folder_name(engine: &wasmtime::Engine, flavour: Flavour) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}", flavour.as_str(), hasher.finish())
}

/// The key that a file of this name is kept under, if it is one of ours.
pub(super) fn key_of(name: &str) -> Option<Digest> {
    let hex = name.strip_suffix(ENDING)?;
    format!("sha256:{hex}").parse().ok()
}

/// What is kept in a file under this key, or what is wrong with the file.
pub(super) fn content<'a>(key: &Digest, file: &'a [u8]) -> Result<&'a [u8], &'static str> {
    match file.split_at_checked(HEADER) {
        Some((header, body)) if header.starts_with(MAGIC) => {
            if header.ends_with(&seal(key, body)) {
                Ok(body)
            } else {
                Err("its content is not what was written under this name")
            }
        }
        _ => Err("it is no artifact of this version"),
    }
}

/// Whether a file looks as if another version had laid it out in another way.
pub(super) fn is_of_another_layout(file: &[u8]) -> bool {
    file.starts_with(TITLE) && !file.starts_with(MAGIC)
}

fn read(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

/// Tells whoever prunes that it is of use. Where nothing can be written nothing is pruned, and nothing need be told.
fn mark_used(file: &File) {
    let now = SystemTime::now();
    let marked = file.metadata().and_then(|metadata| metadata.modified());
    let is_old = |marked| now.duration_since(marked).is_ok_and(|age| age > MARK_LASTS);
    if marked.is_ok_and(is_old) {
        let _ = file.set_modified(now);
    }
}

/// Makes a folder and those around it, for this user only.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

/// Binds the content to the key, so that a file under another file's name is noticed as well.
fn seal(key: &Digest, artifact: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(key.as_bytes());
    hasher.update(artifact);
    hasher.finalize().into()
}

/// Refuses a folder in which somebody else could put code for this process to run.
pub(super) fn check_private(folder: &Path) -> io::Result<()> {
    let metadata = fs::metadata(folder).map_err(|error| about(folder, &error))?;
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

/// An error that says where it happened.
pub(super) fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::engine::testing::{age, make_old, plain_cache as cache};

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
    fn a_use_is_marked_when_the_last_mark_is_an_hour_old() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(&dir.path().join("cache")).unwrap();
        let key = Digest::of(b"key");
        cache.store(&key, b"code").unwrap();
        let path = cache.path(&key);
        let half = MARK_LASTS / 2;
        make_old(&path, half);
        assert_eq!(cache.load(&key), Found::Artifact(b"code".to_vec()));
        assert!(age(&path) >= half);
        make_old(&path, 2 * MARK_LASTS);
        assert_eq!(cache.load(&key), Found::Artifact(b"code".to_vec()));
        assert!(age(&path) < half);
    }

    #[test]
    fn a_folder_that_went_meanwhile_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(&dir.path().join("cache")).unwrap();
        fs::remove_dir(&cache.folder).unwrap();
        let key = Digest::of(b"key");
        cache.store(&key, b"code").unwrap();
        assert_eq!(cache.load(&key), Found::Artifact(b"code".to_vec()));
        assert_eq!(fs::metadata(&cache.folder).unwrap().mode() & 0o777, 0o700);
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
