//! Locks on files, which other processes see too. Each is waited for only so long.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::StoreErrorKind;

/// How long a lock is waited for that others hold only while they change an entry of a folder.
pub(super) const BRIEF: Duration = Duration::from_secs(30);
/// The pauses between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// An open file whose lock goes when it is dropped. Closing it alone would not do: a child that was begun just now has a copy of it
/// until it runs its program, and the lock is that of all copies.
#[derive(Debug)]
pub(super) struct Lockable(File);

impl Lockable {
    pub(super) const fn of(file: File) -> Self {
        Self(file)
    }
}

impl Deref for Lockable {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Lockable {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Lockable {
    fn drop(&mut self) {
        // It goes with the last copy, then.
        let _ = self.0.unlock();
    }
}

/// Locks it for us alone, or says that somebody else has it.
pub(super) fn try_exclusive(file: &Lockable) -> io::Result<bool> {
    taken(file.try_lock())
}

/// Locks it together with others who do.
pub(super) fn shared(file: &Lockable) -> Result<(), StoreErrorKind> {
    wait_for(BRIEF, || taken(file.try_lock_shared()))
}

/// Locks it for us alone, once nobody else has it.
pub(super) fn exclusive(file: &Lockable) -> Result<(), StoreErrorKind> {
    wait_for(BRIEF, || try_exclusive(file))
}

/// Whether the path leads to this very file. While we waited for its lock it may have been removed or replaced.
pub(super) fn is_at(file: &Lockable, path: &Path) -> io::Result<bool> {
    let there = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let open = file.metadata()?;
    Ok((there.dev(), there.ino()) == (open.dev(), open.ino()))
}

fn taken(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The operating system would wait without end for a process that was stopped.
fn wait_for(
    longest: Duration,
    mut take: impl FnMut() -> io::Result<bool>,
) -> Result<(), StoreErrorKind> {
    let begun = Instant::now();
    let mut pause = PAUSES.0;
    while !take()? {
        if begun.elapsed() >= longest {
            return Err(StoreErrorKind::Busy { waited: longest });
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "on a thread for what blocks: no event tells of locks of other processes"
        )]
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// A program that was begun meanwhile has it for a moment: caches took what nobody used any more for used.
    #[test]
    fn a_lock_goes_with_its_file_although_a_child_has_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let open = || Lockable::of(File::create(&path).unwrap());
        let (file, other) = (open(), open());
        assert!(try_exclusive(&file).unwrap());
        assert!(!try_exclusive(&other).unwrap());
        let copy = file.try_clone().unwrap();
        drop(file);
        assert!(try_exclusive(&other).unwrap());
        drop(copy);
    }
}
