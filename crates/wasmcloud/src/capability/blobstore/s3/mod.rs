//! Blobs in a bucket on a server that speaks S3.
//!
//! A container is a small object that names its **generation**, and the keys of its objects begin with that. So who deletes a
//! container takes all of it away at once, and whoever still writes to it cannot meet its successor of the same name. What a deleted
//! one leaves is removed then, and where a host ended too early for that, when the container is created or deleted again.

mod keys;
mod place;
mod server;
mod sweep;
#[cfg(test)]
mod tests;
mod transport;
mod writing;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore as _,
    ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};
use serde::{Deserialize, Serialize};

pub(super) use self::place::S3Place;
pub(super) use self::server::Bucket;

use self::keys::Part;
use self::server::{fault, key};
use self::transport::{Refusal, SHORT};
use self::writing::S3Writing;
use super::unbroken::Unbroken;
use super::{
    BlobError, Blobs, Contents, Name, Names, ObjectId, ObjectInfo, Range, Reading, Writing, cause,
};
use crate::capability::budget::Budget;
use crate::capability::tenant::Tenant;

/// What the object of a container is called.
const MARKER: &str = ".container";
/// How large an object may be that the server copies in one request.
const LARGEST_COPY: u64 = 5 << 30;
/// How many names are asked for at once that a list has no room for.
const LOOKUPS: usize = 16;
/// How often somebody tries to create a container while others do, too.
const TRIES: usize = 4;

/// What one tenant keeps in a bucket.
#[derive(Clone, Debug)]
pub(super) struct S3 {
    bucket: Arc<Bucket>,
    home: String,
    /// What is held of objects that are being written.
    budget: Arc<Budget>,
    largest_copy: u64,
}

/// What the object of a container says.
#[derive(Debug, Deserialize, Serialize)]
struct Marker {
    generation: String,
    /// For people: the key may hold only a digest.
    name: String,
}

/// A container as it was found.
#[derive(Clone, Debug)]
struct Found {
    /// What the key of its object begins with.
    folder: String,
    generation: String,
    created: SystemTime,
}

impl Found {
    /// What the keys of its objects begin with.
    fn home(&self) -> String {
        format!("{}{}/", self.folder, self.generation)
    }
}

impl S3 {
    /// What a tenant keeps. `budget` is for what is held of objects that are being written.
    pub(super) fn new(bucket: Arc<Bucket>, tenant: &Tenant, budget: Arc<Budget>) -> Self {
        let home = format!("{}{tenant}/", bucket.prefix());
        Self {
            bucket,
            home,
            budget,
            largest_copy: LARGEST_COPY,
        }
    }

    fn folder(&self, container: &Name) -> String {
        format!("{}{}/", self.home, keys::container(container).as_str())
    }

    /// The container that there is now.
    async fn found(&self, container: &Name) -> Result<Found, BlobError> {
        self.found_in(self.folder(container)).await
    }

    async fn found_in(&self, folder: String) -> Result<Found, BlobError> {
        let marker = key(&format!("{folder}{MARKER}"))?;
        let damaged = BlobError::Other("the object of the container is damaged".to_owned());
        let (created, marker) = self
            .note(&marker, &BlobError::NoSuchContainer, &damaged)
            .await?;
        let Marker { generation, .. } = serde_json::from_slice(&marker).map_err(|_| damaged)?;
        Ok(Found {
            folder,
            generation,
            created,
        })
    }

    /// A small object that says something of others, and when it was written. It is taken piece by piece: the library would make room
    /// at once for as much as the server announces.
    async fn note(
        &self,
        path: &Path,
        absent: &BlobError,
        damaged: &BlobError,
    ) -> Result<(SystemTime, Vec<u8>), BlobError> {
        let absent = |error: Error| fault(&error, absent.clone());
        let got = self.bucket.store.get(path).await.map_err(absent)?;
        if got.meta.size > SHORT as u64 {
            return Err(damaged.clone());
        }
        let written = got.meta.last_modified.into();
        let mut pieces = got.into_stream();
        let mut note = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(absent)? {
            // The server may send more than it has announced.
            if note.len() + piece.len() > SHORT {
                return Err(damaged.clone());
            }
            note.extend_from_slice(&piece);
        }
        Ok((written, note))
    }

    /// Whether a container is still the one that was found.
    async fn still(&self, found: &Found) -> Result<(), BlobError> {
        let now = self.found_in(found.folder.clone()).await?;
        match now.generation == found.generation {
            true => Ok(()),
            false => Err(BlobError::NoSuchContainer),
        }
    }

    /// The key of an object. One that has no room for the name has it kept beside, before there is an object.
    async fn to_write(&self, found: &Found, object: &Name) -> Result<Path, BlobError> {
        let home = found.home();
        let part = keys::object(&home, object);
        if let Part::Digest(digest) = &part {
            let name = Bytes::copy_from_slice(object.as_str().as_bytes());
            let beside = beside(found, digest)?;
            let kept = self.bucket.store.put(&beside, name.into()).await;
            kept.map_err(|error| fault(&error, no_bucket()))?;
        }
        key(&format!("{home}{}", part.as_str()))
    }

