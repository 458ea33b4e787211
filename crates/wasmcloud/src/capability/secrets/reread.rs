//! Files with secrets: opened so that nothing else is read in their place, and read again when they change.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::SecretsError;
use super::guarded::{Guarded, REFUSED};
use crate::policy::private_file;

/// How long after its last change a file may change again without showing it.
const GRAIN: Duration = Duration::from_secs(2);

/// Opens a file by its path below a folder, wherever links lead inside of it, and never outside. `None` where there is none.
///
/// # Errors
/// When it cannot be opened, is no regular file, or others than its owner may read it. Blocks.
pub(super) fn open_below(root: &Path, inside: &Path) -> Result<Option<File>, SecretsError> {
    let failed = |problem: &dyn ToString| {
        let shown = root.join(inside).display().to_string();
        SecretsError::source(shown, problem.to_string())
    };
    let folder = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let file = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = openat(CWD, root, folder, Mode::empty())
        .and_then(|root| openat2(root, inside, file, Mode::empty(), below));
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::XDEV) => return Err(failed(&"it is a link that leads out of its folder")),
        Err(error) => return Err(failed(&io::Error::from(error))),
    };
    private_file::check(&file).map_err(|problem| failed(&problem))?;
    Ok(Some(file))
}

/// The same for a file that a manifest names: those of the host's own store are refused.
///
/// # Errors
/// Besides those of [`open_below`], when it is one of these.
pub(super) fn open_unguarded(
    root: &Path,
    inside: &Path,
    guarded: &Guarded,
) -> Result<Option<File>, SecretsError> {
    let Some(file) = open_below(root, inside)? else {
        return Ok(None);
    };
    let failed = |problem: &dyn ToString| {
        let shown = root.join(inside).display().to_string();
        SecretsError::source(shown, problem.to_string())
    };
    match guarded.has_file(&file) {
        Ok(false) => Ok(Some(file)),
        Ok(true) => Err(failed(&REFUSED)),
        Err(error) => Err(failed(&error)),
    }
}

/// Reads a file whole, if it is not larger than that. Blocks.
pub(super) fn read(file: &mut File, most: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let size = file.metadata()?.len().min(limit);
    // As large as it will be at once: what grows leaves copies behind.
    let room = usize::try_from(size).unwrap_or(most).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn of(file: &File) -> io::Result<(Self, Option<SystemTime>)> {
        let metadata = file.metadata()?;
        let state = Self {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        Ok((state, metadata.modified().ok()))
    }
}

/// What one file holds, kept until the file changes.
pub(super) struct Reread<T> {
    folder: PathBuf,
    name: PathBuf,
    most: usize,
    guarded: Guarded,
    kept: Mutex<Option<(State, Arc<T>)>>,
}

impl<T> Reread<T> {
    /// The file at a path below a folder, of at most so many bytes.
    pub(super) fn new(folder: PathBuf, name: PathBuf, most: usize) -> Self {
        Self {
            folder,
            name,
            most,
            guarded: Guarded::default(),
            kept: Mutex::new(None),
        }
    }

    /// It is not read if it is one of these.
    pub(super) fn unless(mut self, guarded: Guarded) -> Self {
        self.guarded = guarded;
        self
    }

    /// What it holds now; `None` where there is no file. Blocks.
    pub(super) fn get(
        &self,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<Arc<T>>, SecretsError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut file) = open_unguarded(&self.folder, &self.name, &self.guarded)? else {
            *kept = None;
            return Ok(None);
        };
        let wrong = |problem: String| {
            SecretsError::source(self.folder.join(&self.name).display().to_string(), problem)
        };
        let (state, modified) = State::of(&file).map_err(|error| wrong(error.to_string()))?;
        if let Some((of, held)) = &*kept
            && *of == state
        {
            return Ok(Some(Arc::clone(held)));
        }
        *kept = None;
        let bytes = read(&mut file, self.most).map_err(|error| wrong(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| wrong(format!("it has more than {} bytes", self.most)))?;
        let held = Arc::new(parse(&bytes).map_err(wrong)?);
        // One that has just changed may change again and look the same.
        let settled = modified
            .and_then(|at| at.elapsed().ok())
            .is_some_and(|age| age > GRAIN);
        if settled {
            *kept = Some((state, Arc::clone(&held)));
        }
        Ok(Some(held))
    }
}
