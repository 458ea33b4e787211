//! A volume that is mounted: an open folder, the files that guests hold of it, and its limit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::{FsPerms, OpenMode};

use super::folder::Folder;
use super::quota::{ENTRY, Held, Quota};
use crate::capability::room::part_of_open_files;

/// How many writes of streams into one volume are under way at once …
const WRITES: usize = 64;
/// … and how many more of one workload may wait, of guests that were given leave for many streams before they wrote to any.
const WAITING_WRITES: usize = 1024;
/// How much blocking work of one workload goes on at once.
const WORK: usize = 16;

/// What the volumes of a workload have in common.
#[derive(Clone)]
pub(super) struct Common {
    most_open: usize,
    /// What guests hold of all volumes of the host.
    all_open: Arc<OpenFiles>,
    work: Arc<Semaphore>,
    waiting_writes: Arc<Semaphore>,
}

impl Common {
    /// For one workload: how much of a volume may be open at once, and what is open of all volumes of the host.
    pub(super) fn new(most_open: usize, all_open: Arc<OpenFiles>) -> Self {
        Self {
            most_open,
            all_open,
            work: Arc::new(Semaphore::new(WORK)),
            waiting_writes: Arc::new(Semaphore::new(WAITING_WRITES)),
        }
    }
}

/// A folder that components of one workload share. What it is made of goes when the last mount and the last instance are gone.
pub(super) struct Volume {
    root: Dir,
    open: OpenFiles,
    all_open: Arc<OpenFiles>,
    lost: Lost,
    work: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    waiting_writes: Arc<Semaphore>,
    quota: Option<Quota>,
    /// After the handle, so that it is removed last.
    _folder: Option<Folder>,
}

impl Volume {
    /// A folder of the machine.
    pub(super) fn of_host(root: Dir, common: &Common) -> Self {
        Self::new(root, common, None, None)
    }

    /// A folder that is removed with this value, with its limit in bytes.
    pub(super) fn ephemeral(
        root: Dir,
        folder: Folder,
        limit: Option<u64>,
        common: &Common,
    ) -> Self {
        let quota = limit.map(|limit| Quota::new(limit, folder.path().to_owned()));
        Self::new(root, common, quota, Some(folder))
    }

    fn new(root: Dir, common: &Common, quota: Option<Quota>, folder: Option<Folder>) -> Self {
        Self {
            root,
            open: OpenFiles::new(common.most_open),
            all_open: Arc::clone(&common.all_open),
            lost: Lost::default(),
            work: Arc::clone(&common.work),
            writes: Arc::new(Semaphore::new(WRITES)),
            waiting_writes: Arc::clone(&common.waiting_writes),
            quota,
            _folder: folder,
        }
    }

    /// The whole of it, as a guest sees it.
    pub(super) fn root(&self, read_only: bool) -> Dir {
        let mut root = self.root.clone();
        if read_only {
            (root.perms, root.open_mode) = (FsPerms::ReadOnly, OpenMode::READ);
        }
        root
    }

    /// Whether it has a limit.
    pub(super) fn is_limited(&self) -> bool {
        self.quota.is_some()
    }

    /// Takes note of what a guest opened.
    ///
    /// # Errors
    /// When guests hold as much of it as they may, or as much of all volumes of the host.
    pub(super) fn opened(&self, descriptor: &Descriptor) -> io::Result<()> {
        let file = match descriptor {
            Descriptor::File(file) => &file.file,
            Descriptor::Dir(dir) => &dir.dir,
        };
        self.open.add(file)?;
        self.all_open.add(file)
    }

    /// What streams could not write.
    pub(super) const fn lost(&self) -> &Lost {
        &self.lost
    }

    /// The right to block a thread, in turn. Whoever has it takes it along to what blocks, which may outlive who waits for it.
    pub(super) async fn work(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        Arc::clone(&self.work).acquire_owned().await.ok()
    }

    /// The right to one write of a stream.
    pub(super) fn writes(&self) -> Arc<Semaphore> {
        Arc::clone(&self.writes)
    }

