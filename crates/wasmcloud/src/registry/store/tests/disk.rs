//! Disks that are full, and disks that cannot be written to: each is mounted for one process, which runs one test.

use std::process::Command;

use super::*;

/// Runs a test of this file in a process of its own, which has a disk where `IMAGES_DISK` says.
fn on_a_disk(test: &str, mount: &str) {
    let disk = tempfile::tempdir().unwrap();
    let mount = format!("{mount} && exec \"$0\" \"$@\"");
    // A disk that only this process sees, so nobody has to be an administrator.
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &mount])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored"])
        .arg(format!("registry::store::tests::disk::{test}"))
        .env("IMAGES_DISK", disk.path())
        .output()
        .expect("`unshare` is part of every Linux");
    let told = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{problem}");
    assert!(told.contains("1 passed"), "{told}{problem}");
}

fn disk() -> PathBuf {
    std::env::var_os("IMAGES_DISK").unwrap().into()
}

fn open() -> Store {
    Store::open(&disk(), StoreOptions::default()).unwrap()
}

#[test]
fn a_full_disk_is_told_and_what_was_there_stays() {
    let mount = "mount -t tmpfs -o size=2m,mode=700 none \"$IMAGES_DISK\"";
    on_a_disk("on_a_small_disk", mount);
}

#[tokio::test]
#[ignore = "run by the test above, on a disk of its own"]
async fn on_a_small_disk() {
    let store = open();
    let kept = vec![1; 1 << 20];
    drop(pull(&store, &image("kept"), &kept[..1 << 19], Proof::Anonymous).await);
    let mut partial = begun(&store, &vec![2; 4 << 20], &image("large")).await;
    let error = loop {
        if let Err(error) = partial.write(vec![2; 100_000].into()).await {
            break error;
        }
    };
    assert!(matches!(error.kind(), StoreErrorKind::Full(_)), "{error}");
    assert!(error.hint().unwrap().contains("wash cache prune"));
    drop(partial);
    // Its bytes do not fill the disk for others.
    assert!(names(disk().join("partial")).is_empty());
    assert!(store.record(&image("kept")).await.unwrap().is_some());
    drop(download(&store, &kept[..300_000], &image("other")).await);
    let error = store
        .keep(vec![3; 1 << 20].into(), &image("large"))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), StoreErrorKind::Full(_)), "{error}");
    // Not even room for an entry: a record that was there stays what it was.
    let record = store.record(&image("kept")).await.unwrap().unwrap();
    let filler = disk().join("filler");
    let mut filling = File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut filling, &[0; 4096]).is_ok() {}
    let more = store.fingerprint("r.example", &[b"ann"]);
    let again = Record::new(record.manifest, record.layer, 1, more);
    let error = store.put(&image("kept"), again).await.unwrap_err();
    assert!(matches!(error.kind(), StoreErrorKind::Full(_)), "{error}");
    assert_eq!(store.record(&image("kept")).await.unwrap().unwrap(), record);
    std::fs::remove_file(filler).unwrap();
    assert!(names(disk().join("partial")).is_empty());
    // There is room again once something else goes.
    store.prune(Prune::All).await.unwrap();
    drop(download(&store, &kept, &image("new")).await);
    assert!(store.verify(|_| {}).await.unwrap().is_empty());
}

#[test]
fn a_read_only_disk_serves_what_is_on_it_and_says_that_it_takes_no_more() {
    let mount = "mount -t tmpfs -o size=2m,mode=700 none \"$IMAGES_DISK\"";
    on_a_disk("on_a_disk_that_becomes_read_only", mount);
}

#[tokio::test]
#[ignore = "run by the test above, on a disk of its own"]
async fn on_a_disk_that_becomes_read_only() {
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", how]).arg(disk()).status();
        assert!(done.unwrap().success());
    };
    // Nothing is on it yet.
    remount("remount,ro");
    assert!(open().list().await.unwrap().images.is_empty());
    remount("remount,rw");
    let before = open();
    let ann = before.fingerprint("r.example", &[b"ann"]);
    drop(pull(&before, &image("a"), b"layer", ann).await);
    drop(download(&before, b"damaged", &image("a")).await);
    let damaged = disk()
        .join("blobs/sha256")
        .join(Digest::of(b"damaged").hex());
    std::fs::write(damaged, "damage!").unwrap();
    drop(before);
    remount("remount,ro");
    let store = open();
    let record = store.record(&image("a")).await.unwrap().unwrap();
    assert!(record.proves(&store.fingerprint("r.example", &[b"ann"])));
    assert_eq!(read(&store, b"layer").await.unwrap(), "layer");
    let from = store.blob_from(&record.layer, &image("a"), 5).await;
    let pin = from.unwrap().unwrap().1;
    assert!(store.list().await.unwrap().images[0].in_use);
    drop(pin);
    let present = store.download(&record.layer, 5, &image("a")).await.unwrap();
    assert!(matches!(present, Download::Present(_)));
    // What is damaged cannot be removed, and is not given to anybody all the same.
    assert!(read(&store, b"damaged").await.is_none());
    assert!(!store.verify(|_| {}).await.unwrap()[0].is_removed);
    let errors = [
        store
            .download(&Digest::of(b"new"), 3, &image("a"))
            .await
            .unwrap_err(),
        store.keep("new".into(), &image("a")).await.unwrap_err(),
        store.put(&image("a"), record).await.unwrap_err(),
        store.prune(Prune::All).await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(error.kind(), StoreErrorKind::ReadOnly(_)),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("may be written to"));
    }
}
