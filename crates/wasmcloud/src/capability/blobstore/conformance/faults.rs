//! What every backend over a network does when the server or the way to it fails: nothing that was acknowledged is lost, errors say
//! what they are, and nobody has to do anything when it is over.
#![cfg_attr(
    not(any(feature = "blobstore-nats", feature = "blobstore-s3")),
    allow(dead_code, reason = "there is no such backend")
)]

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use test_servers::{Proxy, Way};

use super::{Store, id, name, read_all, write_all};
use crate::capability::blobstore::{BlobError, Range};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn content(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * 7 + seed) % 251) as u8).collect()
}

/// An error that says that it is the server or the way to it.
fn is_typed(error: &BlobError) -> bool {
    matches!(error, BlobError::Unavailable(_) | BlobError::Timeout)
}

/// Tries until it succeeds.
async fn back<T>(work: impl AsyncFn() -> Result<T, BlobError>) -> T {
    let trying = async {
        loop {
            match work().await {
                Ok(done) => return done,
                Err(error) => assert!(is_typed(&error), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.unwrap()
}

/// `restart` kills the server and starts it again.
pub(in super::super) async fn what_was_acknowledged_outlives_a_server(
    blobs: &Store,
    restart: impl AsyncFnOnce(),
) {
    blobs.create_container(&name("kept")).await.unwrap();
    for (seed, size) in [0, 1, 1000, 300_000, 9 << 20].into_iter().enumerate() {
        let content = content(seed, size);
        write_all(blobs, "kept", &size.to_string(), &content)
            .await
            .unwrap();
    }
    let half = content(9, 10 << 20);
    let mut writing = blobs.write(&id("kept", "half")).await.unwrap();
    writing
        .write(Bytes::copy_from_slice(&half[..9 << 20]))
        .await
        .unwrap();
    restart().await;
    for (seed, size) in [0, 1, 1000, 300_000, 9 << 20].into_iter().enumerate() {
        let read = back(async || read_all(blobs, "kept", &size.to_string()).await).await;
        assert!(read == content(seed, size), "{size}");
    }
    // What was under way is whole, or there is nothing of it.
    let rest = Bytes::copy_from_slice(&half[9 << 20..]);
    let finished = match writing.write(rest).await {
        Ok(()) => writing.commit().await,
        Err(error) => Err(error),
    };
    match finished {
        Ok(()) => assert!(read_all(blobs, "kept", "half").await.unwrap() == half),
        Err(error) => {
            assert!(is_typed(&error), "{error}");
            let there = blobs.info(&id("kept", "half")).await.map(drop);
            assert_eq!(there, Err(BlobError::NoSuchObject));
        }
    }
    back(async || write_all(blobs, "kept", "new", b"new").await).await;
    assert_eq!(read_all(blobs, "kept", "new").await.unwrap(), b"new");
}

/// The way to the server is slow, held as in a partition, cut, and breaks in the middle of a read.
pub(in super::super) async fn the_way(blobs: &Store, proxy: &Proxy, slow: Way) {
    blobs.create_container(&name("c")).await.unwrap();
    let kept = content(1, 20_000);
    write_all(blobs, "c", "kept", &kept).await.unwrap();
    let large = content(2, 4 << 20);
    write_all(blobs, "c", "large", &large).await.unwrap();

    proxy.set(slow);
    write_all(blobs, "c", "slow", &kept).await.unwrap();
    assert!(read_all(blobs, "c", "slow").await.unwrap() == kept);

    for way in [Way::Held, Way::Cut] {
        proxy.set(way);
        let told = blobs.info(&id("c", "kept")).await.map(drop).unwrap_err();
        assert!(is_typed(&told), "{way:?}: {told}");
        let told = write_all(blobs, "c", "late", &kept).await.unwrap_err();
        assert!(is_typed(&told), "{way:?}: {told}");
        proxy.set(Way::Open);
        let read = back(async || read_all(blobs, "c", "kept").await).await;
        assert!(read == kept, "{way:?}");
        // Nobody was told that it was taken, so it is whole or not there.
        match back(async || match read_all(blobs, "c", "late").await {
            Err(BlobError::NoSuchObject) => Ok(None),
            read => read.map(Some),
        })
        .await
        {
            Some(late) => assert!(late == kept, "{way:?}"),
            None => back(async || write_all(blobs, "c", "late", &kept).await).await,
        }
    }

    let whole = Range::inclusive(0, u64::MAX).unwrap();
    let mut reading = blobs.read(&id("c", "large"), whole).await.unwrap();
    let first = reading.contents.try_next().await.unwrap().unwrap();
    proxy.break_all();
    match reading.contents.try_collect::<Vec<Bytes>>().await {
        Ok(rest) => assert!([&first[..], &rest.concat()].concat() == large),
        Err(error) => assert!(is_typed(&error), "{error}"),
    }
    let read = back(async || read_all(blobs, "c", "large").await).await;
    assert!(read == large);
}
