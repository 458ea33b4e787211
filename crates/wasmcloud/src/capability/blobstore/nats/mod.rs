//! Blobs in object stores of a NATS server with JetStream, in the form that other programs know.
//!
//! Every container is a bucket of its own, with a name that none has had before. Which bucket a container has now, an **index** says:
//! one small stream for each tenant, in the form of a key-value bucket. So who deletes a container takes all of it away at once, and
//! whoever still writes to it cannot meet its successor of the same name.

mod leases;
mod listing;
mod meta;
mod names;
mod place;
mod reading;
mod server;
#[cfg(test)]
mod tests;
mod writing;

use std::sync::Arc;
use std::time::SystemTime;

use async_nats::jetstream::stream::Config;
use async_trait::async_trait;
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

pub(super) use self::place::NatsPlace;
pub(super) use self::server::Server;

use self::leases::{Doomed, Lease};
use self::meta::Meta;
use self::names::base64;
use self::server::stream_of;
use self::writing::NatsWriting;
use super::unbroken::Unbroken;
use super::{BlobError, Blobs, Name, Names, ObjectId, ObjectInfo, Range, Reading, Writing};
use crate::capability::budget::Budget;
use crate::capability::tenant::Tenant;

/// How many objects are deleted at once.
const DELETES: usize = 16;
/// How often somebody who reads looks again while others replace it.
const LOOKS: usize = 16;

/// What one tenant keeps on a server.
#[derive(Clone, Debug)]
pub(super) struct Nats {
    server: Arc<Server>,
    tenant: String,
    /// What is kept in mind of lists that are open.
    held: Arc<Budget>,
}

/// Which bucket a container has.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    bucket: String,
    /// For people.
    name: String,
}

/// A container as it was found.
#[derive(Clone, Debug)]
struct Found {
    name: Name,
    bucket: String,
    /// Its place in the index.
    place: u64,
    created: SystemTime,
}

impl Found {
    /// What is kept of an object under.
    fn subject(&self, object: &Name) -> String {
        format!(
            "$O.{}.M.{}",
            self.bucket,
            base64(object.as_str().as_bytes())
        )
    }
}

/// An object as it was found.
struct Object {
    meta: Meta,
    /// Its place in the stream.
    place: u64,
    created: SystemTime,
}

impl Object {
    fn chunks(&self) -> Doomed {
        Doomed::Chunks {
            bucket: self.meta.bucket.clone(),
            nuid: self.meta.nuid.clone(),
        }
    }
}

impl Nats {
    /// What a tenant keeps. `held` is for what is kept in mind of lists that are open.
    pub(super) fn new(server: Arc<Server>, tenant: &Tenant, held: Arc<Budget>) -> Self {
        Self {
            server,
            tenant: format!("blobs__{}", names::tenant(tenant)),
            held,
        }
    }

    fn index(&self) -> String {
        format!("KV_{}", self.tenant)
    }

    fn entry(&self, container: &Name) -> String {
        let container = base64(container.as_str().as_bytes());
        format!("$KV.{}.{container}", self.tenant)
    }

    /// The container that there is now.
    async fn found(&self, container: &Name) -> Result<Found, BlobError> {
        let entry = self.entry(container);
        let entry = self.server.last(&self.index(), &entry).await?;
        let entry = entry.ok_or(BlobError::NoSuchContainer)?;
        let damaged = |_| BlobError::Other("the entry of the container is damaged".to_owned());
        let Entry { bucket, .. } = serde_json::from_slice(&entry.payload).map_err(damaged)?;
        Ok(Found {
            name: container.clone(),
            bucket,
            place: entry.sequence,
            created: entry.time.into(),
        })
    }

    /// Whether a container is still the one that was found.
    async fn still(&self, found: &Found) -> Result<(), BlobError> {
        match self.found(&found.name).await?.bucket == found.bucket {
            true => Ok(()),
            false => Err(BlobError::NoSuchContainer),
        }
    }

    /// What there is of an object.
    async fn meta(&self, container: &Found, object: &Name) -> Result<Option<Object>, BlobError> {
        let (stream, subject) = (stream_of(&container.bucket), container.subject(object));
        let Some(message) = self.server.last(&stream, &subject).await? else {
            return Ok(None);
        };
        let damaged = |_| BlobError::Other("what is kept of the object is damaged".to_owned());
        let mut meta: Meta = serde_json::from_slice(&message.payload).map_err(damaged)?;
        // Whoever has written it, it is about this bucket.
        meta.bucket.clone_from(&container.bucket);
        Ok(Some(Object {
            meta,
            place: message.sequence,
            created: message.time.into(),
        }))
    }

    async fn object(&self, id: &ObjectId) -> Result<(Found, Object), BlobError> {
        let container = self.found(&id.container).await?;
        let object = self.meta(&container, &id.object).await?;
        let object = object.filter(|object| !object.meta.deleted);
        Ok((container, object.ok_or(BlobError::NoSuchObject)?))
    }

    async fn make_index(&self) -> Result<(), BlobError> {
        let subjects = vec![format!("$KV.{}.>", self.tenant)];
        let own = Config {
            max_messages_per_subject: 1,
            ..Config::default()
        };
        let about = "which object store each container of blobs has";
        self.server.make(&self.index(), subjects, about, own).await
    }

    /// Makes an empty bucket.
    async fn make_bucket(&self, container: &Name) -> Result<String, BlobError> {
        let bucket = format!("{}__{:032x}", self.tenant, fastrand::u128(..));
        let subjects = ["C", "M"].map(|part| format!("$O.{bucket}.{part}.>"));
        let own = Config {
            allow_direct: true,
            ..Config::default()
        };
        let stream = stream_of(&bucket);
        // For people: whoever lists buckets sees what they are for.
        let about: String = container.as_str().escape_debug().take(200).collect();
        self.server
            .make(&stream, subjects.into(), &about, own)
            .await?;
        Ok(bucket)
    }

