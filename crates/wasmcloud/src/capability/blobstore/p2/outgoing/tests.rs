//! Values that are written before, while and after it is known where they go.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use tokio::sync::Semaphore;

use super::*;
use crate::capability::blobstore::conformance::{id, read_all};
use crate::capability::blobstore::memory::Memory;
use crate::capability::blobstore::{BlobOptions, Blobs, Blobstore};
use crate::capability::budget::Budget;

fn spool(bytes: u64, values: usize) -> (Spool, Arc<Budget>) {
    let budget = Budget::new(bytes);
    let values = Arc::new(Semaphore::new(values));
    (Spool::new(None, Arc::clone(&budget), values), budget)
}

async fn store() -> Arc<dyn Blobs> {
    let store: Arc<dyn Blobs> = Arc::new(Memory::new(Budget::new(64 << 20)));
    store
        .create_container(&id("c", "o").container)
        .await
        .unwrap();
    store
}

/// Writes as a guest does; gives what the stream says when it does not take any more.
async fn write(stream: &mut Output, mut bytes: &[u8]) -> StreamResult<()> {
    while !bytes.is_empty() {
        stream.ready().await;
        let (now, later) = bytes.split_at(stream.check_write()?.min(bytes.len()));
        stream.write(Bytes::copy_from_slice(now))?;
        bytes = later;
    }
    Ok(())
}

#[tokio::test]
async fn the_guest_may_say_where_it_goes_at_any_time() {
    let (spool, budget) = spool(8 << 20, 1);
    let store = store().await;
    let bytes: Vec<u8> = (0..5 << 20).map(|n: u32| (n % 253) as u8).collect();
    for before in [0, 1, 100, 1 << 20, 3 << 20, bytes.len()] {
        let mut value = Outgoing::new(&spool);
        let mut stream = value.stream().unwrap();
        assert!(value.stream().is_none());
        let (first, rest) = bytes.split_at(before);
        write(&mut stream, first).await.unwrap();
        assert!(value.is_free());
        value.lead_to(store.write(&id("c", "o")).await.unwrap());
        assert!(!value.is_free());
        write(&mut stream, rest).await.unwrap();
        drop(stream);
        value.finish().await.unwrap();
        assert!(
            read_all(&store, "c", "o").await.unwrap() == bytes,
            "{before}"
        );
        assert_eq!(budget.used(), 0);
    }
}

#[tokio::test]
async fn a_value_that_is_not_finished_leaves_nothing() {
    let (spool, budget) = spool(8 << 20, 1);
    let store = store().await;
    let mut value = Outgoing::new(&spool);
    let mut stream = value.stream().unwrap();
    write(&mut stream, &[1; 100]).await.unwrap();
    value.lead_to(store.write(&id("c", "o")).await.unwrap());
    let mut second = Outgoing::new(&spool);
    assert!(second.stream().is_none(), "there is one already");
    let told = second.finish().await.unwrap_err();
    assert!(matches!(told, BlobError::Quota(_)), "{told}");
    drop(value);
    while write(&mut stream, &[1]).await.is_ok() {}
    assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
    assert!(read_all(&store, "c", "o").await.is_err());
    assert!(Outgoing::new(&spool).stream().is_some());
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn an_open_stream_ends_with_its_value() {
    let (spool, _) = spool(8 << 20, 1);
    let store = store().await;
    let mut value = Outgoing::new(&spool);
    let mut stream = value.stream().unwrap();
    write(&mut stream, b"all").await.unwrap();
    value.lead_to(store.write(&id("c", "o")).await.unwrap());
    value.finish().await.unwrap();
    assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
    assert_eq!(read_all(&store, "c", "o").await.unwrap(), b"all");
}

#[tokio::test]
async fn a_value_that_goes_nowhere_is_an_error_and_an_endless_one_too() {
    let (spool, _) = spool(2 << 20, 2);
    let mut value = Outgoing::new(&spool);
    write(&mut value.stream().unwrap(), b"lost").await.unwrap();
    let told = value.finish().await.unwrap_err().to_string();
    assert_eq!(told, "the value was not written to an object");

    let mut value = Outgoing::new(&spool);
    let mut stream = value.stream().unwrap();
    let refused = write(&mut stream, &vec![1; 16 << 20]).await.unwrap_err();
    assert!(matches!(refused, StreamError::LastOperationFailed(_)));
    let told = value.finish().await.unwrap_err();
    assert!(matches!(told, BlobError::Quota(_)), "{told}");
}

/// It filled the spool of the host, so nobody else could write a value before saying where it goes.
#[tokio::test]
async fn one_workload_leaves_room_for_the_values_of_others() {
    let plugin = Blobstore::new(BlobOptions::default(), None);
    let (greedy, modest) = (plugin.spool(), plugin.spool());
    let mut first = Outgoing::new(&greedy);
    let mut stream = first.stream().unwrap();
    write(&mut stream, &vec![1; 252 << 20]).await.unwrap();
    let mut second = Outgoing::new(&greedy);
    let mut more = second.stream().unwrap();
    assert!(write(&mut more, &vec![1; 8 << 20]).await.is_err());
    let mut other = Outgoing::new(&modest);
    let mut stream = other.stream().unwrap();
    write(&mut stream, &vec![1; 2 << 20]).await.unwrap();
    drop(stream);
    let store = store().await;
    other.lead_to(store.write(&id("c", "o")).await.unwrap());
    other.finish().await.unwrap();
}
