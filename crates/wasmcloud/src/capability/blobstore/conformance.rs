//! What every backend and every wrapper does, point by point: see the contract of the port.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

pub(super) mod faults;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{BlobError, Blobs, LONGEST_NAME, Name, ObjectId, PIECE, Range};

type Store = Arc<dyn Blobs>;

pub(super) fn name(name: &str) -> Name {
    Name::parse(name.to_owned()).unwrap()
}

pub(super) fn id(container: &str, object: &str) -> ObjectId {
    ObjectId {
        container: name(container),
        object: name(object),
    }
}

pub(super) async fn write_all(
    blobs: &Store,
    container: &str,
    object: &str,
    bytes: &[u8],
) -> Result<(), BlobError> {
    let mut writing = blobs.write(&id(container, object)).await?;
    writing.write(Bytes::copy_from_slice(bytes)).await?;
    writing.commit().await
}

pub(super) async fn read_all(
    blobs: &Store,
    container: &str,
    object: &str,
) -> Result<Vec<u8>, BlobError> {
    read_range(blobs, container, object, 0, u64::MAX).await
}

async fn read_range(
    blobs: &Store,
    container: &str,
    object: &str,
    start: u64,
    end: u64,
) -> Result<Vec<u8>, BlobError> {
    let range = Range::inclusive(start, end)?;
    let mut reading = blobs.read(&id(container, object), range).await?;
    let mut read = Vec::new();
    while let Some(bytes) = reading.contents.next().await {
        read.extend_from_slice(&bytes?);
    }
    assert_eq!(read.len() as u64, reading.length);
    Ok(read)
}

async fn listed(blobs: &Store, container: &str) -> BTreeSet<String> {
    let names = blobs.list(&name(container)).await.unwrap();
    let names: Vec<String> = names.try_collect().await.unwrap();
    let set: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "each name once");
    set
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Runs everything. What it opens for one tenant is the same whenever it is opened while another one of it lives.
pub(super) async fn whole(open: impl AsyncFn(&str) -> Store) {
    containers_come_and_go(&open("containers").await).await;
    one_of_several_creates(&open("race").await).await;
    any_text_is_a_name(&open("names").await).await;
    what_is_committed_is_there(&open("writes").await).await;
    ranges_are_cut(&open("ranges").await).await;
    readers_keep_what_they_began_with(&open("readers").await).await;
    copies_and_moves(&open("copies").await).await;
    what_is_absent_is_told_apart(&open("absent").await).await;
    lists_are_whole(&open("lists").await).await;
    a_container_that_is_gone_takes_nothing(&open("gone").await).await;
    let (one, two) = (open("one").await, open("two").await);
    tenants_do_not_meet(&one, &two).await;
}

async fn containers_come_and_go(blobs: &Store) {
    let c = name("c");
    assert_eq!(
        blobs.container_created(&c).await,
        Err(BlobError::NoSuchContainer)
    );
    let before = SystemTime::now() - Duration::from_secs(2);
    blobs.create_container(&c).await.unwrap();
    assert!(blobs.container_created(&c).await.unwrap() >= before);
    assert_eq!(
        blobs.create_container(&c).await,
        Err(BlobError::ContainerExists)
    );
    write_all(blobs, "c", "o", b"x").await.unwrap();
    blobs.delete_container(&c).await.unwrap();
    blobs.delete_container(&c).await.unwrap();
    assert!(blobs.container_created(&c).await.is_err());
    blobs.create_container(&c).await.unwrap();
    assert_eq!(listed(blobs, "c").await, names(&[]));
}

/// B2
async fn one_of_several_creates(blobs: &Store) {
    let c = name("c");
    let all = futures::future::join_all((0..8).map(|_| blobs.create_container(&c))).await;
    assert_eq!(all.iter().filter(|made| made.is_ok()).count(), 1);
}

/// B1
async fn any_text_is_a_name(blobs: &Store) {
    let long = "ä".repeat(LONGEST_NAME / 2);
    let longer = format!("{}x", "ä".repeat(LONGEST_NAME / 2 - 1));
    let dots = ".".repeat(LONGEST_NAME);
    let slashes = "/..".repeat(LONGEST_NAME / 3);
    let all = [
        ".",
        "..",
        "../../etc/passwd",
        "/",
        "a",
        "A",
        "a/b",
        "a%2fb",
        "a+",
        "a+/b",
        "%",
        "%61",
        "nul\0",
        "\0",
        " ",
        "\n",
        "ä",
        "a\u{308}",
        "con",
        ".uploads",
        "a.",
        "a..b",
        "-",
        "~",
        "\\",
        &long,
        &longer,
        &dots,
        &slashes,
    ];
    for container in ["..", "/", "Plain", "plain", &long, &dots] {
        blobs.create_container(&name(container)).await.unwrap();
        for object in all {
            write_all(
                blobs,
                container,
                object,
                format!("{container}:{object}").as_bytes(),
            )
            .await
            .unwrap();
        }
    }
    for container in ["..", "/", "Plain", "plain", &long, &dots] {
        assert_eq!(listed(blobs, container).await, names(&all));
        for object in all {
            let read = read_all(blobs, container, object).await.unwrap();
            assert_eq!(read, format!("{container}:{object}").as_bytes());
            blobs.delete(&id(container, object)).await.unwrap();
        }
        assert_eq!(listed(blobs, container).await, names(&[]));
        blobs.delete_container(&name(container)).await.unwrap();
    }
}

