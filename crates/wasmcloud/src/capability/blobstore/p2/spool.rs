//! Where contents wait whose destination is not known yet: a little in memory, the rest in a file without a name.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::capability::blobstore::{BlobError, PIECE};
use crate::capability::budget::{Budget, Room};

/// How much of one value waits in memory.
const IN_MEMORY: usize = 1 << 20;

/// Where the values of a workload wait. What it reads at once takes of the same room.
pub(in super::super) struct Spool {
    /// `None`: where the system has its temporary files.
    folder: Option<PathBuf>,
    budget: Arc<Budget>,
    values: Arc<Semaphore>,
}

impl Spool {
    /// Files are made in the folder, if it is there. The budget is for the bytes of all values, the semaphore for how many values
    /// there are.
    pub(in super::super) fn new(
        folder: Option<PathBuf>,
        budget: Arc<Budget>,
        values: Arc<Semaphore>,
    ) -> Self {
        Self {
            folder,
            budget,
            values,
        }
    }

    /// The right to one more value.
    pub(super) fn open(&self) -> Result<OwnedSemaphorePermit, BlobError> {
        let permit = Arc::clone(&self.values).try_acquire_owned();
        permit.map_err(|_| BlobError::Quota("too many values are being written".to_owned()))
    }

    /// Room for what a guest reads at once.
    pub(super) fn room(&self) -> Room {
        self.budget.room()
    }

    /// Room for one value.
    pub(super) fn spooled(&self) -> Spooled {
        Spooled {
            folder: self.folder.clone(),
            room: self.budget.room(),
            few: BytesMut::new(),
            file: None,
            written: 0,
            read: 0,
        }
    }
}

/// What waits of one value.
pub(super) struct Spooled {
    folder: Option<PathBuf>,
    room: Room,
    /// What came last.
    few: BytesMut,
    /// What came before that.
    file: Option<Arc<File>>,
    written: u64,
    read: u64,
}

impl Spooled {
    /// Puts something behind what is there.
    pub(super) async fn push(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.room.grow(bytes.len() as u64)?;
        self.few.extend_from_slice(&bytes);
        if self.few.len() < IN_MEMORY {
            return Ok(());
        }
        let (file, folder) = (self.file.take(), self.folder.clone());
        let bytes = self.few.split().freeze();
        self.written += bytes.len() as u64;
        let written = spawn_blocking(move || -> io::Result<Arc<File>> {
            let file = match file {
                Some(file) => file,
                None => Arc::new(nameless(folder)?),
            };
            file.as_ref().write_all(&bytes)?;
            Ok(file)
        });
        self.file = Some(written.await??);
        Ok(())
    }

    /// Takes the next of what is there, from its beginning. Nothing is put in any more then.
    pub(super) async fn pop(&mut self) -> Result<Option<Bytes>, BlobError> {
        let length = (self.written - self.read).min(PIECE as u64);
        if let (Some(file), true) = (&self.file, length > 0) {
            let (file, start) = (Arc::clone(file), self.read);
            self.read += length;
            let read = spawn_blocking(move || -> io::Result<Bytes> {
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(PIECE)];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            });
            return Ok(Some(read.await??));
        }
        self.file = None;
        Ok(match self.few.is_empty() {
            true => None,
            false => Some(self.few.split().freeze()),
        })
    }
}

fn nameless(folder: Option<PathBuf>) -> io::Result<File> {
    match folder {
        Some(folder) if folder.is_dir() => tempfile::tempfile_in(folder),
        _ => tempfile::tempfile(),
    }
}
