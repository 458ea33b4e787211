//! The backend on real folders: beyond what every backend does, what is on the disk and what a crash leaves.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::fs;

use bytes::Bytes;
use futures::StreamExt as _;

use super::super::conformance::{self, id, name, read_all, write_all};
use super::super::settings::testing::tenant;
use super::*;

async fn opened(path: &Path, of: &str) -> Arc<dyn Blobs> {
    let folder = Arc::new(Folder::open(path.to_owned()).unwrap());
    Arc::new(Filesystem::open(folder, tenant(of), 1 << 30).await.unwrap())
}

/// Every file and folder below one, by its path from there.
fn all(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            let below = entry.strip_prefix(path).unwrap().to_str().unwrap();
            found.push(below.to_owned());
            if entry.is_dir() {
                open.push(entry);
            }
        }
    }
    found.sort();
    found
}

fn under_way(path: &Path) -> usize {
    fs::read_dir(path.join(".under-way")).unwrap().count()
}

#[tokio::test]
async fn it_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::whole(async |of| opened(dir.path(), of).await).await;
    assert_eq!(under_way(dir.path()), 0);
}

#[tokio::test]
async fn what_is_kept_is_there_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = opened(dir.path(), "shop").await;
    blobs.create_container(&name("../Photos")).await.unwrap();
    write_all(&blobs, "../Photos", "cats/1.jpeg", b"meow")
        .await
        .unwrap();
    drop(blobs);
    assert_eq!(
        all(dir.path()),
        [
            ".under-way",
            "default",
            "default/workload",
            "default/workload/shop",
            "default/workload/shop/%2e.%2f%50hotos",
            "default/workload/shop/%2e.%2f%50hotos/cats%2f1.jpeg",
        ]
    );
    let blobs = opened(dir.path(), "shop").await;
    let read = read_all(&blobs, "../Photos", "cats/1.jpeg").await;
    assert_eq!(read.unwrap(), b"meow");
}

#[tokio::test]
async fn a_crash_leaves_nothing_and_a_sweep_spares_who_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = opened(dir.path(), "shop").await;
    blobs.create_container(&name("c")).await.unwrap();
    let mut writing = blobs.write(&id("c", "o")).await.unwrap();
    writing.write(Bytes::from_static(b"at work")).await.unwrap();
    fs::write(dir.path().join(".under-way/new-crashed"), b"half").unwrap();
    fs::create_dir_all(dir.path().join(".under-way/gone-crashed/it/o")).unwrap();
    assert_eq!(under_way(dir.path()), 3);
    let again = opened(dir.path(), "shop").await;
    assert_eq!(under_way(dir.path()), 1);
    writing.commit().await.unwrap();
    assert_eq!(read_all(&again, "c", "o").await.unwrap(), b"at work");
    assert_eq!(under_way(dir.path()), 0);
}

#[tokio::test]
async fn steps_of_long_names_go_with_their_objects() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = opened(dir.path(), "shop").await;
    let (long, other) = ("x".repeat(1000), format!("{}y", "x".repeat(999)));
    blobs.create_container(&name(&long)).await.unwrap();
    let before = all(dir.path());
    write_all(&blobs, &long, &long, b"1").await.unwrap();
    write_all(&blobs, &long, &other, b"2").await.unwrap();
    blobs.delete(&id(&long, &long)).await.unwrap();
    assert_eq!(read_all(&blobs, &long, &other).await.unwrap(), b"2");
    blobs
        .rename(&id(&long, &other), &id(&long, "o"))
        .await
        .unwrap();
    blobs.clear(&name(&long)).await.unwrap();
    assert_eq!(all(dir.path()), before);
    blobs.delete_container(&name(&long)).await.unwrap();
    assert!(all(dir.path()).iter().all(|path| !path.contains('x')));
}

#[tokio::test]
async fn files_that_are_no_objects_are_not_listed_and_not_hidden_errors() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = opened(dir.path(), "shop").await;
    blobs.create_container(&name("c")).await.unwrap();
    write_all(&blobs, "c", "o", b"x").await.unwrap();
    let home = dir.path().join("default/workload/shop/c");
    fs::write(home.join(".DS_Store"), b"").unwrap();
    fs::write(home.join("Upper"), b"").unwrap();
    let names: Vec<_> = blobs.list(&name("c")).await.unwrap().collect().await;
    assert_eq!(names, [Ok("o".to_owned())]);
}

#[tokio::test]
async fn errors_tell_nothing_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = opened(dir.path(), "shop").await;
    blobs.create_container(&name("c")).await.unwrap();
    // A folder where an object would be: nothing that the host makes.
    fs::create_dir(dir.path().join("default/workload/shop/c/o")).unwrap();
    let failed = write_all(&blobs, "c", "o", b"x").await.unwrap_err();
    let told = failed.to_string();
    assert!(!told.contains(dir.path().to_str().unwrap()), "{told}");
    assert_eq!(under_way(dir.path()), 0);
}

