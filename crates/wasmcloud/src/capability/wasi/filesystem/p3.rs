//! `wasi:filesystem/types` of WASI 0.3: reads go to `wasmtime-wasi`, changes through the volume.

mod convert;
mod listing;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
    Filesize, HostDescriptorWithStore, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

use super::change::Place;
use super::stream::{Input, Writer};
use super::volume::At;
use super::{Filesystem, FilesystemView};
use crate::plugin::StoreData;
use convert::{descriptor_flags, error, open_flags, path_flags};

type Fd = Resource<Descriptor>;
type Done = FutureReader<Result<(), ErrorCode>>;
type Own = Accessor<StoreData, Filesystem>;
type Borrowed<'a> = Access<'a, StoreData, Filesystem>;

/// What answers where nothing changes.
fn wasmtime(store: &Own) -> Accessor<StoreData, WasiFilesystem> {
    store.with_getter::<WasiFilesystem>(|store| FilesystemView::of(store).into_wasmtime())
}

fn wasmtime_now<'a>(store: &'a mut Borrowed<'_>) -> Access<'a, StoreData, WasiFilesystem> {
    Access::new(store.as_context_mut(), |store| {
        FilesystemView::of(store).into_wasmtime()
    })
}

fn place(store: &Own, fd: &Fd) -> FilesystemResult<Place> {
    let place = store.with(|mut store| store.get().place(fd));
    place.map_err(FilesystemError::trap)
}

/// Waits until the workload may have one more thread blocked.
async fn work(store: &Own, fd: &Fd) -> FilesystemResult<Option<OwnedSemaphorePermit>> {
    let volume = place(store, fd)?.volume;
    Ok(volume.work().await)
}

/// Writes what a stream brings to a file.
fn write(
    mut store: Borrowed<'_>,
    place: Place,
    mut data: StreamReader<u8>,
    at: At,
) -> wasmtime::Result<Done> {
    let (result, told) = oneshot::channel();
    match place.writable() {
        Ok(file) => {
            let writer = Writer::new(place, file, at);
            data.pipe(&mut store, Input::new(writer, result))?;
        }
        Err(code) => {
            data.close(&mut store)?;
            // The other end is here, so somebody listens.
            let _ = result.send(Err(convert::code(code)));
        }
    }
    FutureReader::new(&mut store, told)
}

impl types::Host for FilesystemView<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl types::HostDescriptor for FilesystemView<'_> {
    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.forget(fd)
    }
}

impl HostDescriptorWithStore<StoreData> for Filesystem {
    async fn set_size(store: &Own, fd: Fd, size: Filesize) -> FilesystemResult<()> {
        let place = place(store, &fd)?;
        let file = place.writable().map_err(convert::code)?;
        let set = place.volume.set_size(file, size).await;
        Ok(set.map_err(ErrorCode::from)?)
    }

    fn write_via_stream(
        mut store: Borrowed<'_>,
        fd: Fd,
        data: StreamReader<u8>,
        offset: Filesize,
    ) -> wasmtime::Result<Done> {
        let place = store.get().place(&fd)?;
        write(store, place, data, At::Offset(offset))
    }

