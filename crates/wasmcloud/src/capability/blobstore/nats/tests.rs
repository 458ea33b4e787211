//! The backend against a real server: the contract, what is on the server, and what happens when the server or the way to it fails.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::{self, object_store};
use bytes::Bytes;
use test_servers::{Nats as Service, Proxy, Way};
use tokio::io::AsyncReadExt as _;

use super::super::conformance::{self, faults, id, name, read_all, write_all};
use super::super::settings::testing::tenant;
use super::*;
use crate::capability::nats::Link;
use crate::net::dial::{Dial, NamedBy};
use crate::net::resolve::SystemResolver;
use crate::policy::EgressPolicy;

const PATIENCE: Duration = Duration::from_secs(60);

fn launched() -> Service {
    Service::launch()
}

fn way_out() -> Dial {
    Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()))
}

async fn client(url: &str) -> async_nats::Client {
    async_nats::connect(url).await.unwrap()
}

async fn link(url: &str, patience: Duration) -> Link {
    let url = url.parse().unwrap();
    let link = Link::open(&way_out(), &url, NamedBy::Host, "a test", patience).await;
    link.unwrap()
}

async fn server(url: &str, patience: Duration) -> Arc<Server> {
    Arc::new(Server::over(link(url, patience).await, 1))
}

fn backend(server: &Arc<Server>, of: &str) -> Nats {
    Nats::new(Arc::clone(server), &tenant(of), Budget::new(64 << 20))
}

fn opened(server: &Arc<Server>, of: &str) -> Arc<dyn Blobs> {
    Arc::new(backend(server, of))
}

/// Waits until it is so.
async fn until(so: impl AsyncFn() -> bool) {
    let wait = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// How many streams a server has, and how many messages they have.
async fn kept(service: &Service) -> (usize, u64) {
    let context = jetstream::new(client(&service.url()).await);
    let streams: Vec<_> = context.streams().try_collect().await.unwrap();
    let messages = streams.iter().map(|stream| stream.state.messages).sum();
    (streams.len(), messages)
}

#[tokio::test]
async fn it_conforms() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    conformance::whole(async |of| opened(&server, of)).await;
}