/// A disk of 4 MiB takes what it has room for, tells what it has not, and goes on when there is room again.
#[tokio::test]
#[ignore = "run by the test below, on a disk of its own"]
async fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os("SMALL_DISK").unwrap());
    let blobs = opened(&disk, "shop").await;
    blobs.create_container(&name("c")).await.unwrap();
    write_all(&blobs, "c", "kept", &[1; 1 << 20]).await.unwrap();
    let full = BlobError::Quota("the store is full".to_owned());
    // One who writes without end is stopped …
    let mut writing = blobs.write(&id("c", "endless")).await.unwrap();
    let told = loop {
        if let Err(told) = writing.write(vec![2; 100_000].into()).await {
            break told;
        }
    };
    assert_eq!(told, full);
    assert!(writing.commit().await.is_err());
    // … and leaves nothing.
    assert_eq!(under_way(&disk), 0);
    let copied = write_all(&blobs, "c", "large", &[3; 2 << 20]).await;
    copied.unwrap();
    let told = blobs.copy(&id("c", "large"), &id("c", "copy")).await;
    assert_eq!(told, Err(full.clone()));
    assert_eq!(
        write_all(&blobs, "c", "kept", &[4; 2 << 20]).await,
        Err(full)
    );
    assert_eq!(under_way(&disk), 0);
    assert!(read_all(&blobs, "c", "kept").await.unwrap() == [1; 1 << 20]);
    blobs.delete(&id("c", "large")).await.unwrap();
    write_all(&blobs, "c", "kept", &[5; 1 << 20]).await.unwrap();
    assert!(read_all(&blobs, "c", "kept").await.unwrap() == [5; 1 << 20]);
}

#[test]
fn a_full_disk_is_told_and_what_was_kept_stays() {
    let disk = tempfile::tempdir().unwrap();
    let mount =
        "mount -t tmpfs -o size=4m,nr_inodes=100 small \"$SMALL_DISK\" && exec \"$0\" \"$@\"";
    let test = "capability::blobstore::filesystem::tests::on_a_small_disk";
    // A disk that only this process sees, so nobody has to be an administrator.
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", test])
        .env("SMALL_DISK", disk.path())
        .output()
        .expect("`unshare` is part of every Linux");
    let told = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{problem}");
    assert!(told.contains("1 passed"), "{told}{problem}");
}

async fn limited(path: &Path, most: u64) -> (Arc<dyn Blobs>, Arc<Folder>, Arc<Home>) {
    let folder = Arc::new(Folder::open(path.to_owned()).unwrap());
    let blobs = Filesystem::open(Arc::clone(&folder), tenant("shop"), most).await;
    let blobs = blobs.unwrap();
    let home = Arc::clone(&blobs.home);
    (Arc::new(blobs), folder, home)
}

/// What there is, by a look at everything.
fn counted(home: &Path) -> u64 {
    let budget = Budget::new(0);
    Home::open(home.to_owned(), &budget).unwrap().used()
}

fn is_full<T: std::fmt::Debug>(outcome: Result<T, BlobError>) -> bool {
    matches!(outcome, Err(BlobError::Quota(_)))
}

/// Neither contents nor empty things without end, and what goes makes room.
#[tokio::test]
async fn a_tenant_keeps_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (blobs, folder, home) = limited(dir.path(), 100_000).await;
    blobs.create_container(&name("c")).await.unwrap();
    write_all(&blobs, "c", "kept", &[1; 50_000]).await.unwrap();
    // One who writes without end is stopped …
    let mut writing = blobs.write(&id("c", "endless")).await.unwrap();
    let mut written = 0;
    while writing.write(vec![2; 1_000].into()).await.is_ok() {
        written += 1;
    }
    assert!((30..40).contains(&written), "{written}");
    // … and leaves nothing.
    assert!(writing.commit().await.is_err());
    assert_eq!(under_way(dir.path()), 0);
    assert!(is_full(write_all(&blobs, "c", "kept", &[4; 60_000]).await));
    assert!(is_full(
        blobs.copy(&id("c", "kept"), &id("c", "copy")).await
    ));
    assert_eq!(read_all(&blobs, "c", "kept").await.unwrap(), [1; 50_000]);
    let mut empty = 0;
    while write_all(&blobs, "c", &empty.to_string(), b"")
        .await
        .is_ok()
    {
        empty += 1;
    }
    assert!((5..12).contains(&empty), "{empty}");
    assert!(is_full(blobs.create_container(&name("other")).await));
    // At the limit, what there is can still be moved and deleted.
    blobs
        .rename(&id("c", "kept"), &id("c", "moved"))
        .await
        .unwrap();
    blobs.clear(&name("c")).await.unwrap();
    assert_eq!(home.used(), 4096);
    // Another tenant has a room of its own.
    let other = Filesystem::open(folder, tenant("other"), 100_000).await;
    let other: Arc<dyn Blobs> = Arc::new(other.unwrap());
    write_all(&blobs, "c", "kept", &[1; 90_000]).await.unwrap();
    other.create_container(&name("c")).await.unwrap();
    write_all(&other, "c", "kept", &[1; 90_000]).await.unwrap();
}