    fn append_via_stream(
        mut store: Borrowed<'_>,
        fd: Fd,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Done> {
        let place = store.get().place(&fd)?;
        write(store, place, data, At::End)
    }

    async fn create_directory_at(store: &Own, fd: Fd, path: String) -> FilesystemResult<()> {
        let made = place(store, &fd)?.create_directory(path);
        made.await.map_err(error)
    }

    async fn symlink_at(store: &Own, fd: Fd, target: String, path: String) -> FilesystemResult<()> {
        let made = place(store, &fd)?.symlink(target, path);
        made.await.map_err(error)
    }

    async fn link_at(
        store: &Own,
        fd: Fd,
        flags: PathFlags,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FilesystemResult<()> {
        let (from, to) = (place(store, &fd)?, place(store, &new_fd)?);
        let made = from.link(path_flags(flags), path, to, new_path);
        made.await.map_err(error)
    }

    async fn rename_at(
        store: &Own,
        fd: Fd,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FilesystemResult<()> {
        let (from, to) = (place(store, &fd)?, place(store, &new_fd)?);
        from.rename(path, to, new_path).await.map_err(error)
    }

    async fn unlink_file_at(store: &Own, fd: Fd, path: String) -> FilesystemResult<()> {
        place(store, &fd)?.unlink(path).await.map_err(error)
    }

    async fn remove_directory_at(store: &Own, fd: Fd, path: String) -> FilesystemResult<()> {
        let removed = place(store, &fd)?.remove_directory(path);
        removed.await.map_err(error)
    }

    async fn open_at(
        store: &Own,
        fd: Fd,
        flags: PathFlags,
        path: String,
        open: OpenFlags,
        mode: DescriptorFlags,
    ) -> FilesystemResult<Fd> {
        let place = place(store, &fd)?;
        let volume = place.volume.clone();
        let (flags, open, mode) = (path_flags(flags), open_flags(open), descriptor_flags(mode));
        let opened = place.open(flags, path, open, mode).await.map_err(error)?;
        let pushed = store.with(|mut store| store.get().push(opened, volume));
        pushed.map_err(FilesystemError::trap)
    }

    fn read_directory(
        store: Borrowed<'_>,
        fd: Fd,
    ) -> wasmtime::Result<(StreamReader<DirectoryEntry>, Done)> {
        listing::read_directory(store, &fd)
    }

    fn read_via_stream(
        mut store: Borrowed<'_>,
        fd: Fd,
        offset: Filesize,
    ) -> wasmtime::Result<(StreamReader<u8>, Done)> {
        WasiFilesystem::read_via_stream(wasmtime_now(&mut store), fd, offset)
    }

    async fn set_times(
        store: &Own,
        fd: Fd,
        read: NewTimestamp,
        made: NewTimestamp,
    ) -> FilesystemResult<()> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::set_times(&wasmtime(store), fd, read, made).await
    }

    async fn set_times_at(
        store: &Own,
        fd: Fd,
        flags: PathFlags,
        path: String,
        read: NewTimestamp,
        made: NewTimestamp,
    ) -> FilesystemResult<()> {
        let _work = work(store, &fd).await?;
        let store = wasmtime(store);
        WasiFilesystem::set_times_at(&store, fd, flags, path, read, made).await
    }

    async fn advise(
        store: &Own,
        fd: Fd,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FilesystemResult<()> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::advise(&wasmtime(store), fd, offset, length, advice).await
    }

    async fn sync_data(store: &Own, fd: Fd) -> FilesystemResult<()> {
        place(store, &fd)?.sync(true).await.map_err(error)
    }

    async fn sync(store: &Own, fd: Fd) -> FilesystemResult<()> {
        place(store, &fd)?.sync(false).await.map_err(error)
    }

    async fn get_flags(store: &Own, fd: Fd) -> FilesystemResult<DescriptorFlags> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::get_flags(&wasmtime(store), fd).await
    }

    async fn get_type(store: &Own, fd: Fd) -> FilesystemResult<DescriptorType> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::get_type(&wasmtime(store), fd).await
    }

    async fn stat(store: &Own, fd: Fd) -> FilesystemResult<DescriptorStat> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::stat(&wasmtime(store), fd).await
    }

    async fn stat_at(
        store: &Own,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FilesystemResult<DescriptorStat> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::stat_at(&wasmtime(store), fd, flags, path).await
    }

    async fn readlink_at(store: &Own, fd: Fd, path: String) -> FilesystemResult<String> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::readlink_at(&wasmtime(store), fd, path).await
    }

    async fn is_same_object(store: &Own, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        let store = wasmtime(store);
        HostDescriptorWithStore::<StoreData>::is_same_object(&store, fd, other).await
    }

    async fn metadata_hash(store: &Own, fd: Fd) -> FilesystemResult<MetadataHashValue> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::metadata_hash(&wasmtime(store), fd).await
    }

    async fn metadata_hash_at(
        store: &Own,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FilesystemResult<MetadataHashValue> {
        let _work = work(store, &fd).await?;
        WasiFilesystem::metadata_hash_at(&wasmtime(store), fd, flags, path).await
    }
}
