//! A folder in which blobs are kept: those of each tenant in a folder of their own, what is being written apart from all of them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::{NamedTempFile, TempDir};

use super::home::Home;
use crate::capability::budget::Budget;
use crate::capability::shared::Shared;
use crate::capability::tenant::Tenant;

/// Where everything is that is not there yet, or not any more. No tenant's folder begins with a dot.
const UNDER_WAY: &str = ".under-way";
/// What was taken from its place is called this, in a folder of its own there.
pub(super) const GONE: &str = "it";

/// A folder of blobs.
#[derive(Debug)]
pub(in super::super) struct Folder {
    path: PathBuf,
    /// Those that somebody has open.
    homes: Shared<PathBuf, Home>,
}

impl Folder {
    /// Opens it, and makes it where it is not there. What hosts left that were killed is removed.
    pub(in super::super) fn open(path: PathBuf) -> io::Result<Self> {
        let folder = Self {
            path,
            homes: Shared::default(),
        };
        fs::create_dir_all(folder.under_way())?;
        folder.sweep()?;
        Ok(folder)
    }

    pub(in super::super) fn under_way(&self) -> PathBuf {
        self.path.join(UNDER_WAY)
    }

    /// The folder of a tenant: the same for everybody, so that it is counted once, in the budget of whoever pays for it.
    pub(super) fn home(&self, tenant: &Tenant, budget: &Arc<Budget>) -> io::Result<Arc<Home>> {
        let path = self.path.join(tenant.parts().iter().collect::<PathBuf>());
        fs::create_dir_all(&path)?;
        let open = || Home::open(path.clone(), budget).map(Arc::new);
        self.homes.try_get(&path, open)
    }

    /// A file to write to. It is locked for as long as somebody writes, and goes unless it is put in a place.
    pub(super) fn file(&self) -> io::Result<NamedTempFile> {
        let file = NamedTempFile::with_prefix_in("new-", self.under_way())?;
        file.as_file().try_lock().map_err(io::Error::from)?;
        Ok(file)
    }

    /// Takes a folder and everything in it from where it is, at once. It is removed when what is returned is dropped; until then it
    /// is at [`GONE`] in that.
    pub(super) fn take(&self, path: &Path) -> io::Result<TempDir> {
        // Renamed into a folder of its own, whose name nobody else has. A host that sweeps may take that away.
        loop {
            let made = tempfile::Builder::new()
                .prefix("gone-")
                .tempdir_in(self.under_way())?;
            match fs::rename(path, made.path().join(GONE)) {
                Ok(()) => {
                    sync_above(path)?;
                    // What cannot be removed then is swept when the folder is opened again.
                    return Ok(made);
                }
                Err(error) if made.path().exists() || !path.exists() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Removes what nobody is at work on any more. Other hosts may be at work in the same folder.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.under_way())? {
            let entry = entry?;
            let path = entry.path();
            let is_left = || match File::open(&path) {
                Ok(file) => file.try_lock().is_ok(),
                Err(_) => false,
            };
            // Somebody else may sweep at the same time; what remains, remains for the next one.
            if entry.file_type()?.is_dir() {
                let _ = fs::remove_dir_all(&path);
            } else if is_left() {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

/// Makes what was done to a folder's entry last.
pub(super) fn sync_above(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
