//! The data folder: everything that a host keeps, for one host at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use wasmcloud::workload::{Diagnostic, Diagnostics};

/// The lock, in the folder. The file stays: who locks it counts, not whether it is there.
const LOCK: &str = "lock";
/// What is read of another's words.
const LONGEST_WORDS: u64 = 20;

/// Holds a data folder until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Takes the folder, and makes it if need be, for this user only.
    pub(super) fn take(folder: &Path) -> Result<Self, Diagnostics> {
        let cannot = |error: &io::Error| {
            Diagnostic::new(format!("cannot use the data folder: {error}"))
                .in_file(folder)
                .with_hint("choose a folder that this user can write to with `--data-dir`")
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| cannot(&error))?;
        check_private(folder)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(LOCK))
            .map_err(|error| cannot(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(folder, &mut lock).into()),
            Err(TryLockError::Error(error)) => return Err(cannot(&error).into()),
        }
        // Without its words a lock still holds; a full disk is no reason to stay down.
        if let Err(error) = write(&mut lock) {
            tracing::warn!(folder = %folder.display(), %error, "the lock of the data folder does not name this process");
        }
        Ok(Self { _lock: lock })
    }
}

fn write(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn taken(folder: &Path, lock: &mut File) -> Diagnostic {
    let mut words = String::new();
    let _ = lock.take(LONGEST_WORDS).read_to_string(&mut words);
    let process = match words.trim().parse::<u32>() {
        Ok(process) => format!("process {process}"),
        Err(_) => "another process".to_owned(),
    };
    Diagnostic::new(format!("the data folder is in use by {process}"))
        .in_file(folder)
        .with_hint("stop that one, or give each host a folder of its own with `--data-dir`")
}

/// Compiled code is run from here: nobody else may write to it.
fn check_private(folder: &Path) -> Result<(), Diagnostic> {
    let refuse = |reason: &str, hint: &str| {
        Err(
            Diagnostic::new(format!("cannot use the data folder: {reason}"))
                .in_file(folder)
                .with_hint(hint),
        )
    };
    let metadata = fs::metadata(folder);
    let metadata = metadata.map_err(|error| Diagnostic::new(error.to_string()).in_file(folder))?;
    let me = fs::metadata("/proc/self").map(|me| me.uid());
    if me.is_ok_and(|me| me != metadata.uid()) {
        return refuse(
            "it belongs to another user",
            "run as its owner, or choose another folder",
        );
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others may write to it", "`chmod 700` it");
    }
    Ok(())
}
