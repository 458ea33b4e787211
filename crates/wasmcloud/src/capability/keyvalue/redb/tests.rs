//! Who waits for whom; and a disk that has no room left, and has some again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt as _;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::super::limited::LISTINGS;
use super::super::listing::Mark;
use super::turns::{READS, WRITES};
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
    let store = OnDisk::of(&Arc::new(disk.unwrap()), "t".into());
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
        let count = tokio::time::timeout(PATIENCE, back).await;
        // One that failed may have reached the disk after all, if only to be told of too late.
        let count = count.unwrap();
        assert!(count >= acknowledged, "{count} of {acknowledged}");
        acknowledged = count;
        let found = bucket.get("n").await.unwrap().unwrap();
        assert_eq!(found, count.to_string());
    }
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn open(folder: &Path) -> Arc<Disk> {
    let disk = Disk::open(folder.join("kv"), 1 << 30).await;
    Arc::new(disk.unwrap())
}

fn everything() -> Wanted {
    Wanted::placed(Mark::of(&["b"]), None).unwrap()
}

/// Listings that were given up left threads behind, until there were none for anybody.
#[tokio::test]
async fn a_listing_has_its_turn_until_its_thread_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    let store = OnDisk::of(&disk, "t".into());
    assert!(Arc::ptr_eq(
        &store.turns,
        &OnDisk::of(&disk, "t".into()).turns
    ));
    let bucket = store.bucket("b");
    {
        let held = disk.file.slot();
        let mut listings = [(); LISTINGS + 1].map(|()| bucket.list(everything()));
        for listing in &mut listings {
            assert!(listing.now_or_never().is_none());
        }
        drop(listings);
        assert_eq!(store.turns.listings.available_permits(), 0);
        drop(held);
    }
    let ended = store.turns.listings.acquire_many(2);
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    drop(ended.unwrap().unwrap());
    bucket.list(everything()).await.unwrap();
}

#[tokio::test]
async fn a_tenant_has_no_more_threads_to_read_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    let store = OnDisk::of(&disk, "t".into());
    let bucket = store.bucket("b");
    {
        let held = disk.file.slot();
        let reads = (0..=READS).map(|_| bucket.exists("k"));
        for read in &mut reads.collect::<Vec<_>>() {
            assert!(read.now_or_never().is_none());
        }
        // Nobody waits for them any more, and the threads are still there.
        assert_eq!(store.turns.reads.available_permits(), 0);
        drop(held);
    }
    let ended = store.turns.reads.acquire_many(READS);
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    drop(ended.unwrap().unwrap());
    assert_eq!(bucket.exists("k").await, Ok(false));
}

/// Keeps the writer from going on until this is dropped.
fn held_up(disk: &Arc<Disk>) -> std::sync::mpsc::Sender<()> {
    let (ends, end) = std::sync::mpsc::channel();
    let address = Arc::new(Address::of("held", "up"));
    let hold = disk.writer.write(&address, move |_| {
        // Nothing is ever sent.
        Ok(end.recv().is_err())
    });
    assert!(Box::pin(hold).now_or_never().is_none());
    ends
}

/// One that asks for more and more has its turns, and then the others have theirs.
#[tokio::test]
async fn whoever_has_much_to_write_keeps_no_neighbour_waiting() {
    const MANY: usize = 2000;
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    let [busy, calm] = ["busy", "calm"].map(|it| OnDisk::of(&disk, it.into()).bucket("b"));
    let ends = held_up(&disk);
    let (asked, done) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let counting = (0..MANY).map(|_| {
        let (busy, asked, done) = (Arc::clone(&busy), Arc::clone(&asked), Arc::clone(&done));
        tokio::spawn(async move {
            asked.fetch_add(1, Ordering::SeqCst);
            busy.increment("n", 1, Sign::Any).await.unwrap();
            done.fetch_add(1, Ordering::SeqCst);
        })
    });
    let counting: Vec<_> = counting.collect();
    while asked.load(Ordering::SeqCst) < MANY {
        tokio::task::yield_now().await;
    }
    drop(ends);
    calm.increment("n", 1, Sign::Any).await.unwrap();
    let before = done.load(Ordering::SeqCst);
    assert!(before < MANY / 2, "{before} of {MANY} came before it");
    for count in counting {
        count.await.unwrap();
    }
    let all = i64::try_from(MANY).unwrap();
    assert_eq!(busy.increment("n", 0, Sign::Any).await, Ok(all));
}