/// Whatever is done, what is counted on the way is what is counted at the end.
#[tokio::test]
async fn what_a_tenant_keeps_is_counted_in_step() {
    let dir = tempfile::tempdir().unwrap();
    let (blobs, folder, home) = limited(dir.path(), 1 << 30).await;
    let (long, other) = ("x".repeat(1000), "y".repeat(900));
    for container in ["c", &long] {
        blobs.create_container(&name(container)).await.unwrap();
        for object in ["a", "b", &long] {
            write_all(&blobs, container, object, &[7; 10_000])
                .await
                .unwrap();
        }
    }
    write_all(&blobs, "c", "a", &[7; 300]).await.unwrap();
    write_all(&blobs, "c", "empty", b"").await.unwrap();
    blobs.copy(&id("c", "b"), &id(&long, "a")).await.unwrap();
    blobs.copy(&id("c", "b"), &id("c", "b")).await.unwrap();
    blobs.rename(&id("c", "b"), &id("c", &other)).await.unwrap();
    blobs
        .rename(&id(&long, &long), &id("c", "a"))
        .await
        .unwrap();
    blobs.rename(&id("c", "a"), &id("c", "a")).await.unwrap();
    blobs.delete(&id("c", &other)).await.unwrap();
    blobs.delete(&id("c", "absent")).await.unwrap();
    assert!(blobs.create_container(&name("c")).await.is_err());
    assert!(blobs.copy(&id("c", "absent"), &id("c", "z")).await.is_err());
    drop(blobs.write(&id("c", "dropped")).await.unwrap());
    assert_eq!(home.used(), counted(&home.path));
    assert!(home.used() > 30_000, "{}", home.used());
    blobs.delete_container(&name(&long)).await.unwrap();
    assert_eq!(home.used(), counted(&home.path));
    // It is the same for whoever opens it while it is open.
    let again = Filesystem::open(folder, tenant("shop"), 1 << 30)
        .await
        .unwrap();
    assert!(Arc::ptr_eq(&again.home, &home));
    blobs.delete_container(&name("c")).await.unwrap();
    assert_eq!((home.used(), counted(&home.path)), (0, 0));
}

#[tokio::test]
async fn several_that_write_the_same_object_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let (blobs, _, home) = limited(dir.path(), 1 << 30).await;
    blobs.create_container(&name("c")).await.unwrap();
    let all = (0..32).map(|size| {
        let blobs = Arc::clone(&blobs);
        tokio::spawn(async move {
            write_all(&blobs, "c", "o", &vec![0; size * 1000])
                .await
                .unwrap();
            if size % 5 == 0 {
                blobs.delete(&id("c", "o")).await.unwrap();
            }
        })
    });
    for done in futures::future::join_all(all).await {
        done.unwrap();
    }
    assert_eq!(home.used(), counted(&home.path));
}

/// By every name that it shared, and in every folder, a workload had as much as it may have in all.
#[tokio::test]
async fn folders_of_one_budget_keep_no_more_together_than_it_has() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let budget = Budget::new(100_000);
    let open = async |dir: &tempfile::TempDir, of| {
        let folder = Arc::new(Folder::open(dir.path().to_owned()).unwrap());
        let opened = Filesystem::within(folder, tenant(of), Arc::clone(&budget)).await;
        let blobs: Arc<dyn Blobs> = Arc::new(opened.unwrap());
        blobs
    };
    let all = [
        open(&dirs[0], "one").await,
        open(&dirs[0], "two").await,
        open(&dirs[1], "one").await,
    ];
    for blobs in &all {
        blobs.create_container(&name("c")).await.unwrap();
    }
    let [one, two, elsewhere] = &all;
    write_all(one, "c", "o", &[1; 70_000]).await.unwrap();
    for other in [two, elsewhere] {
        assert!(is_full(write_all(other, "c", "o", &[1; 30_000]).await));
    }
    one.delete(&id("c", "o")).await.unwrap();
    write_all(elsewhere, "c", "o", &[1; 70_000]).await.unwrap();
    assert!(is_full(write_all(two, "c", "o", &[1; 30_000]).await));
    // What nobody has open counts for nobody, and again when somebody has.
    drop(all);
    assert_eq!(budget.used(), 0);
    let _elsewhere = open(&dirs[1], "one").await;
    assert_eq!(budget.used(), 70_000 + 2 * 4096);
}
