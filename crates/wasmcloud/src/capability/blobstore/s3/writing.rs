//! An object on its way to a bucket: small ones in one request, larger ones in parts, of which one is held.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use tokio::runtime::Handle;

use super::server::fault;
use super::{Found, S3, no_bucket};
use crate::capability::blobstore::room::Room;
use crate::capability::blobstore::{BlobError, Name, PIECE, Writing};

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
    /// What has not been sent yet, in pieces that are written as they are.
    pieces: Vec<Bytes>,
    /// Small pieces are put together.
    few: BytesMut,
    held: usize,
    room: Room,
    counted: usize,
    upload: Option<Upload>,
    broken: bool,
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
            pieces: Vec::new(),
            few: BytesMut::new(),
            held: 0,
            counted: 0,
            upload: None,
            broken: false,
        }
    }

    fn part_size(&self) -> usize {
        let parts = self.upload.as_ref().map_or(0, |upload| upload.parts.len());
        if parts < GROWS { PART } else { LARGE_PART }
    }

    /// Holds more until it is sent.
    fn hold(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.held += bytes.len();
        // What was held once is needed again for the next part.
        if let Some(more) = self.held.checked_sub(self.counted).filter(|more| *more > 0) {
            self.room.grow(more as u64)?;
            self.counted = self.held;
        }
        if bytes.len() < PIECE {
            self.few.extend_from_slice(&bytes);
            if self.few.len() >= PIECE {
                self.pieces.push(self.few.split().freeze());
            }
            return Ok(());
        }
        if !self.few.is_empty() {
            self.pieces.push(self.few.split().freeze());
        }
        self.pieces.push(bytes);
        Ok(())
    }

    fn take(&mut self) -> PutPayload {
        if !self.few.is_empty() {
            self.pieces.push(self.few.split().freeze());
        }
        self.held = 0;
        std::mem::take(&mut self.pieces).into_iter().collect()
    }

    /// Sends what is held as a part.
    async fn send(&mut self) -> Result<(), BlobError> {
        let payload = self.take();
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
            let room = self.part_size().saturating_sub(self.held);
            let now = bytes.split_to(room.min(bytes.len()));
            self.hold(now)?;
            if self.held >= self.part_size() {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), BlobError> {
        if self.upload.is_none() {
            let path = self.to.to_write(&self.container, &self.object).await?;
            let payload = self.take();
            let put = self.to.bucket.store.put(&path, payload).await;
            put.map_err(|error| fault(&error, no_bucket()))?;
            return self.to.settle(&self.container, &path).await;
        }
        if self.held > 0 {
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
        if self.broken {
            return Err(broken());
        }
        // Also where nobody waits for the end of it.
        self.broken = true;
        self.put(bytes).await?;
        self.broken = false;
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BlobError> {
        match self.broken {
            true => Err(broken()),
            false => self.finish().await,
        }
    }
}

fn broken() -> BlobError {
    BlobError::Unavailable("it could not be written".to_owned())
}
