//! What guests do with containers and objects, the same for every dialect.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{BlobError, Blobs, Name, Names, ObjectId, ObjectInfo, Range, Reading, Writing};

/// How many names are deleted by one call.
const MOST_NAMES: usize = 100_000;

/// What an import leads to: everything that its tenant keeps.
#[derive(Clone, Debug)]
pub(super) struct Store(Arc<dyn Blobs>);

/// A container that a guest holds.
#[derive(Clone, Debug)]
#[allow(unreachable_pub, reason = "the bindings name it publicly")]
pub struct Container {
    store: Arc<dyn Blobs>,
    name: Name,
}

type Outcome<T> = Result<T, BlobError>;

impl Store {
    pub(super) fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self(blobs)
    }

    /// Why nothing can be had from it now.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    fn container(&self, name: Name) -> Container {
        let store = Arc::clone(&self.0);
        Container { store, name }
    }

    pub(super) async fn create(&self, name: String) -> Outcome<Container> {
        let name = Name::parse(name)?;
        self.0.create_container(&name).await?;
        Ok(self.container(name))
    }

    pub(super) async fn get(&self, name: String) -> Outcome<Container> {
        let name = Name::parse(name)?;
        self.0.container_created(&name).await?;
        Ok(self.container(name))
    }

    pub(super) async fn exists(&self, name: String) -> Outcome<bool> {
        match self.0.container_created(&Name::parse(name)?).await {
            Ok(_) => Ok(true),
            Err(BlobError::NoSuchContainer) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete(&self, name: String) -> Outcome<()> {
        self.0.delete_container(&Name::parse(name)?).await
    }

    pub(super) async fn copy(&self, from: [String; 2], to: [String; 2]) -> Outcome<()> {
        self.0.copy(&object(from)?, &object(to)?).await
    }

    pub(super) async fn rename(&self, from: [String; 2], to: [String; 2]) -> Outcome<()> {
        self.0.rename(&object(from)?, &object(to)?).await
    }
}

/// The object of a container and a name.
fn object([container, object]: [String; 2]) -> Outcome<ObjectId> {
    Ok(ObjectId {
        container: Name::parse(container)?,
        object: Name::parse(object)?,
    })
}

impl Container {
    pub(super) fn name(&self) -> String {
        self.name.as_str().to_owned()
    }

    fn object(&self, name: String) -> Outcome<ObjectId> {
        Ok(ObjectId {
            container: self.name.clone(),
            object: Name::parse(name)?,
        })
    }

    pub(super) async fn created(&self) -> Outcome<SystemTime> {
        self.store.container_created(&self.name).await
    }

    /// Both ends belong to the range.
    pub(super) async fn read(&self, name: String, start: u64, end: u64) -> Outcome<Reading> {
        let range = Range::inclusive(start, end)?;
        self.store.read(&self.object(name)?, range).await
    }

    pub(super) async fn write(&self, name: String) -> Outcome<Box<dyn Writing>> {
        self.store.write(&self.object(name)?).await
    }

    pub(super) async fn list(&self) -> Outcome<Names> {
        self.store.list(&self.name).await
    }

    /// Deletes one after the other, until one fails.
    pub(super) async fn delete(&self, names: Vec<String>) -> Outcome<()> {
        if names.len() > MOST_NAMES {
            let told = format!("at most {MOST_NAMES} objects are deleted at once");
            return Err(BlobError::Quota(told));
        }
        for name in names {
            self.store.delete(&self.object(name)?).await?;
        }
        Ok(())
    }

    pub(super) async fn has(&self, name: String) -> Outcome<bool> {
        match self.info(name).await {
            Ok(_) => Ok(true),
            Err(BlobError::NoSuchObject) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn info(&self, name: String) -> Outcome<ObjectInfo> {
        self.store.info(&self.object(name)?).await
    }

    pub(super) async fn clear(&self) -> Outcome<()> {
        self.store.clear(&self.name).await
    }
}

/// How long after the beginning of 1970.
pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
