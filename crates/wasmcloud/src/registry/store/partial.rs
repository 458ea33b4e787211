//! Downloads: one of a blob at a time, among all processes, and each goes on where the last one stopped.
//!
//! What is half there is kept apart for each repository: else somebody could have the last bytes of a blob added that they never
//! had the first ones of.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{StoreError, StoreErrorKind};
use super::folder::remove;
use super::lock::{self, Lockable};
use super::pin::Pin;
use super::{Inner, Store};
use crate::workload::{Digest, Reference};

/// How much is gathered before it is written.
const BATCH: usize = 256 << 10;
/// The pauses between two looks at what another process downloads.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// What there is to do for a blob.
#[derive(Debug)]
pub(crate) enum Download {
    /// Nothing: it is there.
    Present(Pin),
    /// It is to be downloaded, or the rest of it.
    Partial(Partial),
}

/// A blob of which not all is there. Nobody else downloads it meanwhile. Dropped, it is kept for the next one.
#[derive(Debug)]
pub(crate) struct Partial {
    store: Store,
    digest: Digest,
    size: u64,
    len: u64,
    pending: Vec<Bytes>,
    pending_len: usize,
    writing: Writing,
}

/// Where the file is.
#[derive(Debug)]
enum Writing {
    /// Here.
    Here(Box<Writer>),
    /// With a thread that writes while more comes.
    There(JoinHandle<Result<Box<Writer>, StoreErrorKind>>),
    /// Nowhere: something failed.
    Failed,
}

impl Partial {
    /// How many bytes are there, and the state of a hash that has seen them, before anything is written. None if it has failed.
    pub(crate) fn begun(&self) -> Option<(u64, Sha256)> {
        match &self.writing {
            Writing::Here(writer) => Some((self.len, writer.hasher.clone())),
            Writing::There(_) | Writing::Failed => None,
        }
    }

    /// Takes the next bytes. What is more than the size ends the download, and nothing of it is kept.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let found = self.len.saturating_add(bytes.len() as u64);
        if found > self.size {
            let wanted = self.size;
            let discarded = self
                .with_writer(|writer| writer.discard().map(|()| None))
                .await;
            return discarded.and(Err(self.error(StoreErrorKind::WrongSize { wanted, found })));
        }
        self.len = found;
        self.pending_len += bytes.len();
        self.pending.push(bytes);
        if self.pending_len < BATCH {
            return Ok(());
        }
        let mut writer = self.writer().await?;
        let (pending, store) = (self.take_pending(), self.store.clone());
        self.writing = Writing::There(spawn_blocking(move || {
            writer.append(&store.0, &pending)?;
            Ok(writer)
        }));
        Ok(())
    }

    /// Begins again, for a server that sends everything from the start.
    pub(crate) async fn restart(&mut self) -> Result<(), StoreError> {
        self.take_pending();
        self.len = 0;
        self.with_writer(|mut writer| {
            writer.empty()?;
            Ok(Some(writer))
        })
        .await
    }

    /// Checks that it is what was wanted, and makes it a blob. If bytes are missing, what is there is kept for the next download;
    /// if they are others, it is not.
    pub(crate) async fn commit(mut self) -> Result<Pin, StoreError> {
        let writer = self.writer().await?;
        let (pending, digest) = (self.take_pending(), self.digest);
        let finish = move |inner: &Inner| writer.finish(inner, &pending, &digest);
        self.store.blocking(keeping(&digest), finish).await
    }

    /// Breaks off. What came is kept for the next download, as far as there is room for what nobody goes on with.
    pub(crate) async fn leave(mut self) {
        let Ok(writer) = self.writer().await else {
            return;
        };
        let pending = self.take_pending();
        let leave = move |inner: &Inner| writer.leave(inner, &pending);
        if let Err(error) = self.store.blocking(keeping(&self.digest), leave).await {
            tracing::debug!(%error, "what came of a download is not kept");
        }
    }

    /// Does something with the file where a thread may wait.
    async fn with_writer(
        &mut self,
        work: impl FnOnce(Box<Writer>) -> Result<Option<Box<Writer>>, StoreErrorKind> + Send + 'static,
    ) -> Result<(), StoreError> {
        let writer = self.writer().await?;
        let worked = spawn_blocking(move || work(writer)).await;
        let worked = worked.unwrap_or_else(|error| Err(StoreErrorKind::Io(error.into())));
        if let Some(writer) = worked.map_err(|kind| self.error(kind))? {
            self.writing = Writing::Here(writer);
        }
        Ok(())
    }

    /// The file, once what was given to it is written.
    async fn writer(&mut self) -> Result<Box<Writer>, StoreError> {
        if let Writing::There(thread) = &mut self.writing {
            // If we are dropped while we wait, the thread ends what it does and lets go of the file.
            let written = thread.await;
            self.writing = Writing::Failed;
            let written = written.unwrap_or_else(|error| Err(StoreErrorKind::Io(error.into())));
            self.writing = Writing::Here(written.map_err(|kind| self.error(kind))?);
        }
        match std::mem::replace(&mut self.writing, Writing::Failed) {
            Writing::Here(writer) => Ok(writer),
            Writing::There(_) | Writing::Failed => {
                let problem = io::Error::other("this download has failed already");
                Err(self.error(StoreErrorKind::Io(problem)))
            }
        }
    }

    fn take_pending(&mut self) -> Vec<Bytes> {
        self.pending_len = 0;
        std::mem::take(&mut self.pending)
    }

    fn error(&self, kind: StoreErrorKind) -> StoreError {
        self.store.error(keeping(&self.digest), kind)
    }
}