/// B3
async fn what_is_committed_is_there(blobs: &Store) {
    blobs.create_container(&name("c")).await.unwrap();
    let o = id("c", "o");
    let mut dropped = blobs.write(&o).await.unwrap();
    dropped.write(Bytes::from_static(b"half")).await.unwrap();
    dropped.write(vec![1; 2 * PIECE].into()).await.unwrap();
    assert_eq!(blobs.info(&o).await.map(drop), Err(BlobError::NoSuchObject));
    drop(dropped);
    assert_eq!(listed(blobs, "c").await, names(&[]));

    write_all(blobs, "c", "o", b"").await.unwrap();
    assert_eq!(read_all(blobs, "c", "o").await.unwrap(), b"");
    assert_eq!(blobs.info(&o).await.unwrap().size, 0);

    let mut writing = blobs.write(&o).await.unwrap();
    let mut written = Vec::new();
    for (index, size) in [1, PIECE - 1, PIECE, 3 * PIECE + 7, 0, 5]
        .iter()
        .enumerate()
    {
        let piece = vec![u8::try_from(index).unwrap(); *size];
        written.extend_from_slice(&piece);
        writing.write(piece.into()).await.unwrap();
        assert_eq!(read_all(blobs, "c", "o").await.unwrap(), b"");
    }
    let before = SystemTime::now() - Duration::from_secs(2);
    writing.commit().await.unwrap();
    assert!(read_all(blobs, "c", "o").await.unwrap() == written);
    let info = blobs.info(&o).await.unwrap();
    assert_eq!(info.size, written.len() as u64);
    assert!(info.created >= before);
}

/// B5
async fn ranges_are_cut(blobs: &Store) {
    blobs.create_container(&name("c")).await.unwrap();
    let bytes: Vec<u8> = (0..PIECE + 100).map(|n| (n % 251) as u8).collect();
    write_all(blobs, "c", "o", &bytes).await.unwrap();
    let last = bytes.len() - 1;
    for (start, end) in [
        (0, 0),
        (0, last),
        (5, 9),
        (PIECE - 3, PIECE + 3),
        (last, last),
    ] {
        let read = read_range(blobs, "c", "o", start as u64, end as u64).await;
        assert!(read.unwrap() == bytes[start..=end], "{start}..={end}");
    }
    let rest = read_range(blobs, "c", "o", PIECE as u64, u64::MAX).await;
    assert!(rest.unwrap() == bytes[PIECE..]);
    for start in [bytes.len() as u64, u64::MAX] {
        let read = read_range(blobs, "c", "o", start, u64::MAX).await;
        assert_eq!(read.unwrap(), b"");
    }
}

/// B4
async fn readers_keep_what_they_began_with(blobs: &Store) {
    blobs.create_container(&name("c")).await.unwrap();
    let old = vec![1; 3 * PIECE];
    let whole = Range::inclusive(0, u64::MAX).unwrap();
    for change in 0..3 {
        write_all(blobs, "c", "o", &old).await.unwrap();
        let reading = blobs.read(&id("c", "o"), whole).await.unwrap();
        match change {
            0 => write_all(blobs, "c", "o", b"new").await.unwrap(),
            1 => blobs.delete(&id("c", "o")).await.unwrap(),
            _ => blobs.delete_container(&name("c")).await.unwrap(),
        }
        let read: Vec<Bytes> = reading.contents.try_collect().await.unwrap();
        assert!(read.concat() == old);
    }
}

