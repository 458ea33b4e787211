//! A file that is being written, in the folder for what is under way. It becomes an object when it is whole; dropped before
//! that, it is gone.

use crate::volume::{self, Kept, Outcome, told, under_way};
use crate::wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use crate::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// How much is copied at once.
const PIECE: u64 = 64 << 10;

/// The file.
pub(crate) struct Draft {
    file: Descriptor,
    path: String,
}

impl Draft {
    pub(crate) fn new() -> Outcome<Self> {
        let path = under_way()?;
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let rights = DescriptorFlags::READ | DescriptorFlags::WRITE;
        let file = volume::root()?
            .open_at(PathFlags::empty(), &path, flags, rights)
            .map_err(told)?;
        Ok(Self { file, path })
    }

    /// A stream of the host that writes it.
    pub(crate) fn writer(&self) -> Outcome<OutputStream> {
        self.file.write_via_stream(0).map_err(told)
    }

    /// Takes the bytes of another file, from one place to another. They do not pass through this component.
    pub(crate) fn take(&self, file: &Descriptor, start: u64, end: u64) -> Outcome<()> {
        let from = file.read_via_stream(start).map_err(told)?;
        splice(&from, &self.writer()?, end.saturating_sub(start))
    }

    /// What was written, to read. The file has no name any more.
    pub(crate) fn into_reader(self) -> Outcome<InputStream> {
        self.file.read_via_stream(0).map_err(told)
    }

    /// Puts it in the place of an object, which nobody sees before everything is on the disk.
    pub(crate) fn commit(self, object: &Kept) -> Outcome<()> {
        self.file.sync_data().map_err(told)?;
        object.place(&self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // There is none when it took its place.
        if let Ok(root) = volume::root() {
            let _ = root.unlink_file_at(&self.path);
        }
    }
}

fn splice(from: &InputStream, to: &OutputStream, mut left: u64) -> Outcome<()> {
    let failed = |error: StreamError| match error {
        StreamError::Closed => "the object ended before its end".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    };
    while left > 0 {
        left -= to.blocking_splice(from, left.min(PIECE)).map_err(failed)?;
    }
    to.blocking_flush().map_err(failed)
}
