//! `wasi:filesystem/types` of WASI 0.2: reads go to `wasmtime-wasi`, changes through the volume.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, MetadataHashValue, NewTimestamp, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::change::Place;
use super::stream::{Output, Writer};
use super::volume::At;
use super::{FilesystemView, MOST_LISTINGS};

type Fd = Resource<Descriptor>;

impl FilesystemView<'_> {
    fn found(&self, fd: &Fd) -> FsResult<Place> {
        self.place(fd).map_err(FsError::trap)
    }

    fn stream(&mut self, place: Place, at: At) -> FsResult<Resource<DynOutputStream>> {
        let file = place.writable()?;
        let writer = Writer::new(place, file, at);
        let stream: DynOutputStream = Box::new(Output::new(writer));
        Ok(self.table.push(stream)?)
    }
}

impl types::Host for FilesystemView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.wasmtime(), error)
    }
}

/// What changes a volume.
impl types::HostDescriptor for FilesystemView<'_> {
    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        let place = self.found(&fd)?;
        let file = place.writable()?;
        Ok(place.volume.set_size(file, size).await?)
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let place = self.found(&fd)?;
        let file = place.writable()?;
        let length = bytes.len() as Filesize;
        let write = place
            .volume
            .write(file, At::Offset(offset), Bytes::from(bytes));
        write.await?;
        Ok(length)
    }

    fn write_via_stream(
        &mut self,
        fd: Fd,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let place = self.found(&fd)?;
        self.stream(place, At::Offset(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let place = self.found(&fd)?;
        self.stream(place, At::End)
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.found(&fd)?.create_directory(path).await
    }

    async fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        self.found(&fd)?.symlink(target, path).await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        let (from, to) = (self.found(&fd)?, self.found(&new_fd)?);
        from.link(flags, path, to, new_path).await
    }

    async fn rename_at(
        &mut self,
        fd: Fd,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        let (from, to) = (self.found(&fd)?, self.found(&new_fd)?);
        from.rename(path, to, new_path).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.found(&fd)?.unlink(path).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.found(&fd)?.remove_directory(path).await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let place = self.found(&fd)?;
        let volume = place.volume.clone();
        let opened = place.open(path_flags, path, open_flags, flags).await?;
        self.push(opened, volume).map_err(FsError::trap)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.forget(fd)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<DirectoryEntryStream>> {
        if self.files.listings.len() >= MOST_LISTINGS {
            return Err(ErrorCode::Quota.into());
        }
        let _work = self.found(&fd)?.volume.work().await;
        let stream = self.wasmtime().read_directory(fd).await?;
        self.files.listings.insert(stream.rep());
        Ok(stream)
    }

    async fn set_times(&mut self, fd: Fd, read: NewTimestamp, made: NewTimestamp) -> FsResult<()> {
        self.wasmtime().set_times(fd, read, made).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        read: NewTimestamp,
        made: NewTimestamp,
    ) -> FsResult<()> {
        let mut wasmtime = self.wasmtime();
        wasmtime.set_times_at(fd, flags, path, read, made).await
    }

    async fn advise(
        &mut self,
        fd: Fd,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.wasmtime().advise(fd, offset, length, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.found(&fd)?.sync(true).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.found(&fd)?.sync(false).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        self.wasmtime().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        self.wasmtime().get_type(fd).await
    }

    async fn read(
        &mut self,
        fd: Fd,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.wasmtime().read(fd, length, offset).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        self.wasmtime().read_via_stream(fd, offset)
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        self.wasmtime().stat(fd).await
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.wasmtime().stat_at(fd, flags, path).await
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.wasmtime().readlink_at(fd, path).await
    }

    async fn is_same_object(&mut self, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        self.wasmtime().is_same_object(fd, other).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<MetadataHashValue> {
        self.wasmtime().metadata_hash(fd).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.wasmtime().metadata_hash_at(fd, flags, path).await
    }
}

impl types::HostDirectoryEntryStream for FilesystemView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.wasmtime().read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.files.listings.remove(&stream.rep());
        types::HostDirectoryEntryStream::drop(&mut self.wasmtime(), stream)
    }
}