#[tokio::test]
async fn what_is_kept_is_there_when_the_server_is_back() {
    let mut service = launched();
    let server = server(&service.url(), Duration::from_secs(5)).await;
    let blobs = opened(&server, "shop");
    faults::what_was_acknowledged_outlives_a_server(&blobs, async || {
        service.stop();
        let away = blobs.info(&id("kept", "o")).await.map(drop).unwrap_err();
        let typed = matches!(away, BlobError::Unavailable(_) | BlobError::Timeout);
        assert!(typed, "{away}");
        service.start();
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_absent_at_first_is_used_when_it_is_there() {
    let mut service = launched();
    service.stop();
    let server = server(&service.url(), PATIENCE).await;
    let blobs = opened(&server, "shop");
    let away = blobs.create_container(&name("c")).await.unwrap_err();
    assert!(matches!(away, BlobError::Unavailable(_)), "{away}");
    service.start();
    until(async || blobs.create_container(&name("c")).await.is_ok()).await;
    write_all(&blobs, "c", "o", b"x").await.unwrap();
    assert_eq!(read_all(&blobs, "c", "o").await.unwrap(), b"x");
}

#[tokio::test]
async fn a_way_that_is_held_cut_or_slow_is_told_and_gone_when_it_is_over() {
    let service = launched();
    let proxy = Proxy::to(service.port());
    let url = format!("nats://127.0.0.1:{}", proxy.port());
    let server = server(&url, Duration::from_secs(2)).await;
    let blobs = opened(&server, "shop");
    faults::the_way(&blobs, &proxy, Way::Slow(Duration::from_millis(1))).await;
}

#[tokio::test]
async fn nothing_is_left_of_what_was_replaced_dropped_or_deleted() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let blobs = opened(&server, "shop");
    blobs.create_container(&name("c")).await.unwrap();
    let big = vec![1; 1 << 20];
    write_all(&blobs, "c", "o", &big).await.unwrap();
    let (streams, before) = kept(&service).await;
    assert_eq!(streams, 2, "the index and the container");
    write_all(&blobs, "c", "o", &big).await.unwrap();
    assert_eq!(kept(&service).await, (2, before));
    let mut dropped = blobs.write(&id("c", "other")).await.unwrap();
    dropped.write(big.clone().into()).await.unwrap();
    drop(dropped);
    until(async || kept(&service).await == (2, before)).await;
    blobs.delete(&id("c", "o")).await.unwrap();
    assert_eq!(kept(&service).await, (2, 1), "the entry of the container");
    write_all(&blobs, "c", "o", &big).await.unwrap();
    blobs.delete_container(&name("c")).await.unwrap();
    assert_eq!(kept(&service).await, (1, 0));
}

#[tokio::test]
async fn what_is_read_stays_until_it_was_read() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let blobs = opened(&server, "shop");
    let whole = Range::inclusive(0, u64::MAX).unwrap();
    // Much more than is ever on its way.
    let old: Vec<u8> = (0..16 << 20).map(|n| (n % 251) as u8).collect();
    for change in 0..3 {
        blobs.create_container(&name("c")).await.unwrap();
        write_all(&blobs, "c", "o", &old).await.unwrap();
        let mut reading = blobs.read(&id("c", "o"), whole).await.unwrap();
        let first = reading.contents.try_next().await.unwrap().unwrap();
        match change {
            0 => write_all(&blobs, "c", "o", b"new").await.unwrap(),
            1 => blobs.delete(&id("c", "o")).await.unwrap(),
            _ => {}
        }
        blobs.delete_container(&name("c")).await.unwrap();
        let rest: Vec<Bytes> = reading.contents.try_collect().await.unwrap();
        assert!([&first[..], &rest.concat()].concat() == old);
        until(async || kept(&service).await == (1, 0)).await;
    }
}

#[tokio::test]
async fn other_programs_for_nats_read_and_write_the_same_objects() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let nats = backend(&server, "shop");
    let blobs: Arc<dyn Blobs> = Arc::new(nats.clone());
    blobs.create_container(&name("c")).await.unwrap();
    let bytes: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
    write_all(&blobs, "c", "ours", &bytes).await.unwrap();
    let bucket = nats.found(&name("c")).await.unwrap().bucket;
    let context = jetstream::new(client(&service.url()).await);
    let store = context.get_object_store(&bucket).await.unwrap();
    let mut read = Vec::new();
    // It checks the digest.
    let mut object = store.get("ours").await.unwrap();
    object.read_to_end(&mut read).await.unwrap();
    assert!(read == bytes);
    let theirs = object_store::ObjectMetadata {
        name: "theirs".to_owned(),
        chunk_size: Some(1000),
        ..object_store::ObjectMetadata::default()
    };
    store.put(theirs, &mut &bytes[..]).await.unwrap();
    assert!(read_all(&blobs, "c", "theirs").await.unwrap() == bytes);
    let range = Range::inclusive(123_456, 654_321).unwrap();
    let part = blobs.read(&id("c", "theirs"), range).await.unwrap();
    let part: Vec<Bytes> = part.contents.try_collect().await.unwrap();
    assert!(part.concat() == bytes[123_456..=654_321]);
    store.delete("theirs").await.unwrap();
    let gone = blobs.info(&id("c", "theirs")).await.map(drop);
    assert_eq!(gone, Err(BlobError::NoSuchObject));
}

