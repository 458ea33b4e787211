//! What changes a volume: calls of `wasmtime-wasi`, each with the room it needs and the volume to itself.
//!
//! A call that was begun ends even if its guest does not wait for it, so that what it reserved is what it took. It runs on
//! descriptors of its own, outside the guest's store. Both versions of WASI share these bodies.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DirectoryEntry, ErrorCode, HostDescriptor as _, HostDirectoryEntryStream as _,
    OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynOutputStream, FsError, FsResult, StreamError};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::quota::Held;
use super::volume::{At, Room, Volume};

/// A descriptor of a guest, and the volume it belongs to.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) volume: Arc<Volume>,
    pub(super) descriptor: Descriptor,
}

/// A table that holds what one call needs.
#[derive(Default)]
struct Apart {
    table: ResourceTable,
    context: WasiFilesystemCtx,
}

impl Apart {
    fn add(&mut self, descriptor: Descriptor) -> FsResult<Resource<Descriptor>> {
        Ok(self.table.push(descriptor)?)
    }

    fn view(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView {
            ctx: &mut self.context,
            table: &mut self.table,
        }
    }
}

/// Names the same descriptor once more; the table has no use for the difference.
fn again(descriptor: &Resource<Descriptor>) -> Resource<Descriptor> {
    Resource::new_borrow(descriptor.rep())
}

/// Has it done when it is the workload's turn. It may go on when nobody waits for it any more, and counts until it is done.
async fn to_its_end<T: Send + 'static>(
    volume: Arc<Volume>,
    change: impl Future<Output = FsResult<T>> + Send + 'static,
) -> FsResult<T> {
    let work = volume.work().await;
    let ended = tokio::spawn(async move {
        let _work = work;
        change.await
    });
    let ended = ended.await;
    ended.unwrap_or_else(|error| Err(FsError::trap(error)))
}

fn shrunk(held: &mut Option<Held>) {
    if let Some(held) = held {
        held.shrunk();
    }
}

/// What failed has left everything where it was.
fn shrunk_if<T>(done: &FsResult<T>, held: &mut Option<Held>) {
    if done.is_ok() {
        shrunk(held);
    }
}

