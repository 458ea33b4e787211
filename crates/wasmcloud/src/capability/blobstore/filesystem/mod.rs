//! Blobs as files: a folder for each container, a file for each object. A change is a rename, so it has happened or it has not,
//! whatever becomes of the host.

mod change;
mod folder;
mod home;
mod listing;
mod names;
mod stream;

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

pub(super) use folder::Folder;
use home::Home;

use super::unbroken::Unbroken;
use super::{BlobError, Blobs, Name, Names, ObjectId, ObjectInfo, Range, Reading, Writing};
use crate::capability::budget::Budget;
use crate::capability::tenant::Tenant;
use names::path_of;

/// What one tenant keeps in a folder.
#[derive(Clone, Debug)]
pub(super) struct Filesystem {
    folder: Arc<Folder>,
    home: Arc<Home>,
}

impl Filesystem {
    /// Opens what a tenant keeps, which counts in a budget.
    ///
    /// # Errors
    /// When its folder cannot be made, or looked through.
    pub(super) async fn within(
        folder: Arc<Folder>,
        tenant: Tenant,
        budget: Arc<Budget>,
    ) -> io::Result<Self> {
        let opened = spawn_blocking(move || {
            let home = folder.home(&tenant, &budget)?;
            Ok(Self { folder, home })
        });
        opened.await.unwrap_or_else(|error| Err(error.into()))
    }

    /// The same with a budget of its own.
    #[cfg(test)]
    pub(super) async fn open(folder: Arc<Folder>, tenant: Tenant, most: u64) -> io::Result<Self> {
        Self::within(folder, tenant, Budget::new(most)).await
    }

    fn container(&self, container: &Name) -> PathBuf {
        self.home.path.join(path_of(container))
    }

    fn object(&self, id: &ObjectId) -> Place {
        let container = self.container(&id.container);
        let path = container.join(path_of(&id.object));
        Place { container, path }
    }

    /// Does something with it where a thread may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let this = self.clone();
        spawn_blocking(move || work(&this)).await?
    }
}

/// Where an object is, or would be.
#[derive(Clone, Debug)]
struct Place {
    container: PathBuf,
    path: PathBuf,
}

impl Place {
    fn metadata(&self) -> Result<Metadata, BlobError> {
        self.path.metadata().map_err(|error| self.explain(error))
    }

    fn open(&self) -> Result<File, BlobError> {
        File::open(&self.path).map_err(|error| self.explain(error))
    }

    /// Why something of an object failed: it is not there, or its container is not, or something else.
    fn explain(&self, error: io::Error) -> BlobError {
        match error.kind() {
            io::ErrorKind::NotFound => match container_metadata(&self.container) {
                Ok(_) => BlobError::NoSuchObject,
                Err(error) => error,
            },
            _ => error.into(),
        }
    }
}

/// A container as it was found: one that was deleted and made again is another.
#[derive(Debug)]
struct Found {
    metadata: Metadata,
    /// As long as it is open, no other one gets its number.
    _open: File,
}

impl Found {
    fn at(container: &Path) -> Result<Self, BlobError> {
        container_metadata(container)?;
        let open = File::open(container)?;
        let metadata = open.metadata()?;
        Ok(Self {
            metadata,
            _open: open,
        })
    }

    /// Whether it is still there.
    fn is_at(&self, container: &Path) -> Result<bool, BlobError> {
        let number = |of: &Metadata| (of.dev(), of.ino());
        Ok(number(&container_metadata(container)?) == number(&self.metadata))
    }
}

fn container_metadata(container: &Path) -> Result<Metadata, BlobError> {
    container.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BlobError::NoSuchContainer,
        _ => error.into(),
    })
}

#[async_trait]
impl Blobs for Filesystem {
    async fn create_container(&self, container: &Name) -> Result<(), BlobError> {
        let path = self.container(container);
        self.blocking(move |this| change::create(&this.home, &path))
            .await
    }

    async fn container_created(&self, container: &Name) -> Result<SystemTime, BlobError> {
        let path = self.container(container);
        let found = self.blocking(move |_| container_metadata(&path)).await?;
        // Not every disk knows when a folder was made.
        Ok(found.created().or_else(|_| found.modified())?)
    }

    async fn delete_container(&self, container: &Name) -> Result<(), BlobError> {
        let path = self.container(container);
        self.blocking(move |this| change::remove(&this.folder, &this.home, &path))
            .await
    }

    async fn clear(&self, container: &Name) -> Result<(), BlobError> {
        let path = self.container(container);
        self.blocking(move |this| listing::clear(&this.home, &path))
            .await
    }

    async fn list(&self, container: &Name) -> Result<Names, BlobError> {
        let path = self.container(container);
        self.blocking(move |_| listing::list(&path)).await
    }

    async fn info(&self, object: &ObjectId) -> Result<ObjectInfo, BlobError> {
        let place = self.object(object);
        let found = self.blocking(move |_| place.metadata()).await?;
        Ok(ObjectInfo {
            created: found.modified()?,
            size: found.len(),
        })
    }

    async fn read(&self, object: &ObjectId, range: Range) -> Result<Reading, BlobError> {
        let place = self.object(object);
        self.blocking(move |_| stream::read(place.open()?, range))
            .await
    }

    async fn write(&self, object: &ObjectId) -> Result<Box<dyn Writing>, BlobError> {
        let place = self.object(object);
        self.blocking(move |this| {
            let container = Found::at(&place.container)?;
            let room = this.home.object(&place)?;
            let file = this.folder.file()?;
            let home = Arc::clone(&this.home);
            let writer = stream::Writer::new(file, place, container, home, room);
            Ok(Unbroken::around(writer))
        })
        .await
    }

    async fn delete(&self, object: &ObjectId) -> Result<(), BlobError> {
        let place = self.object(object);
        self.blocking(move |this| change::delete(&this.home, &place))
            .await
    }

    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        let (from, to) = (self.object(from), self.object(to));
        self.blocking(move |this| change::copy(&this.folder, &this.home, &from, &to))
            .await
    }

    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        let (from, to) = (self.object(from), self.object(to));
        self.blocking(move |this| change::rename(&this.home, &from, &to))
            .await
    }
}

#[cfg(test)]
mod tests;
