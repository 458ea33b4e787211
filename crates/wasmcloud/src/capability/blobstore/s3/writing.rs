//! An object on its way to a bucket: small ones in one request, larger ones in parts, of which one is held.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use tokio::runtime::Handle;

use super::server::fault;
use super::{Found, S3, no_bucket};
use crate::capability::blobstore::{BlobError, Name, PIECE, Writing};
use crate::capability::budget::Room;

/// How large a part is, in bytes. Some servers want all but the last of one size.
pub(super) const PART: usize = 8 << 20;
/// How many parts an object may have, and from which one on they are larger: 62 GiB have passed by then.
const MOST_PARTS: usize = 10_000;
const GROWS: usize = 8_000;
/// How large those are. Objects can have 187 GiB so.
const LARGE_PART: usize = 64 << 20;

/// An object that is being written.
pub(super) struct S3Writing {
    to: S3,
    container: Found,
    object: Name,
    /// What has not been sent yet. Part after part is put together in the same memory.
    held: BytesMut,
    room: Room,
    counted: usize,
    upload: Option<Upload>,
}

/// Parts that the server keeps until they are put together, or it is told to forget them.
struct Upload {
    to: S3,
    path: Path,
    id: String,
    parts: Vec<PartId>,
    /// Nobody has to be told any more.
    done: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (to, path) = (self.to.clone(), self.path.clone());
        let id = std::mem::take(&mut self.id);
        runtime.spawn(async move {
            if let Err(error) = to.bucket.store.abort_multipart(&path, &id).await {
                let error = fault(&error, BlobError::NoSuchObject);
                if error != BlobError::NoSuchObject {
                    tracing::warn!(%error, "parts of an object that was not finished stay in their bucket of S3");
                }
            }
        });
    }
}

impl S3Writing {
    pub(super) fn new(to: S3, container: Found, object: Name) -> Self {
        Self {
            room: to.budget.room(),
            to,
            container,
            object,
            held: BytesMut::new(),
            counted: 0,
            upload: None,
        }
    }

    fn part_size(&self) -> usize {
        let parts = self.upload.as_ref().map_or(0, |upload| upload.parts.len());
        if parts < GROWS { PART } else { LARGE_PART }
    }

    /// Holds more until it is sent.
    fn hold(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let held = self.held.len() + bytes.len();
        // What was held once is needed again for the next part.
        if let Some(more) = held.checked_sub(self.counted).filter(|more| *more > 0) {
            self.room.grow(more as u64)?;
            self.counted = held;
        }
        if held > self.held.capacity().max(PIECE) {
            // It is large, so it will be a whole part.
            self.held.reserve(self.part_size() - self.held.len());
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is held as a part.
    async fn send(&mut self) -> Result<(), BlobError> {
        let part = std::mem::take(&mut self.held).freeze();
        // In pieces, so that nobody on the way has to take a whole part at once.
        let pieces = (0..part.len()).step_by(PIECE);
        let pieces = pieces.map(|at| part.slice(at..part.len().min(at + PIECE)));
        self.send_part(pieces.collect()).await?;
        // Nobody has it any more, unless the client is slow to let it go.
        if let Ok(mut memory) = part.try_into_mut() {
            memory.clear();
            self.held = memory;
        }
        Ok(())
    }

    async fn send_part(&mut self, payload: PutPayload) -> Result<(), BlobError> {
        let store = &self.to.bucket.store;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let path = self.to.to_write(&self.container, &self.object).await?;
                let id = store.create_multipart(&path).await;
                self.upload.insert(Upload {
                    to: self.to.clone(),
                    id: id.map_err(|error| fault(&error, no_bucket()))?,
                    path,
                    parts: Vec::new(),
                    done: false,
                })
            }
        };
        if upload.parts.len() >= MOST_PARTS {
            let told = "the store takes no object of this size".to_owned();
            return Err(BlobError::Quota(told));
        }
        let (path, id, index) = (&upload.path, &upload.id, upload.parts.len());
        let part = store.put_part(path, id, index, payload).await;
        // Who deletes a container takes its parts along.
        let part = part.map_err(|error| fault(&error, BlobError::NoSuchContainer))?;
        upload.parts.push(part);
        Ok(())
    }

    async fn put(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            let room = self.part_size().saturating_sub(self.held.len());
            let now = bytes.split_to(room.min(bytes.len()));
            self.hold(&now)?;
            if self.held.len() >= self.part_size() {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), BlobError> {
        if self.upload.is_none() {
            let path = self.to.to_write(&self.container, &self.object).await?;
            let payload = std::mem::take(&mut self.held).freeze().into();
            let put = self.to.bucket.store.put(&path, payload).await;
            put.map_err(|error| fault(&error, no_bucket()))?;
            return self.to.settle(&self.container, &path).await;
        }
        if !self.held.is_empty() {
            self.send().await?;
        }
        let Some(upload) = &mut self.upload else {
            return Err(no_bucket());
        };
        // Before that, nothing has to be taken away again.
        self.to.still(&self.container).await?;
        let parts = std::mem::take(&mut upload.parts);
        let store = &self.to.bucket.store;
        let done = store.complete_multipart(&upload.path, &upload.id, parts);
        done.await
            .map_err(|error| fault(&error, BlobError::NoSuchContainer))?;
        upload.done = true;
        self.to.settle(&self.container, &upload.path).await
    }
}

#[async_trait]
impl Writing for S3Writing {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.put(bytes).await
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BlobError> {
        self.finish().await
    }
}
