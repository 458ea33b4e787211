//! Deletes many objects: all of a container, or what containers of the past have left.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{Error, ObjectStore as _};

use super::server::{fault, key};
use super::transport::Refusal;
use super::{MARKER, S3, no_bucket};
use crate::capability::blobstore::{BlobError, cause};

/// Ends the generation in keys of names that have no room elsewhere.
pub(super) const NAMES: &str = ".names";
/// How many keys are looked at, and deleted, at once.
const BATCH: usize = 1000;

impl S3 {
    /// Deletes everything whose key begins so.
    pub(super) async fn delete_all(&self, home: &str) -> Result<(), BlobError> {
        let mut batches = self.batches(home)?;
        while let Some(batch) = batches.try_next().await? {
            self.delete_these(batch).await?;
        }
        Ok(())
    }

    /// Deletes what belongs to no container any more. A key that is listed belongs to one that was there before; if another one is
    /// there after that, or none, the one of the key will never come back.
    pub(super) async fn sweep(&self, folder: &str) -> Result<(), BlobError> {
        let mut batches = self.batches(folder)?;
        while let Some(batch) = batches.try_next().await? {
            let live = match self.found_in(folder.to_owned()).await {
                Ok(found) => Some(found.generation),
                Err(BlobError::NoSuchContainer) => None,
                Err(error) => return Err(error),
            };
            let dead = batch.into_iter().filter(|path| {
                let below = path.as_ref().strip_prefix(folder).unwrap_or_default();
                let of = below.split('/').next().unwrap_or_default();
                let of = of.strip_suffix(NAMES).unwrap_or(of);
                of != MARKER && live.as_deref() != Some(of)
            });
            self.delete_these(dead.collect()).await?;
        }
        Ok(())
    }

    fn batches(
        &self,
        home: &str,
    ) -> Result<impl futures::Stream<Item = Result<Vec<Path>, BlobError>> + Unpin + use<>, BlobError>
    {
        let listed = self.bucket.store.list(Some(&key(home)?));
        let listed = listed.map_ok(|found| found.location).chunks(BATCH);
        Ok(Box::pin(listed.map(|batch| {
            let batch: Result<Vec<Path>, Error> = batch.into_iter().collect();
            batch.map_err(|error| fault(&error, no_bucket()))
        })))
    }

    async fn delete_these(&self, paths: Vec<Path>) -> Result<(), BlobError> {
        if paths.is_empty() {
            return Ok(());
        }
        let all = |paths: Vec<Path>| stream::iter(paths.into_iter().map(Ok)).boxed();
        let deleted = self.bucket.bulk.delete_stream(all(paths.clone()));
        let deleted = match deleted.try_for_each(|_| async { Ok(()) }).await {
            // Not every server deletes several at once.
            Err(error) if cause::<Refusal>(&error).is_some() => {
                let single = self.bucket.store.delete_stream(all(paths));
                single.try_for_each(|_| async { Ok(()) }).await
            }
            deleted => deleted,
        };
        match deleted {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(fault(&error, no_bucket())),
        }
    }
}