    async fn head(&self, path: &Path) -> Result<ObjectMeta, BlobError> {
        let head = self.bucket.store.head(path).await;
        head.map_err(|error| fault(&error, BlobError::NoSuchObject))
    }

    async fn get(&self, path: &Path, range: Range) -> Result<Option<GetResult>, BlobError> {
        let whole = range.start == 0 && range.end == u64::MAX;
        // No number that a server could not read.
        let most = range.end.min(i64::MAX as u64);
        let options = GetOptions {
            range: (!whole).then(|| GetRange::Bounded(range.start.min(most - 1)..most)),
            ..GetOptions::default()
        };
        match self.bucket.contents.get_opts(path, options).await {
            Ok(got) => Ok(Some(got)),
            // It begins behind the end.
            Err(error) if cause::<Refusal>(&error).is_some() => {
                self.head(path).await?;
                Ok(None)
            }
            Err(error) => Err(fault(&error, BlobError::NoSuchObject)),
        }
    }

    /// Puts the object of a container in its place, if there is none. `None`: others are at it, too.
    async fn mark(&self, path: &Path, marker: &Marker) -> Result<Option<()>, BlobError> {
        let text = serde_json::to_vec(marker).map_err(|_| no_bucket())?;
        let text = PutPayload::from(text);
        let options = PutOptions::from(PutMode::Create);
        let error = match self
            .bucket
            .store
            .put_opts(path, text.clone(), options)
            .await
        {
            Ok(_) => return Ok(Some(())),
            Err(Error::AlreadyExists { .. }) => return Ok(None),
            Err(error) => error,
        };
        if cause::<Refusal>(&error).is_none() {
            return Err(fault(&error, no_bucket()));
        }
        // It does not know of conditions; those of this host come one after the other all the same.
        let put = self.bucket.store.put(path, text).await;
        put.map_err(|error| fault(&error, no_bucket()))?;
        Ok(Some(()))
    }

    async fn copy_to(&self, from: &ObjectId, to: &ObjectId) -> Result<Option<Path>, BlobError> {
        let source = self.found(&from.container).await?;
        let target = match from.container == to.container {
            true => source.clone(),
            false => self.found(&to.container).await?,
        };
        let home = source.home();
        let source = key(&format!(
            "{home}{}",
            keys::object(&home, &from.object).as_str()
        ))?;
        let size = self.head(&source).await?.size;
        if from == to {
            return Ok(None);
        }
        if size > self.largest_copy {
            self.flow(&source, target, to).await?;
            return Ok(Some(source));
        }
        let path = self.to_write(&target, &to.object).await?;
        let copied = self
            .bucket
            .store
            .copy_opts(&source, &path, CopyOptions::default());
        copied
            .await
            .map_err(|error| fault(&error, BlobError::NoSuchObject))?;
        self.settle(&target, &path).await?;
        Ok(Some(source))
    }

    /// Copies what is too large for one request through this host, a part at a time.
    async fn flow(&self, from: &Path, target: Found, to: &ObjectId) -> Result<(), BlobError> {
        let mut writing = S3Writing::new(self.clone(), target, to.object.clone());
        let whole = Range {
            start: 0,
            end: u64::MAX,
        };
        if let Some(got) = self.get(from, whole).await? {
            let mut contents = contents(got);
            while let Some(bytes) = contents.next().await {
                writing.write(bytes?).await?;
            }
        }
        Box::new(writing).commit().await
    }

    /// What was put in its place counts if its container is still there, else it goes.
    async fn settle(&self, target: &Found, path: &Path) -> Result<(), BlobError> {
        let settled = self.still(target).await;
        if settled == Err(BlobError::NoSuchContainer) {
            // What fails here is swept with the rest of the container.
            let _ = self.bucket.store.delete(path).await;
        }
        settled
    }

    /// The name that a key stands for.
    async fn name(&self, found: &Found, path: &Path) -> Result<String, BlobError> {
        let home = found.home();
        let part = path.as_ref().strip_prefix(&home).unwrap_or_default();
        if let Some(name) = keys::name_of(part) {
            return Ok(name.as_str().to_owned());
        }
        let damaged = BlobError::Other("the bucket holds what is no object".to_owned());
        if !keys::is_digest(part) {
            return Err(damaged);
        }
        let beside = beside(found, part)?;
        let (_, name) = self.note(&beside, &damaged, &damaged).await?;
        String::from_utf8(name).map_err(|_| damaged)
    }
}

/// Where a name is kept that its key has no room for. It goes with its container.
fn beside(found: &Found, digest: &str) -> Result<Path, BlobError> {
    key(&format!(
        "{}{}{}/{digest}",
        found.folder,
        found.generation,
        sweep::NAMES
    ))
}

fn no_bucket() -> BlobError {
    BlobError::Unavailable("its bucket is not there".to_owned())
}