    async fn remove(&self, container: &Found, object: &Name) -> Result<(), BlobError> {
        match self.meta(container, object).await? {
            Some(old) => self.remove_this(container, object, &old).await,
            None => Ok(()),
        }
    }

    /// Deletes an object as it was found; one that has taken its place stays.
    async fn remove_this(
        &self,
        container: &Found,
        object: &Name,
        old: &Object,
    ) -> Result<(), BlobError> {
        let (stream, subject) = (stream_of(&container.bucket), container.subject(object));
        self.server
            .purge(&stream, &subject, Some(old.place))
            .await?;
        self.server.forget(old.chunks()).await;
        Ok(())
    }

    /// Opens an object in a way that it stays what it is until it was read.
    async fn open(
        &self,
        id: &ObjectId,
        range: Range,
    ) -> Result<(Reading, Found, Object), BlobError> {
        for _ in 0..LOOKS {
            let container = self.found(&id.container).await?;
            let server = &self.server;
            let looking = Lease::look(&server.leases, &container.bucket, server.remover());
            let object = self.meta(&container, &id.object).await?;
            let object = object.filter(|object| !object.meta.deleted);
            let object = object.ok_or(BlobError::NoSuchObject)?;
            if let Some(lease) = looking.found(&object.meta.nuid) {
                let server = Arc::clone(server);
                let reading = reading::read(server, &object.meta, lease, range).await?;
                return Ok((reading, container, object));
            }
        }
        let told = "others replace it all the time";
        Err(BlobError::Unavailable(told.to_owned()))
    }

    /// Copies: the server has no way to, so the chunks come by here. `None`: onto itself, where there is nothing to do.
    async fn flow(
        &self,
        from: &ObjectId,
        to: &ObjectId,
    ) -> Result<Option<(Found, Object)>, BlobError> {
        let whole = Range {
            start: 0,
            end: u64::MAX,
        };
        let (mut reading, container, object) = self.open(from, whole).await?;
        let mut writing = self.write(to).await?;
        if from == to {
            return Ok(None);
        }
        while let Some(bytes) = reading.contents.try_next().await? {
            writing.write(bytes).await?;
        }
        writing.commit().await?;
        Ok(Some((container, object)))
    }

    fn names(&self, found: Found) -> Names {
        listing::list(self.clone(), found)
    }
}

#[async_trait]
impl Blobs for Nats {
    fn trouble(&self) -> Option<String> {
        self.server.trouble()
    }

    async fn create_container(&self, container: &Name) -> Result<(), BlobError> {
        match self.found(container).await {
            Ok(_) => return Err(BlobError::ContainerExists),
            Err(BlobError::NoSuchContainer) => {}
            Err(error) => return Err(error),
        }
        self.make_index().await?;
        let bucket = self.make_bucket(container).await?;
        let entry = Entry {
            name: container.as_str().to_owned(),
            bucket: bucket.clone(),
        };
        let entry = serde_json::to_vec(&entry)
            .map_err(|_| BlobError::Other("the container cannot be described".to_owned()))?;
        let subject = self.entry(container);
        match self.server.replace(subject, entry.into(), 0).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.server.forget(Doomed::Bucket(bucket)).await;
                Err(BlobError::ContainerExists)
            }
            // Whether it was taken, nobody knows: the bucket may be the container's.
            Err(error) => Err(error),
        }
    }

    async fn container_created(&self, container: &Name) -> Result<SystemTime, BlobError> {
        Ok(self.found(container).await?.created)
    }

    async fn delete_container(&self, container: &Name) -> Result<(), BlobError> {
        let found = match self.found(container).await {
            Ok(found) => found,
            Err(BlobError::NoSuchContainer) => return Ok(()),
            Err(error) => return Err(error),
        };
        let entry = self.entry(container);
        self.server
            .purge(&self.index(), &entry, Some(found.place))
            .await?;
        self.server.forget(Doomed::Bucket(found.bucket)).await;
        Ok(())
    }

    async fn clear(&self, container: &Name) -> Result<(), BlobError> {
        let found = self.found(container).await?;
        let names = self.names(found.clone());
        names
            .try_for_each_concurrent(DELETES, |name| {
                let found = &found;
                async move { self.remove(found, &Name::parse(name)?).await }
            })
            .await
    }

    async fn list(&self, container: &Name) -> Result<Names, BlobError> {
        Ok(self.names(self.found(container).await?))
    }

    async fn info(&self, object: &ObjectId) -> Result<ObjectInfo, BlobError> {
        let (_, object) = self.object(object).await?;
        Ok(ObjectInfo {
            created: object.created,
            size: object.meta.size,
        })
    }

    async fn read(&self, object: &ObjectId, range: Range) -> Result<Reading, BlobError> {
        Ok(self.open(object, range).await?.0)
    }

    async fn write(&self, object: &ObjectId) -> Result<Box<dyn Writing>, BlobError> {
        let found = self.found(&object.container).await?;
        let object = object.object.clone();
        Ok(Unbroken::around(NatsWriting::new(
            self.clone(),
            found,
            object,
        )))
    }

    async fn delete(&self, object: &ObjectId) -> Result<(), BlobError> {
        let found = self.found(&object.container).await?;
        self.remove(&found, &object.object).await
    }

    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        self.flow(from, to).await.map(drop)
    }

    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        match self.flow(from, to).await? {
            Some((container, old)) => self.remove_this(&container, &from.object, &old).await,
            None => Ok(()),
        }
    }
}
