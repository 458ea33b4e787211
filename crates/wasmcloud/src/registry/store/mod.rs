//! The cache of images on disk: blobs by their digests, and what is known of references beside them.
//!
//! - Nothing is ever visible half: a blob or a record is there, whole and checked, or it is not.
//! - Several processes may use one folder at the same time. Each blob is downloaded once, whoever wants it.
//! - What runs is pinned, and stays; the rest goes when there is no room, by when it was last used. Room is made before something is
//!   downloaded, first by what broke off.
//! - Nobody is given what they could not have fetched: a record says who could fetch its image, a blob where it came from.
//! - A folder that cannot be written to serves what is in it.

mod blob;
mod error;
mod evict;
mod folder;
mod lock;
mod partial;
mod pin;
mod proof;
mod record;
mod survey;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::workload::{Digest, Reference};
use folder::Folder;
use partial::Turns;
use pin::Pins;
use proof::Salt;

pub use crate::artifact::Prune;
pub use error::{StoreError, StoreErrorKind};
pub use evict::Pruned;
pub(crate) use partial::{Download, Partial};
pub(crate) use pin::Pin;
pub(crate) use proof::Proof;
pub(crate) use record::Record;
pub use survey::{Checked, Damaged, Listed, Listing, Total};

/// A cache of images. A clone is the same one.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// How a cache is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// How many bytes it may hold. What runs may take more.
    pub limit: u64,
    /// How long somebody else is waited for who downloads the same blob.
    pub wait: Duration,
}

impl Default for StoreOptions {
    /// 10 GiB, and five minutes.
    fn default() -> Self {
        Self {
            limit: 10 << 30,
            wait: Duration::from_secs(5 * 60),
        }
    }
}

/// What all clones share. All of it blocks.
#[derive(Debug)]
struct Inner {
    folder: Folder,
    options: StoreOptions,
    salt: Salt,
    pins: Pins,
    turns: Turns,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.0.folder.root();
        f.debug_struct("Store").field("folder", &folder).finish()
    }
}

impl Store {
    /// Opens a folder, and makes it where it is not there. It blocks, though not for long.
    ///
    /// # Errors
    /// When the folder is something else, or of a later version, or others may write to it, or it cannot be made.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let opened = Folder::open(folder).and_then(|folder| {
            Ok(Inner {
                salt: Salt::of(&folder)?,
                folder,
                options,
                pins: Pins::default(),
                turns: Turns::default(),
            })
        });
        let opened = opened.map(|inner| Self(Arc::new(inner)));
        opened.map_err(|kind| StoreError::new("use the folder".to_owned(), folder, kind))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder.root()
    }

    /// What is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list(&self) -> Result<Listing, StoreError> {
        self.blocking("list what is".to_owned(), Inner::list).await
    }

    /// Removes what is not in use.
    ///
    /// # Errors
    /// When something cannot be removed; what was removed until then is gone.
    pub async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.blocking("prune what is".to_owned(), move |inner| inner.prune(prune))
            .await
    }

    /// Reads everything, and removes what is damaged. `progress` is told how far it has come, from another thread.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn verify(
        &self,
        progress: impl FnMut(Checked) + Send + 'static,
    ) -> Result<Vec<Damaged>, StoreError> {
        self.blocking("verify what is".to_owned(), |inner| inner.verify(progress))
            .await
    }

    /// The bytes of a blob that is there, checked, and a pin of it. One that is damaged is removed and counts as absent.
    ///
    /// For whom its use was proven already, as by [`Record::proves`]; for others, see [`Store::blob_from`].
    pub(crate) async fn blob(
        &self,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<(Bytes, Pin)>, StoreError> {
        let digest = *digest;
        self.blocking(reading(&digest), move |inner| inner.read(&digest, limit))
            .await
    }

    /// The same, if it was downloaded from the repository of the reference before. Who names a digest need not know the blob.
    pub(crate) async fn blob_from(
        &self,
        digest: &Digest,
        from: &Reference,
        limit: u64,
    ) -> Result<Option<(Bytes, Pin)>, StoreError> {
        let (digest, from) = (*digest, from.clone());
        let read = move |inner: &Inner| match inner.pin_from(&digest, &from)? {
            Some(_pin) => inner.read(&digest, limit),
            None => Ok(None),
        };
        self.blocking(reading(&digest), read).await
    }

    /// Keeps bytes that came whole, such as a manifest, from the repository of the reference.
    pub(crate) async fn keep(
        &self,
        bytes: Bytes,
        from: &Reference,
    ) -> Result<(Digest, Pin), StoreError> {
        let (digest, from) = (Digest::of(&bytes), from.clone());
        let keep = move |inner: &Inner| inner.keep(&digest, &bytes, &from);
        let pin = self.blocking(format!("keep the blob `{digest}`"), keep);
        Ok((digest, pin.await?))
    }

    /// That a blob is not there that was there a moment ago.
    pub(crate) fn gone(&self, digest: &Digest) -> StoreError {
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
        self.error(reading(digest), StoreErrorKind::Io(gone))
    }

    /// What is known of a reference whose image is there. A damaged record is removed and counts as absent.
    pub(crate) async fn record(&self, of: &Reference) -> Result<Option<Record>, StoreError> {
        let (doing, of) = (format!("look up `{of}`"), of.clone());
        self.blocking(doing, move |inner| inner.record(&of)).await
    }

    /// Keeps what is known of a reference. What was known of the same manifest stays known.
    pub(crate) async fn put(&self, of: &Reference, record: Record) -> Result<(), StoreError> {
        let (doing, of) = (format!("keep what is known of `{of}`"), of.clone());
        self.blocking(doing, move |inner| inner.put(&of, record))
            .await
    }

    /// What stands in this cache for credentials: the registry that they are for, and their parts, secrets included.
    pub(crate) fn fingerprint(&self, registry: &str, identity: &[&[u8]]) -> Proof {
        Proof::Credentials(self.0.salt.fingerprint(registry, identity))
    }

    /// Does something where a thread may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: String,
        work: impl FnOnce(&Inner) -> Result<T, StoreErrorKind> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        let done = spawn_blocking(move || work(&inner)).await;
        let done = done.unwrap_or_else(|error| Err(StoreErrorKind::Io(error.into())));
        done.map_err(|kind| self.error(doing, kind))
    }

    fn error(&self, doing: String, kind: StoreErrorKind) -> StoreError {
        StoreError::new(doing, self.folder(), kind)
    }
}

fn reading(digest: &Digest) -> String {
    format!("read the blob `{digest}`")
}