/// What an answer brings. One that ends early is an error.
fn contents(got: GetResult) -> Contents {
    let length = got.range.end.saturating_sub(got.range.start);
    let state = (got.into_stream(), length);
    Box::pin(stream::try_unfold(state, |(mut stream, left)| async move {
        let short = || BlobError::Unavailable("its server has sent too little".to_owned());
        match stream.try_next().await {
            Ok(Some(bytes)) => {
                let left = left.checked_sub(bytes.len() as u64).ok_or_else(short)?;
                Ok(Some((bytes, (stream, left))))
            }
            Ok(None) if left == 0 => Ok(None),
            Ok(None) => Err(short()),
            Err(error) => Err(fault(&error, BlobError::NoSuchObject)),
        }
    }))
}

#[async_trait]
impl Blobs for S3 {
    fn trouble(&self) -> Option<String> {
        self.bucket.trouble()
    }

    async fn create_container(&self, container: &Name) -> Result<(), BlobError> {
        let folder = self.folder(container);
        let path = key(&format!("{folder}{MARKER}"))?;
        let marker = Marker {
            generation: format!("{:032x}", fastrand::u128(..)),
            name: container.as_str().to_owned(),
        };
        let first = self.bucket.creating.lock().await;
        for _ in 0..TRIES {
            match self.found_in(folder.clone()).await {
                // The answer to an earlier try may have been lost.
                Ok(found) if found.generation == marker.generation => return Ok(()),
                Ok(_) => return Err(BlobError::ContainerExists),
                Err(BlobError::NoSuchContainer) => {}
                Err(error) => return Err(error),
            }
            if self.mark(&path, &marker).await?.is_some() {
                // What is swept belongs to no container, whoever creates one meanwhile.
                drop(first);
                // What one of this name has left is none of the caller's business.
                let _ = self.sweep(&folder).await;
                return Ok(());
            }
        }
        let told = "others create and delete it at the same time";
        Err(BlobError::Unavailable(told.to_owned()))
    }

    async fn container_created(&self, container: &Name) -> Result<SystemTime, BlobError> {
        Ok(self.found(container).await?.created)
    }

    async fn delete_container(&self, container: &Name) -> Result<(), BlobError> {
        let folder = self.folder(container);
        let marker = key(&format!("{folder}{MARKER}"))?;
        match self.bucket.store.delete(&marker).await {
            Err(Error::NotFound { .. }) | Ok(()) => self.sweep(&folder).await,
            Err(error) => Err(fault(&error, no_bucket())),
        }
    }

    async fn clear(&self, container: &Name) -> Result<(), BlobError> {
        let found = self.found(container).await?;
        self.delete_all(&found.home()).await
    }

    async fn list(&self, container: &Name) -> Result<Names, BlobError> {
        let found = self.found(container).await?;
        let listed = self.bucket.store.list(Some(&key(&found.home())?));
        let (this, of) = (self.clone(), found.clone());
        let names = listed
            .map(move |listed| {
                let (this, of) = (this.clone(), of.clone());
                async move {
                    let listed = listed.map_err(|error| fault(&error, no_bucket()))?;
                    this.name(&of, &listed.location).await
                }
            })
            .buffered(LOOKUPS);
        // Where the container went meanwhile, the list is not whole.
        let this = self.clone();
        let whole = stream::once(async move { this.still(&found).await });
        let whole = whole.filter_map(|still| async { still.err().map(Err) });
        Ok(Box::pin(names.chain(whole)))
    }

    async fn info(&self, object: &ObjectId) -> Result<ObjectInfo, BlobError> {
        let head = self.head(&self.path(object).await?).await?;
        Ok(ObjectInfo {
            created: head.last_modified.into(),
            size: head.size,
        })
    }

    async fn read(&self, object: &ObjectId, range: Range) -> Result<Reading, BlobError> {
        let path = self.path(object).await?;
        Ok(match self.get(&path, range).await? {
            Some(got) => Reading {
                length: got.range.end.saturating_sub(got.range.start),
                contents: contents(got),
            },
            None => Reading {
                length: 0,
                contents: Box::pin(stream::empty()),
            },
        })
    }

    async fn write(&self, object: &ObjectId) -> Result<Box<dyn Writing>, BlobError> {
        let found = self.found(&object.container).await?;
        Ok(Unbroken::around(S3Writing::new(
            self.clone(),
            found,
            object.object.clone(),
        )))
    }

    async fn delete(&self, object: &ObjectId) -> Result<(), BlobError> {
        let path = self.path(object).await?;
        match self.bucket.store.delete(&path).await {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(fault(&error, BlobError::NoSuchObject)),
        }
    }

    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        self.copy_to(from, to).await.map(drop)
    }

    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        let Some(source) = self.copy_to(from, to).await? else {
            return Ok(());
        };
        let deleted = self.bucket.store.delete(&source).await;
        deleted.map_err(|error| fault(&error, BlobError::NoSuchObject))
    }
}

impl S3 {
    /// The key of an object that may be there.
    async fn path(&self, object: &ObjectId) -> Result<Path, BlobError> {
        let home = self.found(&object.container).await?.home();
        let part = keys::object(&home, &object.object);
        key(&format!("{home}{}", part.as_str()))
    }
}
