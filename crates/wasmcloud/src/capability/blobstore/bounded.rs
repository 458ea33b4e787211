//! Limits around any backend: the size of an object, and how many streams are open at once.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::unbroken::Unbroken;
use super::{BlobError, Blobs, Name, Names, ObjectId, ObjectInfo, Range, Reading, Writing};

/// How much is allowed.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// How large an object may be, in bytes.
    pub(super) largest_object: Option<u64>,
    /// One permit for each stream that may be open: of the workload, and of the host.
    pub(super) streams: [Arc<Semaphore>; 2],
}

/// The streams that count for one that is open.
type Permits = [OwnedSemaphorePermit; 2];

impl Bounds {
    /// The right to have one more stream open.
    fn open(&self) -> Result<Permits, BlobError> {
        let [workload, host] = &self.streams;
        let permit = |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_owned();
        match (permit(workload), permit(host)) {
            (Ok(workload), Ok(host)) => Ok([workload, host]),
            _ => {
                let told = "too many streams of blobs are open; end some of them first";
                Err(BlobError::Quota(told.to_owned()))
            }
        }
    }
}

/// A backend within bounds.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: Arc<dyn Blobs>,
    bounds: Bounds,
}

impl Bounded {
    pub(super) fn new(inner: Arc<dyn Blobs>, bounds: Bounds) -> Self {
        Self { inner, bounds }
    }
}

#[async_trait]
impl Blobs for Bounded {
    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }

    async fn create_container(&self, container: &Name) -> Result<(), BlobError> {
        self.inner.create_container(container).await
    }

    async fn container_created(&self, container: &Name) -> Result<SystemTime, BlobError> {
        self.inner.container_created(container).await
    }

    async fn delete_container(&self, container: &Name) -> Result<(), BlobError> {
        self.inner.delete_container(container).await
    }

    async fn clear(&self, container: &Name) -> Result<(), BlobError> {
        self.inner.clear(container).await
    }

    async fn list(&self, container: &Name) -> Result<Names, BlobError> {
        let permits = self.bounds.open()?;
        let names = self.inner.list(container).await?;
        // Guests ask again after the end.
        let names = names.fuse().inspect(move |_| {
            let _held = &permits;
        });
        Ok(Box::pin(names))
    }

    async fn info(&self, object: &ObjectId) -> Result<ObjectInfo, BlobError> {
        self.inner.info(object).await
    }

    async fn read(&self, object: &ObjectId, range: Range) -> Result<Reading, BlobError> {
        let permits = self.bounds.open()?;
        let Reading { length, contents } = self.inner.read(object, range).await?;
        let contents = contents.fuse().inspect(move |_| {
            let _held = &permits;
        });
        let contents = Box::pin(contents);
        Ok(Reading { length, contents })
    }

    async fn write(&self, object: &ObjectId) -> Result<Box<dyn Writing>, BlobError> {
        let permits = self.bounds.open()?;
        Ok(Unbroken::around(BoundedWriting {
            inner: self.inner.write(object).await?,
            left: self.bounds.largest_object,
            largest: self.bounds.largest_object.unwrap_or(u64::MAX),
            _permits: permits,
        }))
    }

    async fn delete(&self, object: &ObjectId) -> Result<(), BlobError> {
        self.inner.delete(object).await
    }

    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        let _permits = self.bounds.open()?;
        self.inner.copy(from, to).await
    }

    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        // Where the backend cannot rename, it copies.
        let _permits = self.bounds.open()?;
        self.inner.rename(from, to).await
    }
}

/// A writer that stops at the largest size.
struct BoundedWriting {
    inner: Box<dyn Writing>,
    left: Option<u64>,
    largest: u64,
    _permits: Permits,
}

impl BoundedWriting {
    fn take(&mut self, bytes: usize) -> Result<(), BlobError> {
        let Some(left) = &mut self.left else {
            return Ok(());
        };
        let rest = left.checked_sub(bytes as u64).ok_or_else(|| {
            let told = format!("an object may have at most {} bytes", self.largest);
            BlobError::Quota(told)
        })?;
        *left = rest;
        Ok(())
    }
}

