//! The folders behind ephemeral volumes: private to this process, and gone when nobody needs them.
//!
//! Each host has one folder, locked while it lives, with one inside for each volume. What a host that was killed left behind is
//! found by its name, its owner and its free lock, and removed when the next one starts.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;

/// How the folder of a host is called, up to some random characters.
const NAME: &str = "wasmcloud-volumes-";
/// How it is called until it is locked.
const NAME_BEFORE: &str = "wasmcloud-new-volumes-";
/// For its owner only.
const PRIVATE: u32 = 0o700;

/// Makes folders for volumes, in a folder of this host that exists from the first one on.
pub(super) struct Folders {
    base: PathBuf,
    own: Mutex<Option<OwnFolder>>,
}

impl Folders {
    /// Folders that are made in `base`.
    pub(super) fn new(base: PathBuf) -> Self {
        Self {
            base,
            own: Mutex::new(None),
        }
    }

    /// Where the folder of this host is.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// An empty folder. Blocks.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make(&self) -> io::Result<Folder> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever cleans up temporary files may have taken it away.
        if own.as_ref().is_none_or(|own| !own.path.is_dir()) {
            *own = Some(OwnFolder::make(&self.base)?);
        }
        match &*own {
            Some(own) => Ok(Folder(private("volume-", &own.path)?)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Removes what hosts of the same user that are dead have left. Blocks.
    pub(super) fn sweep(&self) {
        if let Err(error) = sweep(&self.base) {
            tracing::debug!(folder = %self.base.display(), %error, "no look for volumes left behind");
        }
    }
}

/// A new folder that only this user sees into.
fn private(prefix: &str, base: &Path) -> io::Result<PathBuf> {
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(PRIVATE))
        .tempdir_in(base)?;
    Ok(folder.keep())
}

struct OwnFolder {
    path: PathBuf,
    _locked: File,
}

impl OwnFolder {
    fn make(base: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).create(base)?;
        let before = private(NAME_BEFORE, base)?;
        let locked = File::open(&before)?;
        locked.try_lock()?;
        // Under a name that is looked for only now, as nobody may find it unlocked.
        let rest = before.file_name().and_then(|name| name.to_str());
        let rest = rest.and_then(|name| name.strip_prefix(NAME_BEFORE));
        let path = base.join(format!("{NAME}{}", rest.unwrap_or_default()));
        fs::rename(&before, &path)?;
        Ok(Self {
            path,
            _locked: locked,
        })
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A folder that is removed when this is dropped, off the threads that serve.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removal = Removal(std::mem::take(&mut self.0));
        // A runtime that shuts down drops what it does not run any more, which removes as well.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(removal))),
            Err(_) => drop(removal),
        }
    }
}

struct Removal(PathBuf);

impl Drop for Removal {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = remove_tree(folder) {
        tracing::warn!(folder = %folder.display(), %error, "the folder of a volume cannot be removed");
    }
}

fn sweep(base: &Path) -> io::Result<()> {
    // Who a new file belongs to is who we are.
    let own = tempfile::tempfile_in(base)?.metadata()?.uid();
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(NAME));
        let metadata = match entry.metadata() {
            Ok(metadata) if named && metadata.is_dir() => metadata,
            _ => continue,
        };
        if metadata.uid() != own || metadata.mode() & 0o077 != 0 {
            continue;
        }
        let path = entry.path();
        // While the lock is held here, its owner is dead and nobody else removes it.
        if let Ok(folder) = File::open(&path)
            && folder.try_lock().is_ok()
        {
            tracing::info!(folder = %path.display(), "removing volumes of a host that is gone");
            remove(&path);
        }
    }
    Ok(())
}

/// Removes a folder whatever guests have made in it.
///
/// Folders inside folders are moved up first, so neither the stack nor the open files nor the length of paths grow with the depth
/// that a guest has chosen. What vanishes meanwhile is as good as removed.
fn remove_tree(folder: &Path) -> io::Result<()> {
    let moved = format!("{:016x}", fastrand::u64(..));
    let mut count = 0_u64;
    loop {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut any = false;
        for entry in entries {
            let entry = entry?;
            any = true;
            if !is_folder(&entry)? {
                gone(fs::remove_file(entry.path()))?;
                continue;
            }
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                if is_folder(&inner)? {
                    count += 1;
                    gone(fs::rename(
                        inner.path(),
                        folder.join(format!("{moved}-{count}")),
                    ))?;
                } else {
                    gone(fs::remove_file(inner.path()))?;
                }
            }
            match fs::remove_dir(entry.path()) {
                // What reading passed over while things moved is seen in the next round.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => gone(removed)?,
            }
        }
        if !any {
            return gone(fs::remove_dir(folder));
        }
    }
}

fn is_folder(entry: &fs::DirEntry) -> io::Result<bool> {
    match entry.file_type() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        kind => Ok(kind?.is_dir()),
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a failed unwrap is a failed test"
    )]
    use super::*;

    fn names(base: &Path) -> Vec<String> {
        let entries = fs::read_dir(base).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_volume_is_private_and_goes_with_its_last_user() {
        let base = tempfile::tempdir().unwrap();
        let folders = Folders::new(base.path().join("made"));
        let folder = folders.make().unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, PRIVATE);
        let own = folder.path().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, PRIVATE);
        fs::write(folder.path().join("file"), "x").unwrap();
        let second = folders.make().unwrap();
        drop(folder);
        assert_eq!(
            names(&own),
            [second.path().file_name().unwrap().to_str().unwrap()]
        );
        drop(folders);
        assert!(!own.exists());
    }

    #[test]
    fn a_folder_that_was_taken_away_is_made_again() {
        let base = tempfile::tempdir().unwrap();
        let folders = Folders::new(base.path().to_owned());
        let lost = folders.make().unwrap();
        fs::remove_dir_all(lost.path().parent().unwrap()).unwrap();
        assert!(folders.make().unwrap().path().is_dir());
    }

    #[test]
    fn what_dead_hosts_left_is_removed_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let living = Folders::new(base.path().to_owned());
        let volume = living.make().unwrap();
        let dead = private(NAME, base.path()).unwrap();
        fs::create_dir_all(dead.join("volume-1/sub")).unwrap();
        fs::write(dead.join("volume-1/sub/file"), "x").unwrap();
        let public = private(NAME, base.path()).unwrap();
        fs::set_permissions(&public, Permissions::from_mode(0o755)).unwrap();
        let unrelated = private("wasmcloud-other-", base.path()).unwrap();
        let outside = tempfile::tempdir().unwrap();
        let link = base.path().join(format!("{NAME}link"));
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();

        Folders::new(base.path().to_owned()).sweep();
        assert!(!dead.exists());
        assert!(volume.path().exists() && public.exists() && unrelated.exists());
        assert!(link.exists() && outside.path().join("kept").exists());
    }

    #[test]
    fn a_tree_of_any_depth_is_removed_and_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let kept = base.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let tree = base.path().join("tree");
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("link")).unwrap();
        // Deeper than a path can be: each level is made in a folder that is moved into the next.
        fs::create_dir(tree.join("level")).unwrap();
        for level in 0..3_000 {
            let next = base.path().join("next");
            fs::create_dir(&next).unwrap();
            fs::write(next.join("file"), level.to_string()).unwrap();
            fs::rename(tree.join("level"), next.join("level")).unwrap();
            fs::rename(&next, tree.join("level")).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(kept.join("file").exists());
        remove_tree(&tree).unwrap();
    }
}
