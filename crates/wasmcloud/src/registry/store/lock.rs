//! Locks on files, which other processes see too. Each is waited for only so long.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::StoreErrorKind;

/// How long a lock is waited for that others hold only while they change an entry of a folder.
pub(super) const BRIEF: Duration = Duration::from_secs(30);
/// The pauses between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Locks it for us alone, or says that somebody else has it.
pub(super) fn try_exclusive(file: &File) -> io::Result<bool> {
    taken(file.try_lock())
}

/// Locks it together with others who do.
pub(super) fn shared(file: &File) -> Result<(), StoreErrorKind> {
    wait_for(BRIEF, || taken(file.try_lock_shared()))
}

/// Locks it for us alone, once nobody else has it.
pub(super) fn exclusive(file: &File) -> Result<(), StoreErrorKind> {
    wait_for(BRIEF, || try_exclusive(file))
}

/// Whether the path leads to this very file. While we waited for its lock it may have been removed or replaced.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
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
