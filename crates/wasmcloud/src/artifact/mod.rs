//! Gets the bytes of components: from files here, from registries behind the same trait.

mod file;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use file::Files;

pub use crate::workload::Digest;
use crate::workload::{Image, Namespace, Pull};

/// A source of component bytes.
///
/// - F1 Returns the whole bytes or an error, never a part.
/// - F2 The same reference may give other bytes later; callers go by the digest of what they got.
/// - F3 An image that it cannot serve is an error that says what can.
/// - F4 Nobody gets what they could not have got from where the image is kept, whatever was fetched for others.
/// - F5 A digest that comes with the bytes was checked against them.
#[async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// Gets the bytes of an image. Paths are taken as they stand: the caller resolves them against the manifest.
    ///
    /// # Errors
    /// When the image cannot be had; see [`FetchErrorKind`].
    async fn fetch(&self, wanted: Wanted<'_>) -> Result<Fetched, FetchError>;
}

/// What is wanted, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The image.
    pub image: &'a Image,
    /// How it is pulled, if a registry has it.
    pub pull: &'a Pull,
    /// Who wants it.
    pub by: By<'a>,
}

impl<'a> Wanted<'a> {
    /// An image that the host itself wants, pulled in the usual way if need be.
    #[must_use]
    pub fn by_host(image: &'a Image) -> Self {
        static USUAL: Pull = Pull {
            policy: None,
            secret: None,
        };
        Self {
            image,
            pull: &USUAL,
            by: By::Host,
        }
    }
}

/// Who wants an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'a> {
    /// Whoever runs the host: for plugins, and at a command line.
    Host,
    /// A workload of this namespace.
    Workload(&'a Namespace),
}

/// An image.
#[derive(Clone)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Bytes,
    /// Their digest, where the source has worked it out: nobody has to do so again.
    pub digest: Option<Digest>,
    /// What names the same bytes for good, where the image may come to name others.
    pub pinned: Option<Image>,
    /// Held while what was made from it runs: until then, no cache drops it.
    pub hold: Option<Hold>,
}

/// Whoever has it, has something kept for them.
pub type Hold = Arc<dyn Any + Send + Sync>;

impl From<Bytes> for Fetched {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            digest: None,
            pinned: None,
            hold: None,
        }
    }
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("bytes", &self.bytes.len())
            .field("pinned", &self.pinned)
            .field("is_held", &self.hold.is_some())
            .finish()
    }
}

/// Why an image could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{image}`: {kind}")]
pub struct FetchError {
    /// The image as the manifest names it.
    pub image: String,
    /// What went wrong.
    #[source]
    pub kind: FetchErrorKind,
}

/// What went wrong while fetching.
#[derive(Debug, thiserror::Error)]
pub enum FetchErrorKind {
    /// There is no such thing.
    #[error("there is no such file")]
    NotFound,
    /// It is there, but is no file.
    #[error("it is not a regular file")]
    NotAFile,
    /// It is larger than the limit.
    #[error("it has {found} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The source does not serve this kind of image.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A registry does not give it, or it must not be used.
    #[error("{problem}")]
    Registry {
        /// What is wrong.
        #[source]
        problem: Box<dyn std::error::Error + Send + Sync>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Reading failed.
    #[error("{0}")]
    Io(#[source] std::io::Error),
}

/// What is to go from a cache, as far as it is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Everything.
    All,
    /// What was not used for this long.
    Unused {
        /// How long.
        since: Duration,
    },
    /// Downloads that broke off, where there are such, and then what was not used for the longest time, until the rest has no more bytes
    /// than these.
    ToSize(u64),
}
