//! The folder of the cache: what lies where in it, that nobody else may change it, and how its files are changed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::error::StoreErrorKind;
use super::lock::{self, Lockable};
use crate::workload::{Digest, Reference};

/// The version of the layout below, raised when an older version would misread what a later one writes.
const VERSION: u32 = 1;
/// The file that says which layout it is.
const LAYOUT: &str = "layout";
/// What it begins with.
const TITLE: &str = "wasmcloud-images ";
/// Blobs, each under the digits of its digest.
const BLOBS: &str = "blobs/sha256";
/// Where each blob was downloaded from, under the same name.
const SOURCES: &str = "sources";
/// What is known of each reference, under the digest of its text.
const REFERENCES: &str = "references";
/// What is being written.
const PARTIAL: &str = "partial";
/// Locked while an entry of a folder is changed.
const LOCK: &str = "lock";
/// Makes fingerprints of credentials worthless elsewhere.
const SALT: &str = "salt";
/// Begins the names of files that are being written.
const NEW: &str = ".new-";
/// What a file system puts into its root by itself.
const LOST: &str = "lost+found";

/// A folder of images.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Who of this process changes it: so they do not race for the lock.
    turn: Mutex<()>,
}

/// Held while entries of the folder are changed: nobody else changes any then, in no process.
#[derive(Debug)]
pub(super) struct Change<'a> {
    _file: Lockable,
    _turn: MutexGuard<'a, ()>,
}

impl Folder {
    /// Opens it, and makes it where it is not there. One that cannot be written to is as good as what is in it.
    pub(super) fn open(root: &Path) -> Result<Self, StoreErrorKind> {
        let root = std::path::absolute(root)?;
        make(&root)?;
        let folder = Self {
            root,
            turn: Mutex::default(),
        };
        match folder.lay_out() {
            Err(StoreErrorKind::ReadOnly(_) | StoreErrorKind::Denied(_)) => {}
            laid_out => laid_out?,
        }
        Ok(folder)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join(BLOBS)
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(super) fn sources(&self) -> PathBuf {
        self.root.join(SOURCES)
    }

    pub(super) fn source(&self, digest: &Digest) -> PathBuf {
        self.sources().join(digest.hex())
    }

    pub(super) fn references(&self) -> PathBuf {
        self.root.join(REFERENCES)
    }

    pub(super) fn reference(&self, reference: &Reference) -> PathBuf {
        let name = Digest::of(reference.to_string().as_bytes()).hex();
        self.references().join(format!("{name}.json"))
    }

    pub(super) fn partials(&self) -> PathBuf {
        self.root.join(PARTIAL)
    }

    pub(super) fn salt(&self) -> PathBuf {
        self.root.join(SALT)
    }

    /// Waits until nobody else changes the folder.
    pub(super) fn change(&self) -> Result<Change<'_>, StoreErrorKind> {
        self.restore()?;
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.root.join(LOCK))?;
        let file = Lockable::of(file);
        lock::exclusive(&file)?;
        Ok(Change {
            _file: file,
            _turn: turn,
        })
    }

    /// Makes the folder again if somebody removed it while it was open.
    pub(super) fn restore(&self) -> Result<(), StoreErrorKind> {
        if self.root.join(LAYOUT).exists() && self.partials().exists() {
            return Ok(());
        }
        make(&self.root)?;
        self.lay_out()
    }

    /// A file to write to before it is put in its place. It is locked: what nobody holds is a leftover.
    pub(super) fn new_file(&self) -> io::Result<NamedTempFile> {
        new_file_in(&self.partials())
    }

    /// Writes a file so that readers see all of it or nothing.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        write_over(self.new_file()?, path, bytes)
    }

    /// What is in it, if it is one of ours; and makes the rest.
    fn lay_out(&self) -> Result<(), StoreErrorKind> {
        let layout = self.root.join(LAYOUT);
        match read_small(&layout, 64)? {
            Some(text) => check_version(&text)?,
            None => {
                self.check_empty()?;
                let text = format!("{TITLE}{VERSION}\n");
                write_over(new_file_in(&self.root)?, &layout, text.as_bytes())?;
            }
        }
        for below in ["blobs", BLOBS, SOURCES, REFERENCES, PARTIAL] {
            make(&self.root.join(below))?;
        }
        Ok(())
    }

    fn check_empty(&self) -> Result<(), StoreErrorKind> {
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            // Another process may be laying it out at this moment: its own name for the layout may stand there already.
            if !name.starts_with(NEW) && name != LOST && name != LAYOUT {
                if self.root.join(LAYOUT).exists() {
                    return Ok(());
                }
                return Err(StoreErrorKind::Foreign);
            }
        }
        Ok(())
    }
}

/// The bytes of a file that is small if it is one of ours.
pub(super) fn read_small(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let problem = format!("`{}` has more than {most} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(Some(bytes))
}

/// Whether a file is one of those that are being written.
pub(super) fn is_new(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(NEW.as_bytes())
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn new_file_in(folder: &Path) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(NEW)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.as_file().try_lock().map_err(io::Error::from)?;
    Ok(file)
}

fn write_over(mut file: NamedTempFile, path: &Path, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    // Its entry need not last: without it, the registry is asked again.
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn check_version(text: &[u8]) -> Result<(), StoreErrorKind> {
    let version = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.strip_prefix(TITLE)?.trim_end().parse::<u32>().ok());
    match version {
        Some(VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(StoreErrorKind::Newer {
            found,
            known: VERSION,
        }),
        _ => Err(StoreErrorKind::Foreign),
    }
}

/// Makes a folder for this user only, or refuses the one that is there if others could put something into it. The administrator
/// may have filled it.
fn make(folder: &Path) -> Result<(), StoreErrorKind> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)?;
    let refuse = |reason| {
        let path = folder.to_owned();
        Err(StoreErrorKind::NotPrivate { path, reason })
    };
    let metadata = fs::metadata(folder)?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
        return refuse("belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("may be written to by others");
    }
    Ok(())
}