impl Place {
    /// The file, if it is one and may be written.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn writable(&self) -> Result<Arc<File>, ErrorCode> {
        match &self.descriptor {
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor),
            Descriptor::File(file) if file.perms == FsPerms::ReadOnly => {
                Err(ErrorCode::NotPermitted)
            }
            Descriptor::File(file) => Ok(Arc::clone(&file.file)),
        }
    }

    /// A folder may be read through any descriptor; only one with every right makes entries in it.
    fn may_grow(&self) -> Result<(), ErrorCode> {
        match &self.descriptor {
            Descriptor::File(_) => Err(ErrorCode::NotDirectory),
            Descriptor::Dir(dir) if dir.perms == FsPerms::ReadOnly => Err(ErrorCode::NotPermitted),
            Descriptor::Dir(_) => Ok(()),
        }
    }

    fn same_volume(&self, other: &Self) -> Result<(), ErrorCode> {
        if Arc::ptr_eq(&self.volume, &other.volume) {
            Ok(())
        } else {
            Err(ErrorCode::CrossDevice)
        }
    }

    pub(super) async fn create_directory(self, path: String) -> FsResult<()> {
        to_its_end(Arc::clone(&self.volume), async move {
            self.may_grow()?;
            let mut room = self.volume.entry(self.volume.hold().await).await?;
            let mut apart = Apart::default();
            let dir = apart.add(self.descriptor)?;
            room.after(apart.view().create_directory_at(dir, path).await)
        })
        .await
    }

    pub(super) async fn symlink(self, target: String, path: String) -> FsResult<()> {
        to_its_end(Arc::clone(&self.volume), async move {
            self.may_grow()?;
            let mut room = self.volume.entry(self.volume.hold().await).await?;
            let mut apart = Apart::default();
            let dir = apart.add(self.descriptor)?;
            room.after(apart.view().symlink_at(dir, target, path).await)
        })
        .await
    }

    pub(super) async fn link(
        self,
        flags: PathFlags,
        path: String,
        to: Self,
        new_path: String,
    ) -> FsResult<()> {
        to_its_end(Arc::clone(&self.volume), async move {
            self.same_volume(&to)?;
            to.may_grow()?;
            let mut room = self.volume.entry(self.volume.hold().await).await?;
            let mut apart = Apart::default();
            let (dir, to) = (apart.add(self.descriptor)?, apart.add(to.descriptor)?);
            room.after(apart.view().link_at(dir, flags, path, to, new_path).await)
        })
        .await
    }

    pub(super) async fn rename(self, path: String, to: Self, new_path: String) -> FsResult<()> {
        to_its_end(Arc::clone(&self.volume), async move {
            self.same_volume(&to)?;
            let mut held = self.volume.hold().await;
            let mut apart = Apart::default();
            let (dir, to) = (apart.add(self.descriptor)?, apart.add(to.descriptor)?);
            let renamed = apart.view().rename_at(dir, path, to, new_path).await;
            shrunk_if(&renamed, &mut held);
            renamed
        })
        .await
    }

    pub(super) async fn unlink(self, path: String) -> FsResult<()> {
        to_its_end(Arc::clone(&self.volume), async move {
            let mut held = self.volume.hold().await;
            let mut apart = Apart::default();
            let dir = apart.add(self.descriptor)?;
            let removed = apart.view().unlink_file_at(dir, path).await;
            shrunk_if(&removed, &mut held);
            removed
        })
        .await
    }

    pub(super) async fn remove_directory(self, path: String) -> FsResult<()> {
        to_its_end(Arc::clone(&self.volume), async move {
            let mut held = self.volume.hold().await;
            let mut apart = Apart::default();
            let dir = apart.add(self.descriptor)?;
            let removed = apart.view().remove_directory_at(dir, path).await;
            shrunk_if(&removed, &mut held);
            removed
        })
        .await
    }

    /// Writes a file or a folder to the disk; of a file, its content only where that is all that is wanted. It fails as well when
    /// something did that a stream had to write.
    pub(super) async fn sync(self, content_only: bool) -> FsResult<()> {
        if let Descriptor::File(file) = &self.descriptor
            && let Some(error) = self.volume.lost().take(&file.file)
        {
            return Err(error.into());
        }
        to_its_end(Arc::clone(&self.volume), async move {
            let mut apart = Apart::default();
            let descriptor = apart.add(self.descriptor)?;
            if content_only {
                apart.view().sync_data(descriptor).await
            } else {
                apart.view().sync(descriptor).await
            }
        })
        .await
    }

    /// Writes all of `bytes`, which a stream took, to a file that may be written, and gives the place behind them.
    ///
    /// # Errors
    /// When there is no room, or the disk fails. The next [`Place::sync`] of the file tells so as well.
    pub(super) async fn write(self, file: Arc<File>, at: At, bytes: Bytes) -> io::Result<At> {
        let volume = Arc::clone(&self.volume);
        let written = self.write_all(Arc::clone(&file), at, bytes).await;
        if let Err(error) = &written {
            volume.lost().add(&file, error);
        }
        written
    }

    async fn write_all(self, file: Arc<File>, at: At, bytes: Bytes) -> io::Result<At> {
        if at == At::End && !self.volume.is_limited() {
            // Programs of the machine may append to the same file, so its end is the operating system's to find.
            let _work = self.volume.work().await;
            append(self.descriptor, bytes).await?;
            return Ok(At::End);
        }
        self.volume.write(file, at, bytes).await
    }

    /// Opens a path. What is opened is known to the volume before anybody else may remove it.
    pub(super) async fn open(
        self,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Descriptor> {
        to_its_end(Arc::clone(&self.volume), async move {
            let mut held = self.volume.hold().await;
            let mut apart = Apart::default();
            let dir = apart.add(self.descriptor.clone())?;
            let makes_entry =
                open_flags.contains(OpenFlags::CREATE) && self.volume.is_limited() && {
                    self.may_grow()?;
                    let (dir, path) = (again(&dir), path.clone());
                    apart.view().stat_at(dir, path_flags, path).await.is_err()
                };
            if open_flags.contains(OpenFlags::TRUNCATE) {
                shrunk(&mut held);
            }
            let mut room = if makes_entry {
                self.volume.entry(held).await?
            } else {
                Room::none(held)
            };
            let mut view = apart.view();
            let opened = view.open_at(dir, path_flags, path, open_flags, flags);
            let opened = room.after(opened.await)?;
            let opened = apart.table.delete(opened)?;
            self.volume.opened(&opened).map_err(|_| ErrorCode::Quota)?;
            Ok(opened)
        })
        .await
    }

    /// All entries of a folder. They are read at once: a listing that a guest leaves half read would otherwise keep a thread.
    pub(super) async fn list(self) -> FsResult<Vec<DirectoryEntry>> {
        let _work = self.volume.work().await;
        let mut apart = Apart::default();
        let dir = apart.add(self.descriptor)?;
        let stream = apart.view().read_directory(dir).await?;
        let mut entries = Vec::new();
        loop {
            let stream = Resource::new_borrow(stream.rep());
            match apart.view().read_directory_entry(stream).await? {
                Some(entry) => entries.push(entry),
                None => return Ok(entries),
            }
        }
    }
}

fn appender(file: Descriptor) -> FsResult<DynOutputStream> {
    let mut apart = Apart::default();
    let file = apart.add(file)?;
    let stream = apart.view().append_via_stream(file)?;
    Ok(apart.table.delete(stream)?)
}

async fn append(file: Descriptor, bytes: Bytes) -> io::Result<()> {
    let mut stream = appender(file).map_err(|error| io::Error::other(error.to_string()))?;
    let written = stream.blocking_write_and_flush(bytes).await;
    written.map_err(|error| match error {
        StreamError::LastOperationFailed(error) => match error.downcast::<io::Error>() {
            Ok(error) => error,
            Err(error) => io::Error::other(error.to_string()),
        },
        error => io::Error::other(error.to_string()),
    })
}

/// Opens a folder below another one. However its path is swapped meanwhile, it cannot lead out of that.
pub(super) async fn open_below(root: Dir, below: PathBuf) -> io::Result<Dir> {
    if below.as_os_str().is_empty() {
        return Ok(root);
    }
    let not_text = || io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8");
    let below = below.to_str().ok_or_else(not_text)?.to_owned();
    let mut apart = Apart::default();
    let opened = async {
        let root = apart.add(Descriptor::Dir(root))?;
        let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
        let nothing = PathFlags::empty();
        let mut view = apart.view();
        let opened = view.open_at(root, nothing, below, OpenFlags::DIRECTORY, flags);
        let opened = opened.await?;
        FsResult::Ok(apart.table.delete(opened)?)
    };
    match opened.await {
        Ok(Descriptor::Dir(mut dir)) => {
            dir.open_mode = OpenMode::READ | OpenMode::WRITE;
            Ok(dir)
        }
        Ok(Descriptor::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