/// B6
async fn copies_and_moves(blobs: &Store) {
    for container in ["a", "b"] {
        blobs.create_container(&name(container)).await.unwrap();
    }
    let long = "/".repeat(LONGEST_NAME);
    write_all(blobs, "a", "o", b"content").await.unwrap();
    write_all(blobs, "b", "o", b"replaced").await.unwrap();
    blobs.copy(&id("a", "o"), &id("b", "o")).await.unwrap();
    blobs.copy(&id("a", "o"), &id("a", &long)).await.unwrap();
    blobs.copy(&id("a", "o"), &id("a", "o")).await.unwrap();
    blobs.rename(&id("a", "o"), &id("a", "o")).await.unwrap();
    assert_eq!(listed(blobs, "a").await, names(&["o", &long]));
    assert_eq!(read_all(blobs, "b", "o").await.unwrap(), b"content");
    blobs
        .rename(&id("a", &long), &id("b", &long))
        .await
        .unwrap();
    assert_eq!(listed(blobs, "a").await, names(&["o"]));
    assert_eq!(read_all(blobs, "b", &long).await.unwrap(), b"content");
    blobs.rename(&id("a", "o"), &id("b", "o")).await.unwrap();
    assert_eq!(listed(blobs, "a").await, names(&[]));
    // A copy is no second name of the same bytes.
    blobs.copy(&id("b", "o"), &id("a", "o")).await.unwrap();
    write_all(blobs, "b", "o", b"other").await.unwrap();
    assert_eq!(read_all(blobs, "a", "o").await.unwrap(), b"content");
}

/// B7
async fn what_is_absent_is_told_apart(blobs: &Store) {
    blobs.create_container(&name("c")).await.unwrap();
    write_all(blobs, "c", "o", b"x").await.unwrap();
    let whole = Range::inclusive(0, u64::MAX).unwrap();
    for (object, error) in [
        (id("absent", "o"), BlobError::NoSuchContainer),
        (id("c", "absent"), BlobError::NoSuchObject),
    ] {
        assert_eq!(blobs.info(&object).await.map(drop), Err(error.clone()));
        assert_eq!(
            blobs.read(&object, whole).await.map(drop),
            Err(error.clone())
        );
        let to = id("c", "to");
        assert_eq!(blobs.copy(&object, &to).await, Err(error.clone()));
        assert_eq!(blobs.rename(&object, &to).await, Err(error));
    }
    let absent = id("absent", "o");
    let gone = Err(BlobError::NoSuchContainer);
    assert_eq!(blobs.copy(&id("c", "o"), &absent).await, gone);
    assert_eq!(blobs.rename(&id("c", "o"), &absent).await, gone);
    assert_eq!(blobs.write(&absent).await.map(drop), gone);
    assert_eq!(blobs.delete(&absent).await, gone);
    assert_eq!(blobs.clear(&absent.container).await, gone);
    assert_eq!(blobs.list(&absent.container).await.map(drop), gone);
    blobs.delete(&id("c", "absent")).await.unwrap();
    assert_eq!(listed(blobs, "c").await, names(&["o"]));
    assert_eq!(read_all(blobs, "c", "o").await.unwrap(), b"x");
}

/// B8
async fn lists_are_whole(blobs: &Store) {
    blobs.create_container(&name("c")).await.unwrap();
    let all: BTreeSet<String> = (0..600).map(|n| format!("object/{n}")).collect();
    for object in &all {
        write_all(blobs, "c", object, b"").await.unwrap();
    }
    assert!(listed(blobs, "c").await == all);
    blobs.clear(&name("c")).await.unwrap();
    assert_eq!(listed(blobs, "c").await, names(&[]));
    assert!(blobs.container_created(&name("c")).await.is_ok());
}

/// B7
async fn a_container_that_is_gone_takes_nothing(blobs: &Store) {
    for again in [false, true] {
        blobs.create_container(&name("c")).await.unwrap();
        let long = "/".repeat(LONGEST_NAME);
        let mut all = Vec::new();
        for object in ["o", &long] {
            let mut writing = blobs.write(&id("c", object)).await.unwrap();
            writing.write(Bytes::from_static(b"x")).await.unwrap();
            all.push(writing);
        }
        blobs.delete_container(&name("c")).await.unwrap();
        if again {
            blobs.create_container(&name("c")).await.unwrap();
        }
        for writing in all {
            let committed = writing.commit().await;
            assert_eq!(committed, Err(BlobError::NoSuchContainer), "{again}");
        }
        assert_eq!(blobs.container_created(&name("c")).await.is_ok(), again);
    }
}

/// B9
async fn tenants_do_not_meet(one: &Store, two: &Store) {
    one.create_container(&name("c")).await.unwrap();
    assert!(two.container_created(&name("c")).await.is_err());
    two.create_container(&name("c")).await.unwrap();
    write_all(one, "c", "o", b"of one").await.unwrap();
    assert!(read_all(two, "c", "o").await.is_err());
    let there = name("../one/c");
    assert!(two.container_created(&there).await.is_err());
    two.delete_container(&name("c")).await.unwrap();
    assert_eq!(read_all(one, "c", "o").await.unwrap(), b"of one");
}