impl Store {
    /// Begins to download a blob of `size` bytes from the repository of the reference, or says that it is there already. It is
    /// there only if it came from that repository before: nobody gets a blob of others by the knowledge of its digest. While somebody
    /// else downloads it, in this process or another, they are waited for.
    pub(crate) async fn download(
        &self,
        digest: &Digest,
        size: u64,
        from: &Reference,
    ) -> Result<Download, StoreError> {
        let failed = |kind| self.error(keeping(digest), kind);
        self.0.check_size(size).map_err(failed)?;
        let waited = self.0.options.wait;
        let busy = || failed(StoreErrorKind::Busy { waited });
        let until = Instant::now() + waited;
        let name = name_of(digest, from);
        let turn = self.0.turns.of(name).lock_owned();
        let turn = Arc::new(timeout_at(until, turn).await.map_err(|_| busy())?);
        let mut pause = PAUSES.0;
        loop {
            let (digest, from, turn) = (*digest, from.clone(), Arc::clone(&turn));
            let wanted = Wanted { digest, size, from };
            let begin = move |inner: &Inner| inner.try_begin(&name, wanted, turn);
            match self.blocking(keeping(&digest), begin).await? {
                Tried::Present(pin) => return Ok(Download::Present(pin)),
                Tried::Begun(writer) => {
                    return Ok(Download::Partial(Partial {
                        store: self.clone(),
                        digest,
                        size,
                        len: writer.len,
                        pending: Vec::new(),
                        pending_len: 0,
                        writing: Writing::Here(writer),
                    }));
                }
                Tried::Busy if Instant::now() >= until => return Err(busy()),
                Tried::Busy => sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await,
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// The blobs that this process downloads: who wants the same one waits for their turn, and not for a lock of other processes.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, name: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let slot = turns.entry(name).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let turn = Arc::default();
            *slot = Arc::downgrade(&turn);
            turn
        })
    }
}

/// What is to be downloaded.
struct Wanted {
    digest: Digest,
    size: u64,
    from: Reference,
}

/// What became of a try to begin.
enum Tried {
    Present(Pin),
    Begun(Box<Writer>),
    Busy,
}

impl Inner {
    fn try_begin(
        &self,
        name: &Digest,
        wanted: Wanted,
        turn: Arc<OwnedMutexGuard<()>>,
    ) -> Result<Tried, StoreErrorKind> {
        if let Some(pin) = self.pin_from(&wanted.digest, &wanted.from)? {
            return Ok(Tried::Present(pin));
        }
        self.folder.restore()?;
        let path = self.folder.partials().join(name.hex());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        let file = Lockable::of(file);
        // Opened anew each time: what it leads to becomes the blob when it is whole.
        if !lock::try_exclusive(&file)? || !lock::is_at(&file, &path)? {
            return Ok(Tried::Busy);
        }
        if let Some(pin) = self.pin_from(&wanted.digest, &wanted.from)? {
            remove(&path)?;
            return Ok(Tried::Present(pin));
        }
        let mut writer = Box::new(Writer {
            path,
            file,
            hasher: Sha256::new(),
            len: 0,
            size: wanted.size,
            from: wanted.from,
            is_under_way: false,
            _turn: turn,
        });
        writer.go_on()?;
        self.make_room(writer.missing());
        Ok(Tried::Begun(writer))
    }
}

