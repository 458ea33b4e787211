//! A disk that has no room left, and has some again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::*;

/// A file on a disk that can be full.
#[derive(Debug)]
struct Filling {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Filling {
    fn room(&self) -> io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

type Locked<T> = Result<T, BackendError>;

impl StorageBackend for Filling {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.room()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.unlock_range(start, end)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_is_used_again_when_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let filling = Arc::clone(&full);
    let opener = move |path: &Path| {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false);
        Database::builder().create_with_backend(Filling {
            file: FileBackend::new(file.open(path)?)?,
            full: Arc::clone(&filling),
        })
    };
    let disk = Disk::open_by(Box::new(opener), folder.path().join("kv"), 1 << 30).await;
    let store = OnDisk {
        disk: Arc::new(disk.unwrap()),
        tenant: "t".into(),
    };
    let bucket = store.bucket("b");
    let mut acknowledged = 0;
    for _ in 0..3 {
        for _ in 0..5 {
            bucket.increment("n", 1, Sign::Any).await.unwrap();
            acknowledged += 1;
        }
        full.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let failed = bucket.increment("n", 1, Sign::Any).await;
            assert!(matches!(failed, Err(Fault::Unavailable(_))), "{failed:?}");
        }
        full.store(false, Ordering::SeqCst);
        let back = async {
            loop {
                match bucket.increment("n", 0, Sign::Any).await {
                    Ok(count) => return count,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let count = tokio::time::timeout(Duration::from_secs(60), back).await;
        // One that failed may have reached the disk after all, if only to be told of too late.
        let count = count.unwrap();
        assert!(count >= acknowledged, "{count} of {acknowledged}");
        acknowledged = count;
        let found = bucket.get("n").await.unwrap().unwrap();
        assert_eq!(found, count.to_string());
    }
}
