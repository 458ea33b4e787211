//! Where signatures come from: the little of a registry that verifying needs.

use async_trait::async_trait;
use bytes::Bytes;

use crate::workload::Digest;

/// One repository, for reading what is kept beside an image.
///
/// - S1 What is asked for by a digest has that digest. It is checked here once more: a verdict hangs on it.
/// - S2 "There is none" is said only when the registry says so. That it cannot be asked is an error.
/// - S3 No more bytes are read than `limit` or `size`.
#[async_trait]
pub trait SignatureSource: Send + Sync {
    /// The manifest or index under a tag, or with a digest written as `sha256:…`. `None` when there is none.
    ///
    /// # Errors
    /// When the registry cannot be asked, or sends more than `limit` bytes.
    async fn manifest(&self, version: &str, limit: u64)
    -> Result<Option<RawManifest>, SourceError>;

    /// A blob of `size` bytes.
    ///
    /// # Errors
    /// When it cannot be had, which includes that there is none, or has another size.
    async fn blob(&self, digest: Digest, size: u64) -> Result<Bytes, SourceError>;

    /// What the registry's referrers API lists for a manifest. `None` when it has no such API: what refers to the manifest is then
    /// looked up under the tag that the distribution specification has for this.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    async fn referrers(&self, digest: Digest) -> Result<Option<Vec<Referrer>>, SourceError>;
}

/// A manifest or index as the registry sent it.
#[derive(Clone, Debug)]
pub struct RawManifest {
    /// Its bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// What the registry says it is.
    pub media_type: String,
}

/// A manifest that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// What it holds, as the list says. Lists of some clients say it wrongly, so the manifest decides.
    pub artifact_type: Option<String>,
}

/// A registry that could not be asked for signatures.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SourceError {
    /// With what went wrong.
    pub fn new(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(problem.into())
    }

    /// What went wrong.
    #[must_use]
    pub fn problem(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }
}