    /// The right to wait for that with bytes in hand. `None`: too many do.
    pub(super) fn waiting_write(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting_writes).try_acquire_owned().ok()
    }

    /// Waits until nobody else changes it, if it has a limit.
    pub(super) async fn hold(&self) -> Option<Held> {
        match &self.quota {
            Some(quota) => Some(quota.hold().await),
            None => None,
        }
    }

    /// Reserves room for one more entry.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn entry(self: &Arc<Self>, held: Option<Held>) -> io::Result<Room> {
        let (Some(quota), Some(mut held)) = (&self.quota, held) else {
            return Ok(Room::none(None));
        };
        if !quota.must_count(&held, ENTRY) {
            quota.reserve(&mut held, ENTRY, &[])?;
            return Ok(Room::entry(held));
        }
        let volume = Arc::clone(self);
        let counted = spawn_blocking(move || {
            volume.reserve(&mut held, ENTRY)?;
            Ok(Room::entry(held))
        });
        counted.await.unwrap_or_else(|error| Err(error.into()))
    }

    fn reserve(&self, held: &mut Held, bytes: u64) -> io::Result<()> {
        match &self.quota {
            Some(quota) if quota.must_count(held, bytes) => {
                quota.reserve(held, bytes, &self.open.held())
            }
            Some(quota) => quota.reserve(held, bytes, &[]),
            None => Ok(()),
        }
    }

    /// Writes all of `bytes` and gives the place behind them. A write that was begun ends, whoever waits for it.
    ///
    /// # Errors
    /// When there is no room, or the disk fails.
    pub(super) async fn write(
        self: Arc<Self>,
        file: Arc<File>,
        at: At,
        bytes: Bytes,
    ) -> io::Result<At> {
        let work = self.work().await;
        let mut held = self.hold().await;
        let written = spawn_blocking(move || {
            let _work = work;
            let length = file.metadata()?.len();
            let offset = match at {
                At::Offset(offset) => offset,
                // Nobody else writes meanwhile, so the end stays where it is.
                At::End => length,
            };
            let too_far = || io::Error::from(io::ErrorKind::InvalidInput);
            let end = offset.checked_add(bytes.len() as u64).ok_or_else(too_far)?;
            let growth = end.saturating_sub(length);
            if let Some(held) = &mut held {
                self.reserve(held, growth)?;
            }
            let written = file.write_all_at(&bytes, offset);
            if let (Err(_), Some(held)) = (&written, &mut held) {
                held.shrunk();
            }
            written.map(|()| match at {
                At::Offset(_) => At::Offset(end),
                At::End => At::End,
            })
        });
        written.await.unwrap_or_else(|error| Err(error.into()))
    }

    /// Cuts a file off or makes it longer.
    ///
    /// # Errors
    /// When there is no room, or the file does not take it.
    pub(super) async fn set_size(self: Arc<Self>, file: Arc<File>, size: u64) -> io::Result<()> {
        let work = self.work().await;
        let mut held = self.hold().await;
        let set = spawn_blocking(move || {
            let _work = work;
            let length = file.metadata()?.len();
            let growth = size.saturating_sub(length);
            if let Some(held) = &mut held {
                self.reserve(held, growth)?;
            }
            let set = file.set_len(size);
            if let Some(held) = &mut held {
                match set {
                    Ok(()) => held.give_back(length.saturating_sub(size)),
                    Err(_) => held.give_back(growth),
                }
            }
            set
        });
        set.await.unwrap_or_else(|error| Err(error.into()))
    }
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Offset(u64),
    End,
}

/// A folder with every right. File I/O on it never blocks the thread that serves.
pub(super) fn directory(folder: File) -> Dir {
    Dir::new(
        folder,
        FsPerms::ReadWrite,
        OpenMode::READ | OpenMode::WRITE,
        false,
    )
}

/// Room for what is about to be made, and the volume to oneself meanwhile.
pub(super) struct Room {
    held: Option<Held>,
    reserved: u64,
}

impl Room {
    /// No room, for what is there already.
    pub(super) fn none(held: Option<Held>) -> Self {
        Self { held, reserved: 0 }
    }

    fn entry(held: Held) -> Self {
        Self {
            held: Some(held),
            reserved: ENTRY,
        }
    }

    /// Gives the room back if the entry was not made.
    pub(super) fn after<T>(&mut self, made: FsResult<T>) -> FsResult<T> {
        if let (Err(_), Some(held)) = (&made, &mut self.held) {
            held.give_back(self.reserved);
        }
        made
    }
}

/// The files and folders of a volume, or of all, that guests hold. They keep what they hold on the disk when its name is gone.
pub(super) struct OpenFiles {
    most: usize,
    files: Mutex<Vec<Weak<File>>>,
}

impl OpenFiles {
    fn new(most: usize) -> Self {
        Self {
            most,
            files: Mutex::default(),
        }
    }

    /// Those of all volumes of a host: a quarter of the files that the process may have open, within reason.
    pub(super) fn of_host() -> Self {
        Self::new(part_of_open_files(4, 64..=65_536))
    }

    fn add(&self, file: &Arc<File>) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= self.most {
            files.retain(|file| file.strong_count() > 0);
        }
        if files.len() >= self.most {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        files.push(Arc::downgrade(file));
        Ok(())
    }

    fn held(&self) -> Vec<Arc<File>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Writes of streams that failed, until a sync of the file tells so. Whoever gave the stream away, or dropped it before it said how
/// it went, would take the file for whole otherwise.
#[derive(Default)]
pub(super) struct Lost(Mutex<Vec<(Weak<File>, io::Error)>>);

impl Lost {
    /// The first failure counts.
    pub(super) fn add(&self, file: &Arc<File>, error: &io::Error) {
        let error = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        };
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|(file, _)| file.strong_count() > 0);
        let known = |(known, _): &(Weak<File>, io::Error)| known.as_ptr() == Arc::as_ptr(file);
        if !lost.iter().any(known) {
            lost.push((Arc::downgrade(file), error));
        }
    }

    /// The failure of a file that nobody was told of yet.
    pub(super) fn take(&self, file: &Arc<File>) -> Option<io::Error> {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = lost
            .iter()
            .position(|(known, _)| known.as_ptr() == Arc::as_ptr(file))?;
        Some(lost.swap_remove(place).1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_file_that_is_closed_makes_room_for_another() {
        let files = OpenFiles::new(2);
        let open = || Arc::new(tempfile::tempfile().unwrap());
        let (first, second) = (open(), open());
        files.add(&first).unwrap();
        files.add(&second).unwrap();
        files.add(&open()).unwrap_err();
        drop(first);
        files.add(&open()).unwrap();
    }

    #[test]
    fn a_write_that_failed_is_told_once_and_of_its_file_alone() {
        let lost = Lost::default();
        let open = || Arc::new(tempfile::tempfile().unwrap());
        let (file, other) = (open(), open());
        lost.add(&file, &io::ErrorKind::StorageFull.into());
        lost.add(&file, &io::ErrorKind::InvalidInput.into());
        assert!(lost.take(&other).is_none());
        assert_eq!(lost.take(&file).unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(lost.take(&file).is_none());
        // What is closed is forgotten.
        lost.add(&file, &io::ErrorKind::StorageFull.into());
        drop(file);
        lost.add(&other, &io::ErrorKind::StorageFull.into());
        assert_eq!(lost.0.lock().unwrap().len(), 1);
    }
}
