//! What a tenant keeps in a folder, and how much it is. It is counted when it is opened, and in step with what is done to it from
//! then on. Whoever else changes the folder shows when it is opened again.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Place;
use super::names::GOES_ON;
use crate::capability::blobstore::BlobError;
use crate::capability::budget::{Budget, Room};

/// What an object, a container or a step of a long name takes besides its content, in bytes: a block of most disks.
pub(super) const ENTRY: u64 = 4096;

/// The folder of a tenant, shared by everybody who has it open.
#[derive(Debug)]
pub(in super::super) struct Home {
    pub(super) path: PathBuf,
    budget: Arc<Budget>,
    /// Held while something takes its place or leaves it, so that what is counted is what was there.
    turn: Mutex<()>,
}

impl Home {
    /// Opens a folder that is there. What it holds counts in the budget as long as it is open. Blocks for as long as it takes to look at
    /// every file.
    pub(super) fn open(path: PathBuf, budget: &Arc<Budget>) -> io::Result<Self> {
        let used = content_of_home(&path)?;
        let budget = Budget::within(budget, u64::MAX);
        budget.hold(used);
        Ok(Self {
            path,
            budget,
            turn: Mutex::default(),
        })
    }

    /// Nobody else puts or takes anything until this is dropped.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a container.
    pub(super) fn container(&self, path: &Path) -> Result<Room, BlobError> {
        self.room(entries(&self.path, path))
    }

    /// Room for an object without content.
    pub(super) fn object(&self, place: &Place) -> Result<Room, BlobError> {
        self.room(entries(&place.container, &place.path))
    }

    /// Room for what an object takes more in one place than in another.
    pub(super) fn moved(&self, from: &Place, to: &Place) -> Result<Room, BlobError> {
        let takes = |place: &Place| entries(&place.container, &place.path);
        self.room(takes(to).saturating_sub(takes(from)))
    }

    fn room(&self, bytes: u64) -> Result<Room, BlobError> {
        let mut room = self.budget.room();
        room.grow(bytes)?;
        Ok(room)
    }

    /// An object of this size has left its place.
    pub(super) fn left(&self, place: &Place, size: u64) {
        let entries = entries(&place.container, &place.path);
        self.budget.release(entries.saturating_add(size));
    }

    /// An object is where a name takes fewer steps.
    pub(super) fn shortened(&self, from: &Place, to: &Place) {
        let takes = |place: &Place| entries(&place.container, &place.path);
        self.budget.release(takes(from).saturating_sub(takes(to)));
    }

    /// A container has left its place, and is where it can be looked at.
    pub(super) fn gone(&self, path: &Path, now: &Path) {
        // What cannot be counted counts until the folder is opened again.
        let content = content_of_container(now).unwrap_or(0);
        let entries = entries(&self.path, path);
        self.budget.release(entries.saturating_add(content));
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.budget.used()
    }
}

/// What the steps from a folder to a path take.
fn entries(above: &Path, path: &Path) -> u64 {
    let steps = path.strip_prefix(above).map_or(1, |it| it.iter().count());
    ENTRY.saturating_mul(u64::try_from(steps).unwrap_or(u64::MAX))
}

/// What a tenant keeps.
fn content_of_home(home: &Path) -> io::Result<u64> {
    let mut all = 0_u64;
    walk(home, |entry| {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            let content = content_of_container(&path)?;
            all = all.saturating_add(entries(home, &path).saturating_add(content));
        }
        Ok(())
    })?;
    Ok(all)
}

/// What the objects of a container take.
fn content_of_container(container: &Path) -> io::Result<u64> {
    let mut all = 0_u64;
    walk(container, |entry| {
        if entry.file_type()?.is_file() {
            let size = entry.metadata()?.len();
            all = all.saturating_add(entries(container, &entry.path()).saturating_add(size));
        }
        Ok(())
    })?;
    Ok(all)
}

/// Looks at everything that has a name in a folder, wherever a long name goes on. What vanishes meanwhile is passed over.
fn walk(folder: &Path, mut see: impl FnMut(&DirEntry) -> io::Result<()>) -> io::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.ends_with(GOES_ON)) {
                open.push(entry.path());
                continue;
            }
            match see(&entry) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
