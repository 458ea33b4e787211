//! The cache as its users see it. Several stores on one folder see each other as processes do: by the locks of separate open files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod access;
mod disk;
mod folder;
mod room;
mod survey;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::*;

/// A folder, and how its stores are opened.
struct Cache {
    folder: tempfile::TempDir,
    options: StoreOptions,
}

impl Cache {
    fn new() -> Self {
        Self::of(1 << 30)
    }

    fn of(limit: u64) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            options: StoreOptions {
                limit,
                ..StoreOptions::default()
            },
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    fn open(&self) -> Store {
        Store::open(&self.path(), self.options).unwrap()
    }

    fn blob(&self, bytes: &[u8]) -> PathBuf {
        self.path()
            .join("blobs/sha256")
            .join(Digest::of(bytes).hex())
    }

    /// Makes a blob look as if it was last used so many minutes ago.
    fn used(&self, bytes: &[u8], minutes: u64) {
        used(&self.blob(bytes), minutes);
    }
}

fn used(path: &Path, minutes: u64) {
    let time = SystemTime::now() - Duration::from_secs(60 * minutes);
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn image(name: &str) -> Reference {
    format!("r.example/{name}").parse().unwrap()
}

fn names(folder: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Begins a download that nobody else is at and of which not all is there.
async fn begun(store: &Store, bytes: &[u8], from: &Reference) -> Partial {
    let size = bytes.len() as u64;
    match store
        .download(&Digest::of(bytes), size, from)
        .await
        .unwrap()
    {
        Download::Partial(partial) => partial,
        Download::Present(_) => panic!("it is there already"),
    }
}

/// How many bytes of a download are there.
fn there(partial: &Partial) -> u64 {
    partial.begun().unwrap().0
}

async fn download(store: &Store, bytes: &[u8], from: &Reference) -> Pin {
    let mut partial = begun(store, bytes, from).await;
    for chunk in bytes.chunks(100_000) {
        partial.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    partial.commit().await.unwrap()
}

/// What a pull leaves: a layer, a manifest, a record.
async fn pull(store: &Store, from: &Reference, layer: &[u8], to: Proof) -> Pin {
    let pin = download(store, layer, from).await;
    let manifest = [b"manifest of ", layer].concat();
    let (manifest, _) = store.keep(manifest.into(), from).await.unwrap();
    let record = Record::new(manifest, Digest::of(layer), layer.len() as u64, to);
    store.put(from, record).await.unwrap();
    pin
}

async fn read(store: &Store, bytes: &[u8]) -> Option<Bytes> {
    let read = store.blob(&Digest::of(bytes), 1 << 30).await.unwrap();
    read.map(|(bytes, _)| bytes)
}

#[tokio::test]
async fn what_is_downloaded_is_found_by_every_store_and_looked_up_without_the_registry() {
    let cache = Cache::new();
    let (one, other) = (cache.open(), cache.open());
    let from = image("a:1");
    assert!(one.record(&from).await.unwrap().is_none());
    drop(pull(&one, &from, b"layer", Proof::Anonymous).await);
    let record = other.record(&from).await.unwrap().unwrap();
    assert_eq!((record.layer, record.size), (Digest::of(b"layer"), 5));
    let (bytes, _pin) = other.blob(&record.layer, 5).await.unwrap().unwrap();
    assert_eq!(bytes, "layer");
    assert!(read(&other, b"manifest of layer").await.is_some());
    assert!(other.record(&image("a:2")).await.unwrap().is_none());
    let error = other.blob(&record.layer, 4).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("5 bytes, more than the limit of 4"),
        "{error}"
    );
    assert!(names(cache.path().join("partial")).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_many_want_is_downloaded_once() {
    let cache = Cache::new();
    let bytes = vec![7; 1_000_000];
    let stores = [cache.open(), cache.open()];
    let from = image("a");
    let mut first = begun(&stores[0], &bytes, &from).await;
    let wanted: Vec<_> = (0..40)
        .map(|nth| {
            let (store, from, bytes) = (stores[nth % 2].clone(), from.clone(), bytes.clone());
            tokio::spawn(async move {
                let size = bytes.len() as u64;
                match store
                    .download(&Digest::of(&bytes), size, &from)
                    .await
                    .unwrap()
                {
                    Download::Present(_) => read(&store, &bytes).await.unwrap() == bytes,
                    Download::Partial(_) => false,
                }
            })
        })
        .collect();
    first.write(bytes.clone().into()).await.unwrap();
    // It goes at once, with its pin: those who wait must not be misled by the lock that it leaves on the blob.
    let pin = first.commit().await.unwrap();
    for wanted in wanted {
        assert!(wanted.await.unwrap());
    }
    drop(pin);
}

#[tokio::test]
async fn a_download_goes_on_where_the_last_one_stopped() {
    let cache = Cache::new();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|it| (it % 251) as u8).collect();
    let from = image("a");
    let mut first = begun(&cache.open(), &bytes, &from).await;
    assert_eq!(there(&first), 0);
    for chunk in bytes[..700_000].chunks(100_000) {
        first.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    // Too few bytes are no blob, but stay.
    let error = first.commit().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("700000 bytes came, wanted 1000000"),
        "{error}"
    );
    let mut second = begun(&cache.open(), &bytes, &from).await;
    assert_eq!(there(&second), 700_000);
    second
        .write(Bytes::copy_from_slice(&bytes[700_000..]))
        .await
        .unwrap();
    second.commit().await.unwrap();
    assert_eq!(read(&cache.open(), &bytes).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_download_that_is_dropped_makes_way_for_the_next_one() {
    let cache = Cache::new();
    let (one, other) = (cache.open(), cache.open());
    let bytes = vec![1; 600_000];
    let from = image("a");
    let mut first = begun(&one, &bytes, &from).await;
    first
        .write(Bytes::copy_from_slice(&bytes[..300_000]))
        .await
        .unwrap();
    // A thread still writes it.
    drop(first);
    let mut second = begun(&other, &bytes, &from).await;
    assert_eq!(there(&second), 300_000);
    // A server that does not send parts sends all.
    second.restart().await.unwrap();
    assert_eq!(there(&second), 0);
    second.write(bytes.clone().into()).await.unwrap();
    second.commit().await.unwrap();
    assert_eq!(read(&one, &bytes).await.unwrap(), bytes);
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_download_that_hangs() {
    let mut cache = Cache::new();
    cache.options.wait = Duration::from_millis(30);
    let (one, other) = (cache.open(), cache.open());
    let hangs = begun(&one, b"bytes", &image("a")).await;
    for store in [&one, &other] {
        let told = store.download(&Digest::of(b"bytes"), 5, &image("a")).await;
        let told = told.unwrap_err();
        assert!(matches!(told.kind(), StoreErrorKind::Busy { .. }), "{told}");
        assert!(told.hint().unwrap().contains("another process"));
    }
    drop(hangs);
    drop(download(&other, b"bytes", &image("a")).await);
}

#[tokio::test]
async fn bytes_that_are_others_are_told_and_not_kept() {
    let cache = Cache::new();
    let store = cache.open();
    let from = image("a");
    let mut partial = begun(&store, b"right", &from).await;
    partial.write("wrong".into()).await.unwrap();
    let error = partial.commit().await.unwrap_err();
    let (wanted, found) = (Digest::of(b"right"), Digest::of(b"wrong"));
    let told = format!("the bytes that came have the digest {found}, wanted {wanted}");
    assert!(error.to_string().ends_with(&told), "{error}");
    assert!(error.hint().unwrap().starts_with("pull again"));
    // The next one begins from the start, and so it does after a server that never stops.
    let mut partial = begun(&store, b"right", &from).await;
    assert_eq!(there(&partial), 0);
    partial.write("right".into()).await.unwrap();
    let error = partial.write("!".into()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("6 bytes came, wanted 5"),
        "{error}"
    );
    assert!(partial.write("!".into()).await.is_err());
    assert!(partial.restart().await.is_err());
    assert!(partial.commit().await.is_err());
    assert!(names(cache.path().join("partial")).is_empty());
    assert!(read(&store, b"right").await.is_none());
    drop(download(&store, b"right", &from).await);
}

#[tokio::test]
async fn a_blob_with_any_other_byte_is_removed_and_downloaded_again() {
    let cache = Cache::new();
    let store = cache.open();
    let (intact, from) = (b"intact".to_vec(), image("a"));
    let mut flipped = intact.clone();
    flipped[3] ^= 1;
    let longer = [intact.clone(), vec![0]].concat();
    for damaged in [flipped, intact[..5].to_vec(), longer, Vec::new()] {
        drop(pull(&store, &from, &intact, Proof::Anonymous).await);
        assert!(store.record(&from).await.unwrap().is_some());
        std::fs::write(cache.blob(&intact), damaged).unwrap();
        assert!(read(&store, &intact).await.is_none());
        assert!(!cache.blob(&intact).exists());
        assert!(store.record(&from).await.unwrap().is_none());
    }
    // What another repository sends takes the place of what is damaged.
    drop(pull(&store, &from, &intact, Proof::Anonymous).await);
    std::fs::write(cache.blob(&intact), "intakt").unwrap();
    drop(download(&store, &intact, &image("b")).await);
    assert_eq!(read(&store, &intact).await.unwrap(), intact);
}

#[tokio::test]
async fn a_damaged_record_is_removed_and_counts_as_absent() {
    let cache = Cache::new();
    let store = cache.open();
    let (from, other) = (image("a:1"), image("b:1"));
    let path = |of: &Reference| {
        let name = Digest::of(of.to_string().as_bytes()).hex();
        cache.path().join(format!("references/{name}.json"))
    };
    drop(pull(&store, &other, b"other", Proof::Anonymous).await);
    let of_other = std::fs::read(path(&other)).unwrap();
    drop(pull(&store, &from, b"layer", Proof::Anonymous).await);
    let intact = std::fs::read(path(&from)).unwrap();
    let more = String::from_utf8(intact.clone())
        .unwrap()
        .replacen('{', "{\"more\":1,", 1);
    for damaged in [
        of_other,
        more.into_bytes(),
        intact[..20].to_vec(),
        Vec::new(),
        vec![b' '; 2 << 20],
        b"{\"manifest\":\"sha256:../../etc/passwd\"}".to_vec(),
    ] {
        std::fs::write(path(&from), &damaged).unwrap();
        assert!(store.record(&from).await.unwrap().is_none());
        assert!(!path(&from).exists());
        // It is no obstacle either to what is written next.
        std::fs::write(path(&from), &damaged).unwrap();
        let record = Record::new(
            Digest::of(b"manifest of layer"),
            Digest::of(b"layer"),
            5,
            Proof::Anonymous,
        );
        store.put(&from, record.clone()).await.unwrap();
        assert_eq!(store.record(&from).await.unwrap(), Some(record));
    }
}
