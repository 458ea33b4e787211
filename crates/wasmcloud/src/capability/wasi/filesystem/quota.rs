//! How much an ephemeral volume holds, and whether more goes in.
//!
//! Room is reserved before anything grows. What shrinks is not tracked: when a reservation fails, the folder is counted anew, and
//! with it the files that are open though their names are gone. One change of a volume at a time, so no two share the last room.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// What a file, a folder or a link takes besides its content, in bytes.
pub(super) const ENTRY: u64 = 4096;

/// "No space left on device", the same on every Unix. A guest is told by its number.
const ENOSPC: i32 = 28;

/// How long a folder that could not be counted is left alone.
const RECOUNT: Duration = Duration::from_secs(1);

/// The limit of one volume.
pub(super) struct Quota {
    limit: u64,
    folder: PathBuf,
    ledger: Arc<Mutex<Ledger>>,
}

/// What a volume holds.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Never less than there is.
    used: u64,
    /// Set when something shrank since the last count.
    stale: bool,
    /// The files that were open without a name when it was last counted. What they hold is free when they are closed.
    nameless: Vec<Weak<File>>,
    /// When counting failed last, if it did.
    failed: Option<Instant>,
}

/// The right to change a volume: nobody else does meanwhile.
pub(super) type Held = OwnedMutexGuard<Ledger>;

impl Quota {
    /// A limit in bytes for an empty folder.
    pub(super) fn new(limit: u64, folder: PathBuf) -> Self {
        Self {
            limit,
            folder,
            ledger: Arc::default(),
        }
    }

    pub(super) async fn hold(&self) -> Held {
        Arc::clone(&self.ledger).lock_owned().await
    }

    /// Whether it takes a look at the disk to know if there is room.
    pub(super) fn must_count(&self, ledger: &Ledger, bytes: u64) -> bool {
        !self.fits(ledger, bytes) && ledger.may_hold_less()
    }

    fn fits(&self, ledger: &Ledger, bytes: u64) -> bool {
        ledger
            .used
            .checked_add(bytes)
            .is_some_and(|used| used <= self.limit)
    }

    /// Reserves room. May read the whole folder, so not on a thread that serves. `open` are the files that guests hold.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn reserve(
        &self,
        ledger: &mut Ledger,
        bytes: u64,
        open: &[Arc<File>],
    ) -> io::Result<()> {
        if self.must_count(ledger, bytes) {
            match self.count(open) {
                Ok(counted) => *ledger = counted,
                // Nothing is given back on a guess. Paths too long to follow are the likely reason.
                Err(error) => {
                    (ledger.stale, ledger.failed) = (false, Some(Instant::now()));
                    ledger.nameless.clear();
                    tracing::debug!(folder = %self.folder.display(), %error, "a volume cannot be counted");
                }
            }
        }
        if !self.fits(ledger, bytes) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        ledger.used += bytes;
        Ok(())
    }

    /// What is there, by looking.
    fn count(&self, open: &[Arc<File>]) -> io::Result<Ledger> {
        let mut count = Count::default();
        count.seen.insert(identity(&fs::metadata(&self.folder)?));
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            count.folder(&folder, &mut folders)?;
        }
        let mut nameless = Vec::new();
        for file in open {
            let before = count.used;
            count.add(&file.metadata()?, 0);
            if count.used > before {
                nameless.push(Arc::downgrade(file));
            }
        }
        Ok(Ledger {
            used: count.used,
            nameless,
            ..Ledger::default()
        })
    }
}

impl Ledger {
    /// Whether another count may find less. One that did not help is not repeated until there is a reason.
    fn may_hold_less(&self) -> bool {
        self.stale
            || self.nameless.iter().any(|file| file.strong_count() == 0)
            || self.failed.is_some_and(|at| at.elapsed() >= RECOUNT)
    }

    /// Takes note that something may have shrunk.
    pub(super) fn shrunk(&mut self) {
        self.stale = true;
    }

    /// Gives back room that is known not to be used.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }
}

#[derive(Default)]
struct Count {
    used: u64,
    seen: HashSet<(u64, u64)>,
}

impl Count {
    fn folder(&mut self, folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                found.push(entry.path());
            }
            // A second name of a file takes an entry, and no room for what the file holds.
            self.add(&metadata, ENTRY);
        }
        Ok(())
    }

    /// Adds what a thing holds, or `again` if it is counted already.
    fn add(&mut self, metadata: &Metadata, again: u64) {
        let size = if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
        let new = self.seen.insert(identity(metadata));
        let more = if new {
            size.saturating_add(ENTRY)
        } else {
            again
        };
        self.used = self.used.saturating_add(more);
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn quota(folder: &Path, entries: u64) -> Quota {
        Quota::new(entries * ENTRY, folder.to_owned())
    }

    #[tokio::test]
    async fn what_was_deleted_may_be_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let quota = quota(folder.path(), 3);
        let mut held = quota.hold().await;
        quota.reserve(&mut held, 3 * ENTRY, &[]).unwrap();
        assert_eq!(
            quota.reserve(&mut held, 1, &[]).unwrap_err().raw_os_error(),
            Some(ENOSPC)
        );
        held.shrunk();
        quota.reserve(&mut held, 3 * ENTRY, &[]).unwrap();
    }

    #[tokio::test]
    async fn counting_sees_files_folders_links_and_what_is_open_without_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("sub")).unwrap();
        fs::write(path.join("sub/file"), vec![0; 100]).unwrap();
        fs::hard_link(path.join("sub/file"), path.join("again")).unwrap();
        std::os::unix::fs::symlink("nowhere", path.join("link")).unwrap();
        let quota = quota(path, 100);
        assert_eq!(quota.count(&[]).unwrap().used, 4 * ENTRY + 100);

        let open = Arc::new(File::open(path.join("again")).unwrap());
        let counted = quota.count(std::slice::from_ref(&open)).unwrap();
        assert_eq!(counted.used, 4 * ENTRY + 100);
        assert!(counted.nameless.is_empty());

        fs::remove_file(path.join("again")).unwrap();
        fs::remove_file(path.join("sub/file")).unwrap();
        let counted = quota.count(std::slice::from_ref(&open)).unwrap();
        assert_eq!(counted.used, 3 * ENTRY + 100);
        assert!(!counted.may_hold_less());
        drop(open);
        assert!(counted.may_hold_less());
        assert_eq!(quota.count(&[]).unwrap().used, 2 * ENTRY);
    }

    #[tokio::test]
    async fn a_reservation_cannot_overflow() {
        let folder = tempfile::tempdir().unwrap();
        let quota = quota(folder.path(), 1);
        let mut held = quota.hold().await;
        quota.reserve(&mut held, 1, &[]).unwrap();
        quota.reserve(&mut held, u64::MAX, &[]).unwrap_err();
    }
}
