//! Keys and values in one file of the host's data folder, for all tenants. What a call has said was written is on the disk, also if
//! the host is killed.
//!
//! A thread of its own writes: all changes that wait go into one transaction, so that they share what it costs to reach the disk. Of each
//! tenant, no more than a part of that waits.

mod tables;
#[cfg(test)]
mod tests;
mod turns;
mod writer;

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase as _};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::tables::{Address, Reading, Writing};
use self::turns::Turns;
use self::writer::Writer;
use super::complaint::Complaint;
use super::entries::{self, Shelf};
use super::listing::{Page, Wanted};
use super::{Bucket, Entry, Expected, Fault, SetOptions, Sign, Store, Swap};
use crate::capability::shared::Shared;
use crate::capability::tenant::Tenant;

/// How long to wait for a host that is just ending to let go of the file.
const HANDOVER: Duration = Duration::from_secs(3);
/// What is told of a file that another process has open.
const TAKEN: &str = "another host keeps its data in the same folder; give each one its own";
/// How much of the file is kept in memory.
const CACHE: usize = 64 << 20;

/// The file, and who writes it.
pub(crate) struct Disk {
    file: Arc<DiskFile>,
    writer: Writer,
    /// Those of the tenants that somebody has open.
    turns: Shared<Arc<str>, Turns>,
}

/// How a file is opened.
type Opener = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync>;

/// The file. After a fault of the disk it is closed, and opened again by whoever needs it next.
struct DiskFile {
    path: PathBuf,
    /// How much a tenant may keep.
    limit: u64,
    open: Mutex<Option<Arc<Database>>>,
    opener: Opener,
    complaint: Complaint,
}

impl Disk {
    /// Opens the file in a folder, or makes both.
    ///
    /// # Errors
    /// When it cannot be had, such as where another host has it open.
    pub(crate) async fn open(folder: PathBuf, limit: u64) -> Result<Self, Fault> {
        let opener = |path: &Path| Database::builder().set_cache_size(CACHE).create(path);
        Self::open_by(Box::new(opener), folder, limit).await
    }

    async fn open_by(opener: Opener, folder: PathBuf, limit: u64) -> Result<Self, Fault> {
        let file = Arc::new(DiskFile {
            path: folder.join("keyvalue.redb"),
            limit,
            open: Mutex::new(None),
            opener,
            complaint: Complaint::default(),
        });
        let until = Instant::now() + HANDOVER;
        loop {
            let opening = Arc::clone(&file);
            let opened = blocking(move || {
                make_folder(&opening.path).map_err(|it| unavailable(&it))?;
                opening.database().map(drop)
            });
            match opened.await {
                Err(Fault::Unavailable(told)) if told == TAKEN && Instant::now() < until => {
                    sleep(Duration::from_millis(20)).await;
                }
                opened => break opened?,
            }
        }
        let writer = Writer::start(Arc::clone(&file)).map_err(|error| unavailable(&error))?;
        Ok(Self {
            file,
            writer,
            turns: Shared::default(),
        })
    }

    /// What a tenant keeps in it.
    pub(crate) fn tenant(self: &Arc<Self>, tenant: &Tenant) -> OnDisk {
        OnDisk::of(self, tenant.to_string().into())
    }

    /// The turns of a tenant: the same for everybody who has it open.
    fn turns(&self, tenant: &Arc<str>) -> Arc<Turns> {
        self.turns.get(tenant, Arc::default)
    }
}

/// Makes the folder of a file, for its owner only.
fn make_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