/// A change keeps its turn until it is made, also where nobody waits for it any more; one that is large has several.
#[tokio::test]
async fn no_more_changes_of_a_tenant_wait_than_may() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    let store = OnDisk::of(&disk, "t".into());
    let bucket = store.bucket("b");
    let turns = &store.turns.writes;
    let ends = held_up(&disk);
    let large = Bytes::from(vec![0; 1 << 20]);
    let set = bucket.set("k", large, SetOptions::default());
    assert!(set.now_or_never().is_none());
    assert_eq!(turns.available_permits(), WRITES as usize - 5);
    for _ in 0..WRITES {
        let delete = bucket.delete("n");
        assert!(delete.now_or_never().is_none());
        // A task that never waits is not given everything that there is.
        tokio::task::yield_now().await;
    }
    assert_eq!(turns.available_permits(), 0);
    drop(ends);
    let next = tokio::time::timeout(PATIENCE, bucket.delete("n")).await;
    next.unwrap().unwrap();
    assert_eq!(bucket.exists("k").await, Ok(true));
    assert_eq!(turns.available_permits(), WRITES as usize);
}

#[tokio::test]
async fn a_listing_that_nobody_waits_for_goes_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    let bucket = OnDisk::of(&disk, "t".into()).bucket("b");
    bucket.increment("n", 1, Sign::Any).await.unwrap();
    let (left, address) = (CancellationToken::new(), Address::of("t", "b"));
    let list = || {
        let list = |shelf: &Reading<'_>| shelf.list(everything(), &left);
        disk.file.read(&address, list)
    };
    assert_eq!(list().unwrap().keys, ["n"]);
    left.cancel();
    assert!(list().is_err());
}

/// What a program of its own does that is this one, started again.
const ROLES: &str = "capability::keyvalue::redb::tests::roles";

mod roles {
    //! They are run by the tests beside them, which say where.
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn told(variable: &str) -> String {
        std::env::var(variable).unwrap()
    }

    async fn bucket(folder: &Path) -> Arc<dyn Bucket> {
        OnDisk::of(&open(folder).await, "t".into()).bucket("b")
    }

    /// Counts until it is killed, and says how far it is.
    #[tokio::test]
    #[ignore = "a test runs it"]
    async fn counter() {
        let folder = told("KEYVALUE_FOLDER");
        let bucket = bucket(folder.as_ref()).await;
        loop {
            let count = bucket.increment("n", 1, Sign::Any).await.unwrap();
            writeln!(io::stdout(), "\ncounted {count}").unwrap();
        }
    }

    /// A disk of little room, of which something else takes all now and then.
    struct Narrow {
        folder: PathBuf,
        is_limit: bool,
    }

    impl Narrow {
        fn other(&self) -> PathBuf {
            self.folder.join("other")
        }

        fn fill(&self) {
            if self.is_limit {
                let file = std::fs::metadata(self.folder.join("kv/keyvalue.redb"));
                return limit(&file.unwrap().len().to_string());
            }
            let mut other = File::create(self.other()).unwrap();
            let mut pieces = std::iter::repeat_with(|| other.write_all(&[1; 4096]));
            let full = pieces.find_map(Result::err).unwrap();
            assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        }

        fn empty(&self) {
            match self.is_limit {
                true => limit("unlimited"),
                false => std::fs::remove_file(self.other()).unwrap(),
            }
        }
    }

