//! Contents out of a file and into one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::home::Home;
use super::{Found, Place, change};
use crate::capability::blobstore::{BlobError, PIECE, Range, Reading, Writing};
use crate::capability::budget::Room;

/// A range of a file. It is open from here on, so it stays what it is. Blocks, and what it gives does not.
pub(super) fn read(file: File, range: Range) -> Result<Reading, BlobError> {
    let range = range.within(file.metadata()?.len());
    let file = Arc::new(file);
    let contents = stream::try_unfold(range, move |range| {
        let file = Arc::clone(&file);
        async move {
            let length = range.length().min(PIECE as u64);
            if length == 0 {
                return Ok(None);
            }
            let read = spawn_blocking(move || read_piece(&file, range.start, length));
            let bytes = read.await??;
            let start = range.start + length;
            Ok(Some((bytes, Range { start, ..range })))
        }
    });
    Ok(Reading {
        length: range.length(),
        contents: Box::pin(contents),
    })
}

fn read_piece(file: &File, start: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(PIECE)];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes.into())
}

/// A file that becomes an object.
pub(super) struct Writer {
    /// `None` while it is being written to, and after that has failed.
    file: Option<NamedTempFile>,
    /// What is too little to be written yet.
    few: BytesMut,
    place: Place,
    container: Arc<Found>,
    home: Arc<Home>,
    /// What it takes.
    room: Room,
}

impl Writer {
    /// The room is for the object without content.
    pub(super) fn new(
        file: NamedTempFile,
        place: Place,
        container: Found,
        home: Arc<Home>,
        room: Room,
    ) -> Self {
        Self {
            file: Some(file),
            few: BytesMut::new(),
            place,
            container: Arc::new(container),
            home,
            room,
        }
    }

    fn take(&mut self) -> Result<NamedTempFile, BlobError> {
        let broken = || BlobError::Unavailable("it could not be written".to_owned());
        self.file.take().ok_or_else(broken)
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        let mut file = self.take()?;
        let written = spawn_blocking(move || -> io::Result<NamedTempFile> {
            file.as_file_mut().write_all(&bytes)?;
            Ok(file)
        });
        self.file = Some(written.await??);
        Ok(())
    }
}

#[async_trait]
impl Writing for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.room.grow(bytes.len() as u64)?;
        if self.few.is_empty() && bytes.len() >= PIECE {
            return self.put(bytes).await;
        }
        self.few.extend_from_slice(&bytes);
        match self.few.len() >= PIECE {
            true => {
                let bytes = self.few.split().freeze();
                self.put(bytes).await
            }
            false => Ok(()),
        }
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BlobError> {
        let (mut file, few) = (self.take()?, self.few.split());
        let Self {
            place,
            container,
            home,
            room,
            ..
        } = *self;
        let placed = spawn_blocking(move || {
            file.as_file_mut().write_all(&few)?;
            change::place(file, &place, &container, &home, room)
        });
        placed.await?
    }
}
