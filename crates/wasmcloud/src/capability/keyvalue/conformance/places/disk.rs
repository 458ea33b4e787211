//! The file on disk.

use super::*;
use crate::capability::keyvalue::redb::{Disk, OnDisk};
use crate::capability::tenant::testing;

async fn open(folder: &std::path::Path, limit: u64) -> Arc<Disk> {
    Arc::new(Disk::open(folder.join("kv"), limit).await.unwrap())
}

fn tenants(disk: &Arc<Disk>) -> [OnDisk; 2] {
    ["one", "other"].map(|name| disk.tenant(&tenant(name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn disk() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = tenants(&open(folder.path(), 64 << 20).await);
    conforms(&one, &other).await;
}

#[tokio::test]
async fn disk_has_an_end_for_each_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = tenants(&open(folder.path(), 100 << 10).await);
    is_full_and_empties(&one).await;
    is_full_and_empties(&other).await;
}

/// Each name that a workload shared by brought as much room as it may have in all.
#[tokio::test]
async fn a_name_to_share_by_brings_no_room_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let value = Bytes::from(vec![0; 10_000]);
    for first in [true, false] {
        let disk = open(folder.path(), 100 << 10).await;
        let shared = ["one", "two"].map(|name| testing::tenant("default", "shared", name));
        let [one, two] = shared.map(|tenant| disk.tenant(&tenant).bucket("b"));
        if first {
            for n in 0..9 {
                one.set(&n.to_string(), value.clone(), ALWAYS)
                    .await
                    .unwrap();
            }
            two.set("0", value.clone(), ALWAYS).await.unwrap();
        }
        let full = two.set("1", value.clone(), ALWAYS).await;
        assert!(matches!(full, Err(Fault::Full(_))), "{full:?}");
        // What goes in one makes room in the other; what is not shared has a room of its own.
        one.delete("0").await.unwrap();
        two.set("1", value.clone(), ALWAYS).await.unwrap();
        two.delete("1").await.unwrap();
        one.set("0", value.clone(), ALWAYS).await.unwrap();
        is_full_and_empties(&disk.tenant(&tenant(if first { "one" } else { "two" }))).await;
    }
}

/// As when a host is started again with less room, or after one that counted in another way.
#[tokio::test]
async fn where_there_is_too_much_already_what_does_not_grow_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let value = |length: usize| Bytes::from(vec![0; length]);
    {
        let [one, _] = tenants(&open(folder.path(), 100 << 10).await);
        let bucket = one.bucket("b");
        bucket.set("k", value(50_000), ALWAYS).await.unwrap();
    }
    let [one, _] = tenants(&open(folder.path(), 10 << 10).await);
    let bucket = one.bucket("b");
    let longer = bucket.set("k", value(50_001), ALWAYS).await;
    assert!(matches!(longer, Err(Fault::Full(_))), "{longer:?}");
    for length in [50_000, 40_000] {
        bucket.set("k", value(length), ALWAYS).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_on_disk_outlives_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let before = {
        let disk = open(folder.path(), 64 << 20).await;
        let bucket = disk.tenant(&tenant("one")).bucket("b");
        set(&*bucket, "k", "v").await;
        bucket
            .set("gone", bytes("v"), gone_after(30))
            .await
            .unwrap();
        bucket.increment("n", 7, Sign::Any).await.unwrap();
        bucket.current("k").await.unwrap()
    };
    let disk = open(folder.path(), 64 << 20).await;
    let bucket = disk.tenant(&tenant("one")).bucket("b");
    assert_eq!(bucket.current("k").await.unwrap(), before);
    assert_eq!(bucket.increment("n", 1, Sign::Any).await, Ok(8));
    until_gone(&*bucket, "gone").await;
    // A version is never given twice.
    set(&*bucket, "k", "v").await;
    assert_ne!(bucket.current("k").await.unwrap(), before);
}

#[tokio::test]
async fn a_folder_is_for_one_host() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = open(folder.path(), 64 << 20).await;
    let second = Disk::open(folder.path().join("kv"), 64 << 20).await;
    let told = second.err().unwrap().to_string();
    assert!(told.contains("another host keeps its data"), "{told}");
}