/// The file of a partial blob, locked. All of it blocks.
#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: Lockable,
    hasher: Sha256,
    len: u64,
    size: u64,
    from: Reference,
    /// Whether something was written since it was begun.
    is_under_way: bool,
    _turn: Arc<OwnedMutexGuard<()>>,
}

impl Writer {
    fn missing(&self) -> u64 {
        self.size.saturating_sub(self.len)
    }

    /// Hashes what was left there. If it cannot be the beginning, it begins again.
    fn go_on(&mut self) -> Result<(), StoreErrorKind> {
        let there = self.file.metadata()?.len();
        if there > self.size || self.hash(there).is_err() {
            self.empty()?;
        }
        Ok(())
    }

    fn hash(&mut self, there: u64) -> io::Result<()> {
        let mut buffer = vec![0; BATCH];
        while self.len < there {
            let read = self.file.read(&mut buffer)?;
            let Some(read) = buffer.get(..read).filter(|read| !read.is_empty()) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            self.hasher.update(read);
            self.len += read.len() as u64;
        }
        Ok(())
    }

    fn empty(&mut self) -> Result<(), StoreErrorKind> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hasher = Sha256::new();
        self.len = 0;
        Ok(())
    }

    fn append(&mut self, inner: &Inner, chunks: &[Bytes]) -> Result<(), StoreErrorKind> {
        if !std::mem::replace(&mut self.is_under_way, true) {
            // It may have waited long for its turn, and others have left theirs meanwhile.
            inner.make_room(self.missing());
        }
        for chunk in chunks {
            if let Err(error) = self.file.write_all(chunk) {
                return Err(give_room(&self.path, error.into()));
            }
            self.hasher.update(chunk);
            self.len += chunk.len() as u64;
        }
        Ok(())
    }

    fn discard(&self) -> Result<(), StoreErrorKind> {
        Ok(remove(&self.path)?)
    }

    fn leave(mut self, inner: &Inner, pending: &[Bytes]) -> Result<(), StoreErrorKind> {
        let mut left = self.append(inner, pending);
        if self.len == 0 {
            left = left.and_then(|()| self.discard());
        }
        // Nobody is at it from now on.
        drop(self);
        inner.make_room(0);
        left
    }

    fn finish(
        mut self,
        inner: &Inner,
        pending: &[Bytes],
        wanted: &Digest,
    ) -> Result<Pin, StoreErrorKind> {
        self.append(inner, pending)?;
        if self.len != self.size {
            let (wanted, found) = (self.size, self.len);
            return Err(StoreErrorKind::WrongSize { wanted, found });
        }
        let found = Digest::from_bytes(self.hasher.finalize().into());
        if found != *wanted {
            remove(&self.path)?;
            let wanted = *wanted;
            return Err(StoreErrorKind::WrongDigest { wanted, found });
        }
        let placed = inner.place(&self.path, self.file, wanted, &self.from);
        placed.map_err(|kind| give_room(&self.path, kind))
    }
}

/// What filled the disk is not left there for somebody who might want to go on.
fn give_room(path: &Path, kind: StoreErrorKind) -> StoreErrorKind {
    if let StoreErrorKind::Full(_) = kind
        && let Err(error) = remove(path)
    {
        tracing::warn!(path = %path.display(), %error, "an unfinished download cannot be removed from the full disk");
    }
    kind
}

/// What a partial blob is called: it says nothing of where it comes from.
pub(super) fn name_of(digest: &Digest, from: &Reference) -> Digest {
    let source = format!("{}/{}@{digest}", from.registry(), from.repository());
    Digest::of(source.as_bytes())
}

fn keeping(digest: &Digest) -> String {
    format!("keep the blob `{digest}`")
}