#[tokio::test]
async fn a_range_costs_nothing_of_what_is_before_it() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let blobs = opened(&server, "shop");
    blobs.create_container(&name("c")).await.unwrap();
    // Two at once, so that their chunks lie between each other.
    let bytes: Vec<u8> = (0..8 << 20).map(|n| (n % 253) as u8).collect();
    let both = [
        write_all(&blobs, "c", "o", &bytes),
        write_all(&blobs, "c", "p", &bytes),
    ];
    futures::future::try_join_all(both).await.unwrap();
    let link = link(&service.url(), PATIENCE).await;
    let counted = link.connected().await.client.statistics();
    let counting = Arc::new(Server::over(link, 1));
    let blobs = opened(&counting, "shop");
    let before = counted.in_bytes.load(std::sync::atomic::Ordering::Relaxed);
    let range = Range::inclusive(7_000_000, 7_000_099).unwrap();
    let read = blobs.read(&id("c", "o"), range).await.unwrap();
    let read: Vec<Bytes> = read.contents.try_collect().await.unwrap();
    assert!(read.concat() == bytes[7_000_000..7_000_100]);
    let after = counted.in_bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(after - before < 1 << 20, "{} bytes came", after - before);
}

#[tokio::test]
async fn writers_of_one_object_leave_one_and_nothing_of_the_others() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let blobs = opened(&server, "shop");
    blobs.create_container(&name("c")).await.unwrap();
    let contents: Vec<Vec<u8>> = (0..6).map(|n| vec![n; 600_000]).collect();
    let all = contents.iter().map(|it| write_all(&blobs, "c", "o", it));
    futures::future::try_join_all(all).await.unwrap();
    let read = read_all(&blobs, "c", "o").await.unwrap();
    assert!(contents.contains(&read));
    let chunks = 600_000_u64.div_ceil(server.chunk() as u64);
    assert_eq!(kept(&service).await, (2, 2 + chunks));
}

/// A server that takes 8 MiB, and somebody who does not stop. NATS 2.9 counts as kept what was removed, until it is started again.
#[tokio::test]
async fn a_server_that_is_full_is_told_as_full_and_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    std::fs::write(&config, "jetstream: { max_file_store: 8MB }\n").unwrap();
    let service = Service::launch_with(&["-c", config.to_str().unwrap()]);
    let server = server(&service.url(), PATIENCE).await;
    let blobs = opened(&server, "shop");
    blobs.create_container(&name("c")).await.unwrap();
    write_all(&blobs, "c", "o", b"kept").await.unwrap();
    let filling = async {
        let mut writing = blobs.write(&id("c", "big")).await?;
        loop {
            writing.write(vec![7; 1 << 20].into()).await?;
        }
    };
    let filled: Result<(), BlobError> = tokio::time::timeout(PATIENCE, filling).await.unwrap();
    assert_eq!(
        filled,
        Err(BlobError::Quota("the store is full".to_owned()))
    );
    assert_eq!(read_all(&blobs, "c", "o").await.unwrap(), b"kept");
}

/// Whoever may write to the bucket may have said of an object what they like.
#[tokio::test]
async fn what_is_said_of_an_object_need_not_be_true() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let nats = backend(&server, "shop");
    let blobs: Arc<dyn Blobs> = Arc::new(nats.clone());
    blobs.create_container(&name("c")).await.unwrap();
    let found = nats.found(&name("c")).await.unwrap();
    let context = jetstream::new(client(&service.url()).await);
    let put = async |subject: String, payload: String| {
        let sent = context.publish(subject, payload.into()).await.unwrap();
        sent.await.unwrap();
    };
    let object = async |object: &str, size: u64, chunk: u64, places: &str, chunks: [&str; 2]| {
        for bytes in chunks {
            put(server::chunks_of(&found.bucket, object), bytes.to_owned()).await;
        }
        let meta = serde_json::json!({
            "name": object, "bucket": found.bucket, "nuid": object, "size": size, "chunks": 2,
            "options": { "max_chunk_size": chunk }, "metadata": { "wasmcloud-chunks": places },
        });
        put(found.subject(&name(object)), meta.to_string()).await;
    };
    // Where the second chunk would end, no number says.
    object("far", u64::MAX, u64::MAX - 1, "1+2", ["x", "y"]).await;
    let last = Range::inclusive(u64::MAX - 1, u64::MAX).unwrap();
    let read = blobs.read(&id("c", "far"), last).await.unwrap();
    assert_eq!(read.length, 1);
    let read: Vec<Bytes> = read.contents.try_collect().await.unwrap();
    assert_eq!(read.concat(), b"y");
    // Nobody is given more than he was told.
    object("fat", 2, 1, "4+2", ["aa", "bb"]).await;
    let told = read_all(&blobs, "c", "fat").await;
    assert!(matches!(told, Err(BlobError::Unavailable(_))), "{told:?}");
}

