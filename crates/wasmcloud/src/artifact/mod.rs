//! Gets the bytes of components: from files now, from registries behind the same trait.

mod digest;
mod file;

use async_trait::async_trait;
use bytes::Bytes;

pub use digest::Digest;
pub use file::Files;

use crate::workload::Image;

/// A source of component bytes.
///
/// - F1 Returns the whole bytes or an error, never a part.
/// - F2 The same reference may give other bytes later; callers go by the digest of what they got.
/// - F3 An image that it cannot serve is an error that says what can.
#[async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// Gets the bytes of an image. Paths are taken as they stand: the caller resolves them against the manifest.
    ///
    /// # Errors
    /// When the image cannot be had; see [`FetchErrorKind`].
    async fn fetch(&self, image: &Image) -> Result<Bytes, FetchError>;
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
    /// Reading failed.
    #[error("{0}")]
    Io(#[source] std::io::Error),
}