#[async_trait]
impl Writing for BoundedWriting {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.take(bytes.len())?;
        self.inner.write(bytes).await
    }

    async fn commit(self: Box<Self>) -> Result<(), BlobError> {
        self.inner.commit().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::conformance::{self, id, read_all, write_all};
    use super::super::filesystem::{Filesystem, Folder};
    use super::super::memory::Memory;
    use super::super::settings::testing::tenant;
    use super::*;
    use crate::capability::budget::Budget;

    fn bounded(largest_object: Option<u64>, streams: usize) -> Arc<dyn Blobs> {
        let bounds = Bounds {
            largest_object,
            streams: [streams, 100].map(|most| Arc::new(Semaphore::new(most))),
        };
        let memory = Arc::new(Memory::new(Budget::new(64 << 20)));
        Arc::new(Bounded::new(memory, bounds))
    }

    #[tokio::test]
    async fn within_its_bounds_it_is_the_backend() {
        conformance::whole(async |_| bounded(None, 100)).await;
    }

    #[tokio::test]
    async fn an_object_past_the_limit_is_refused_and_leaves_nothing() {
        let blobs = bounded(Some(5), 100);
        blobs
            .create_container(&id("c", "o").container)
            .await
            .unwrap();
        write_all(&blobs, "c", "o", b"12345").await.unwrap();
        let refused = write_all(&blobs, "c", "o", b"123456").await.unwrap_err();
        assert_eq!(refused.to_string(), "an object may have at most 5 bytes");
        assert_eq!(read_all(&blobs, "c", "o").await.unwrap(), b"12345");
    }

    #[tokio::test]
    async fn who_asks_again_after_the_end_is_told_that_it_is_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_owned()).unwrap();
        let files = Filesystem::open(Arc::new(folder), tenant("shop"), u64::MAX).await;
        let bounds = Bounds {
            largest_object: None,
            streams: [100, 100].map(|most| Arc::new(Semaphore::new(most))),
        };
        let blobs: Arc<dyn Blobs> = Arc::new(Bounded::new(Arc::new(files.unwrap()), bounds));
        blobs
            .create_container(&id("c", "o").container)
            .await
            .unwrap();
        write_all(&blobs, "c", "o", b"").await.unwrap();
        let whole = Range::inclusive(0, u64::MAX).unwrap();
        let mut contents = blobs.read(&id("c", "o"), whole).await.unwrap().contents;
        let mut names = blobs.list(&id("c", "o").container).await.unwrap();
        assert!(names.next().await.is_some());
        for _ in 0..2 {
            assert!(contents.next().await.is_none());
            assert!(names.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn who_copies_or_renames_counts_as_a_stream() {
        let blobs = bounded(None, 1);
        let (from, to) = (id("c", "o"), id("c", "p"));
        blobs.create_container(&from.container).await.unwrap();
        write_all(&blobs, "c", "o", b"12345").await.unwrap();
        let open = blobs.list(&from.container).await.unwrap();
        for refused in [blobs.copy(&from, &to).await, blobs.rename(&from, &to).await] {
            assert!(matches!(refused, Err(BlobError::Quota(_))), "{refused:?}");
        }
        drop(open);
        blobs.rename(&from, &to).await.unwrap();
        assert_eq!(read_all(&blobs, "c", "p").await.unwrap(), b"12345");
    }

    #[tokio::test]
    async fn streams_are_counted_as_long_as_they_are_open() {
        let blobs = bounded(None, 2);
        let (container, object) = (id("c", "o").container, id("c", "o"));
        blobs.create_container(&container).await.unwrap();
        write_all(&blobs, "c", "o", b"12345").await.unwrap();
        let whole = Range::inclusive(0, u64::MAX).unwrap();
        let one = blobs.read(&object, whole).await.unwrap();
        let two = blobs.list(&container).await.unwrap();
        let told = blobs.write(&object).await.map(drop).unwrap_err();
        assert!(matches!(told, BlobError::Quota(_)), "{told}");
        drop(one);
        let three = blobs.write(&object).await.unwrap();
        assert!(blobs.read(&object, whole).await.is_err());
        drop((two, three));
        assert_eq!(read_all(&blobs, "c", "o").await.unwrap(), b"12345");
    }
}