    /// How large files of this process may become.
    fn limit(bytes: &str) {
        let process = std::process::id().to_string();
        let mut prlimit = std::process::Command::new("prlimit");
        let limit = format!("--fsize={bytes}:");
        let done = prlimit.args(["--pid", &process, &limit]).status();
        assert!(done.unwrap().success());
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a test runs it"]
    async fn keeper_on_a_narrow_disk() {
        let narrow = Narrow {
            folder: told("KEYVALUE_FOLDER").into(),
            is_limit: told("KEYVALUE_ROOM") == "limit",
        };
        let bucket = bucket(&narrow.folder).await;
        let value = |n: usize| Bytes::from(vec![u8::try_from(n % 251).unwrap(); 50_000]);
        let mut kept = 0;
        for _ in 0..3 {
            let key = kept.to_string();
            let set = bucket.set(&key, value(kept), SetOptions::default());
            set.await.unwrap();
            kept += 1;
            narrow.fill();
            let fault = loop {
                let key = kept.to_string();
                match bucket.set(&key, value(kept), SetOptions::default()).await {
                    Ok(()) => kept += 1,
                    Err(fault) => break fault,
                }
            };
            assert!(matches!(fault, Fault::Unavailable(_)), "{fault:?}");
            narrow.empty();
            let back = async {
                while bucket.get("0").await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, back).await.unwrap();
            for n in 0..kept {
                let found = bucket.get(&n.to_string()).await.unwrap();
                assert_eq!(found, Some(value(n)), "{n} of {kept}");
            }
        }
        writeln!(io::stdout(), "\nkept {kept}").unwrap();
    }
}

fn role(name: &str) -> [String; 4] {
    let name = format!("{ROLES}::{name}");
    ["--exact", &name, "--ignored", "--nocapture"].map(str::to_owned)
}

/// It is killed in the middle of a change, again and again: what it was told is on the disk, is.
#[tokio::test]
async fn a_host_that_is_killed_loses_nothing_that_was_acknowledged() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for _ in 0..3 {
        let mut host = Command::new(std::env::current_exe().unwrap());
        host.args(role("counter"))
            .env("KEYVALUE_FOLDER", folder.path());
        let mut host = host.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(host.stdout.take().unwrap()).lines();
        let mut counts = lines.filter_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("counted ")?.parse::<i64>().ok()
        });
        counts.find(|count| *count >= before + 20).unwrap();
        host.kill().unwrap();
        host.wait().unwrap();
        // What it had said by then, though nobody had read it yet.
        let acknowledged = counts.last().unwrap_or(before + 20);
        let bucket = OnDisk::of(&open(folder.path()).await, "t".into()).bucket("b");
        before = bucket.increment("n", 0, Sign::Any).await.unwrap();
        let lost = acknowledged - before;
        assert!((-1..=0).contains(&lost), "{before} of {acknowledged}");
    }
}

/// On a real file system: one of memory where such can be mounted, else the folder for temporary files, where no file may grow.
#[test]
fn a_real_disk_that_is_full_loses_nothing_and_is_used_again_when_it_has_room() {
    use std::process::Command;
    /// A shell that goes on in a name space of its own, where it has mounted a small disk.
    const MOUNTED: &str =
        "mount -t tmpfs -o size=6m none \"$KEYVALUE_FOLDER\" || exit 77; exec \"$@\"";
    /// A shell that goes on so that a limit is an error, and no signal.
    const LIMITED: &str = "trap '' XFSZ; exec \"$@\"";
    let folder = tempfile::tempdir().unwrap();
    let run = |before: &[&str], script: &str, room: &str| {
        let program = std::env::current_exe().unwrap();
        let mut shell = Command::new(before.first().unwrap());
        shell.args(before.iter().skip(1)).args(["-c", script, "sh"]);
        shell.arg(program).args(role("keeper_on_a_narrow_disk"));
        shell
            .env("KEYVALUE_FOLDER", folder.path())
            .env("KEYVALUE_ROOM", room);
        shell.output()
    };
    let ways: [&[&str]; 2] = [
        &["unshare", "--mount", "sh"],
        &["unshare", "--map-root-user", "--mount", "sh"],
    ];
    let mounted = ways.into_iter().find_map(|way| {
        let output = run(way, MOUNTED, "disk").ok()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        told.contains("running 1 test").then_some(output)
    });
    let output = mounted.unwrap_or_else(|| run(&["sh"], LIMITED, "limit").unwrap());
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("\nkept "),
        "{told}\n{complained}"
    );
}