#[tokio::test]
async fn a_list_names_once_what_is_replaced_on_the_way_and_goes_on_where_it_was_forgotten() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let nats = backend(&server, "shop");
    let blobs: Arc<dyn Blobs> = Arc::new(nats.clone());
    blobs.create_container(&name("c")).await.unwrap();
    let all: BTreeSet<String> = (0..3 * listing::STEP).map(|n| n.to_string()).collect();
    for object in &all {
        write_all(&blobs, "c", object, b"old").await.unwrap();
    }
    let mut list = blobs.list(&name("c")).await.unwrap();
    let first = list.try_next().await.unwrap().unwrap();
    // One that was given, and one that was not.
    for object in [&first, all.last().unwrap()] {
        write_all(&blobs, "c", object, b"new").await.unwrap();
    }
    // As when the guest pauses for long.
    let context = jetstream::new(client(&service.url()).await);
    let found = nats.found(&name("c")).await.unwrap();
    let stream = context.get_stream(stream_of(&found.bucket)).await.unwrap();
    let places: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    assert_eq!(places.len(), 1);
    stream.delete_consumer(&places[0]).await.unwrap();
    let mut listed = BTreeSet::from([first]);
    while let Some(object) = list.try_next().await.unwrap() {
        assert!(listed.insert(object.clone()), "{object} was given twice");
    }
    assert!(listed == all);
    // The server has nothing to keep in mind any more.
    until(async || {
        let places: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
        places.is_empty()
    })
    .await;
}

/// A hundred thousand of them came at once, and were in memory as long as the guest liked.
#[tokio::test]
async fn the_first_names_of_a_long_list_cost_nothing_of_the_others() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let blobs = opened(&server, "shop");
    blobs.create_container(&name("c")).await.unwrap();
    for n in 0..5 * listing::STEP {
        write_all(&blobs, "c", &format!("{n:01024}"), b"")
            .await
            .unwrap();
    }
    let link = link(&service.url(), PATIENCE).await;
    let counted = link.connected().await.client.statistics();
    let counting = Arc::new(Server::over(link, 1));
    let blobs = opened(&counting, "shop");
    let before = counted.in_bytes.load(std::sync::atomic::Ordering::Relaxed);
    let mut list = blobs.list(&name("c")).await.unwrap();
    list.try_next().await.unwrap().unwrap();
    let after = counted.in_bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(after - before < 1 << 20, "{} bytes came", after - before);
}

#[tokio::test]
async fn lists_that_are_too_long_together_end_with_an_error() {
    let service = launched();
    let server = server(&service.url(), PATIENCE).await;
    let held = Budget::new(10 * listing::EACH);
    let nats = Nats::new(Arc::clone(&server), &tenant("shop"), Arc::clone(&held));
    let blobs: Arc<dyn Blobs> = Arc::new(nats);
    blobs.create_container(&name("c")).await.unwrap();
    for n in 0..8 {
        write_all(&blobs, "c", &n.to_string(), b"").await.unwrap();
    }
    let list = async || -> Result<Vec<String>, BlobError> {
        blobs.list(&name("c")).await?.try_collect().await
    };
    let mut open = blobs.list(&name("c")).await.unwrap();
    open.try_next().await.unwrap().unwrap();
    let told = list().await.unwrap_err().to_string();
    let wanted = "the lists that are open are too long: the workload has 480 bytes for them";
    assert!(told.starts_with(wanted), "{told}");
    drop(open);
    assert_eq!(list().await.unwrap().len(), 8);
    assert_eq!(held.used(), 0);
}