impl DiskFile {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Database>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file.
    fn database(&self) -> Result<Arc<Database>, Fault> {
        let mut slot = self.slot();
        if let Some(open) = &*slot {
            return Ok(Arc::clone(open));
        }
        let opened = (self.opener)(&self.path).map_err(|error| self.fault(error))?;
        let opened = Arc::new(opened);
        tables::create(&opened).map_err(|error| self.fault(error))?;
        *slot = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn read<T>(
        &self,
        address: &Address,
        read: impl FnOnce(&Reading<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let transaction = self.database()?.begin_read();
        let transaction = transaction.map_err(|error| self.fault(error))?;
        read(&Reading::of(&transaction, self, address)?)
    }

    /// The file is of no use any more as it is open now.
    fn failed(&self, fault: &Fault) {
        if matches!(fault, Fault::Unavailable(_)) {
            *self.slot() = None;
        }
    }

    fn fault(&self, error: impl Into<redb::Error>) -> Fault {
        let fault = match error.into() {
            redb::Error::DatabaseAlreadyOpen => Fault::Unavailable(TAKEN.to_owned()),
            error => unavailable(&error),
        };
        self.complaint.about("the key-value store on disk", &fault);
        fault
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> Fault {
    Fault::Unavailable(error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Fault::Other(error.to_string())))
}

/// What one tenant keeps on disk.
pub(crate) struct OnDisk {
    disk: Arc<Disk>,
    tenant: Arc<str>,
    turns: Arc<Turns>,
}

impl OnDisk {
    fn of(disk: &Arc<Disk>, tenant: Arc<str>) -> Self {
        Self {
            disk: Arc::clone(disk),
            turns: disk.turns(&tenant),
            tenant,
        }
    }
}

impl Store for OnDisk {
    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(DiskBucket {
            disk: Arc::clone(&self.disk),
            address: Arc::new(Address::of(&self.tenant, name)),
            turns: Arc::clone(&self.turns),
        })
    }
}

struct DiskBucket {
    disk: Arc<Disk>,
    address: Arc<Address>,
    turns: Arc<Turns>,
}

impl DiskBucket {
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.turns.read().await;
        let file = Arc::clone(&self.disk.file);
        let address = Arc::clone(&self.address);
        blocking(move || {
            let _turn = turn;
            let done = file.read(&address, read);
            done.inspect_err(|fault| file.failed(fault))
        })
        .await
    }

    /// Carries out a change that brings so many bytes.
    async fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        change: impl FnOnce(&mut Writing<'_, '_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.turns.write(bytes).await;
        let change = self.disk.writer.write(&self.address, move |shelf| {
            let _turn = turn;
            change(shelf)
        });
        change.await
    }
}

#[async_trait]
impl Bucket for DiskBucket {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        let key = key.to_owned();
        self.read(move |shelf| Ok(shelf.look(&key)?.map(|held| held.value)))
            .await
    }

    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault> {
        let (key, bytes) = (key.to_owned(), value.len());
        self.change(bytes, move |shelf| entries::set(shelf, &key, value, how))
            .await
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        let key = key.to_owned();
        self.change(0, move |shelf| shelf.remove(&key)).await
    }

    async fn exists(&self, key: &str) -> Result<bool, Fault> {
        let key = key.to_owned();
        self.read(move |shelf| Ok(shelf.look(&key)?.is_some()))
            .await
    }

    async fn list(&self, wanted: Wanted) -> Result<Page, Fault> {
        let turn = self.turns.list().await;
        let left = CancellationToken::new();
        let _caller = left.clone().drop_guard();
        self.read(move |shelf| {
            let _turn = turn;
            shelf.list(wanted, &left)
        })
        .await
    }

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault> {
        let key = key.to_owned();
        let count = move |shelf: &mut Writing<'_, '_>| entries::increment(shelf, &key, delta, sign);
        self.change(0, count).await
    }

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault> {
        let key = key.to_owned();
        self.read(move |shelf| Ok(shelf.look(&key)?.map(Entry::from)))
            .await
    }

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault> {
        let (key, bytes) = (key.to_owned(), value.len());
        let swap = move |shelf: &mut Writing<'_, '_>| entries::swap(shelf, &key, value, &expected);
        self.change(bytes, swap).await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault> {
        let look = move |shelf: &Reading<'_>| {
            let look = |key: &String| Ok(shelf.look(key)?.map(|held| held.value));
            keys.iter().map(look).collect()
        };
        self.read(look).await
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault> {
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len());
        let bytes = bytes.sum();
        self.change(bytes, move |shelf| {
            entries::set_many(shelf, &mut pairs.as_slice())
        })
        .await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault> {
        let bytes = keys.iter().map(String::len).sum();
        self.change(bytes, move |shelf| entries::delete_many(shelf, &keys))
            .await
    }
}
