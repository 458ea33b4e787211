//! Why the cache of images cannot do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::workload::Digest;

/// Something that the cache could not do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} in the cache of images `{}`: {kind}", folder.display())]
pub struct StoreError {
    doing: String,
    folder: PathBuf,
    #[source]
    kind: StoreErrorKind,
}

impl StoreError {
    /// `doing` goes on after "cannot".
    pub(super) fn new(doing: String, folder: &Path, kind: StoreErrorKind) -> Self {
        Self {
            doing,
            folder: folder.to_owned(),
            kind,
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &StoreErrorKind {
        &self.kind
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match &self.kind {
            StoreErrorKind::Newer { .. } => {
                Some("use a version as new as the one that made the folder, or name another folder")
            }
            StoreErrorKind::Foreign => {
                Some("name an empty folder, or one that does not exist yet, for the cache")
            }
            StoreErrorKind::NotPrivate { .. } => {
                Some("make the folder your own and `chmod 700` it, or name another folder")
            }
            StoreErrorKind::Full(_) => {
                Some("make room on the disk: `wash cache prune` gives up what is not in use")
            }
            StoreErrorKind::ReadOnly(_) | StoreErrorKind::Denied(_) => Some(
                "name a folder that may be written to; this one serves only what is in it already",
            ),
            StoreErrorKind::LargerThanCache { .. } => Some("raise the size of the cache"),
            StoreErrorKind::TooLarge { .. } => Some("raise the limit if you trust the image"),
            StoreErrorKind::WrongDigest { .. } | StoreErrorKind::WrongSize { .. } => Some(
                "pull again; if it stays so, the registry or something before it alters what it serves",
            ),
            StoreErrorKind::Busy { .. } => Some(
                "another process holds it: see whether one hangs that uses this folder, or try again",
            ),
            StoreErrorKind::Io(_) => None,
        }
    }
}

/// What went wrong in the cache.
#[derive(Debug, thiserror::Error)]
pub enum StoreErrorKind {
    /// A later version made the folder.
    #[error("it is laid out in version {found}, and only version {known} is known")]
    Newer {
        /// The version of its layout.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// The folder is something else, and nothing of it may be pruned.
    #[error("there is something else in the folder")]
    Foreign,
    /// Somebody else could change what is in the folder.
    #[error("`{}` {reason}", path.display())]
    NotPrivate {
        /// The folder, or one in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no room on the disk.
    #[error("the disk is full ({0})")]
    Full(#[source] io::Error),
    /// Nothing can be written to the disk.
    #[error("the disk is read-only ({0})")]
    ReadOnly(#[source] io::Error),
    /// This user may not.
    #[error("it is not allowed ({0})")]
    Denied(#[source] io::Error),
    /// It would not fit if everything else went.
    #[error("it has {size} bytes, more than the {limit} of the whole cache")]
    LargerThanCache {
        /// Its size in bytes.
        size: u64,
        /// How many the cache may hold.
        limit: u64,
    },
    /// It is larger than who reads it allows.
    #[error("it has {found} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are not those that were asked for.
    #[error("the bytes that came have the digest {found}, wanted {wanted}")]
    WrongDigest {
        /// What was wanted.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// There are more or fewer bytes than were asked for.
    #[error("{found} bytes came, wanted {wanted}")]
    WrongSize {
        /// What was wanted.
        wanted: u64,
        /// What came.
        found: u64,
    },
    /// Somebody else held it for too long.
    #[error("somebody else holds it for more than {waited:?}")]
    Busy {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Something else.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for StoreErrorKind {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(error),
            io::ErrorKind::PermissionDenied => Self::Denied(error),
            _ => Self::Io(error),
        }
    }
}
