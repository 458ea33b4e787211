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
    Arc::new(Filesystem::open(folder, tenant(of)).await.unwrap())
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
