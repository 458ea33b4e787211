//! What people are shown of the cache.

use std::sync::{Arc, Mutex};

use super::*;

#[tokio::test]
async fn a_list_tells_what_is_there_and_what_is_in_use() {
    let cache = Cache::new();
    let (store, other) = (cache.open(), cache.open());
    let ann = store.fingerprint("r.example", &[b"ann"]);
    let pin = pull(&store, &image("b:1"), b"layer of b", Proof::Anonymous).await;
    drop(pull(&store, &image("a:1"), b"layer of a", ann).await);
    cache.used(b"layer of a", 60);
    // The tag moves, so what was there before belongs to nobody.
    drop(pull(&store, &image("c:1"), b"old", Proof::Anonymous).await);
    drop(pull(&store, &image("c:1"), b"new", Proof::Anonymous).await);
    let _half = begun(&store, b"half", &image("a:1")).await;
    let listing = other.list().await.unwrap();
    let seen: Vec<_> = listing
        .images
        .iter()
        .map(|it| (it.reference.to_string(), it.size, it.in_use, it.is_private))
        .collect();
    assert_eq!(
        seen,
        [
            ("r.example/a:1".to_owned(), 10, false, true),
            ("r.example/b:1".to_owned(), 10, true, false),
            ("r.example/c:1".to_owned(), 3, false, false),
        ]
    );
    let [a, b, _] = listing.images.try_into().unwrap();
    assert!(a.last_used < b.last_used);
    assert_eq!(
        (a.layer, a.manifest),
        (
            Digest::of(b"layer of a"),
            Digest::of(b"manifest of layer of a")
        )
    );
    let total = |count, bytes| Total { count, bytes };
    assert_eq!(listing.blobs, total(8, 26 + 26 + 48));
    assert_eq!(listing.orphans, total(2, 3 + 15));
    assert_eq!(listing.partials, total(1, 0));
    assert_eq!(listing.limit, 1 << 30);
    drop(pin);
    assert!(!other.list().await.unwrap().images[1].in_use);
}

#[tokio::test]
async fn verify_finds_and_removes_what_is_damaged_and_nothing_else() {
    let cache = Cache::new();
    let store = cache.open();
    let large = vec![3; 3_000_000];
    drop(pull(&store, &image("a:1"), &large, Proof::Anonymous).await);
    let pin = pull(&store, &image("b:1"), b"layer of b", Proof::Anonymous).await;
    drop(pull(&store, &image("c:1"), b"layer of c", Proof::Anonymous).await);
    let checked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&checked);
    let damaged = store
        .verify(move |it| seen.lock().unwrap().push(it))
        .await
        .unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
    let last = *checked.lock().unwrap().last().unwrap();
    assert_eq!(last.bytes, last.of);
    assert!(last.of > 6_000_000);
    // Also what somebody runs.
    std::fs::write(cache.blob(b"layer of b"), "layer of B").unwrap();
    let record = Digest::of(image("c:1").to_string().as_bytes()).hex();
    let record = cache.path().join(format!("references/{record}.json"));
    std::fs::write(&record, "{}").unwrap();
    let damaged = store.verify(|_| {}).await.unwrap();
    let paths: Vec<_> = damaged.iter().map(|it| it.path.clone()).collect();
    assert_eq!(paths, [record.clone(), cache.blob(b"layer of b")]);
    assert_eq!(damaged[1].references, [image("b:1")]);
    assert!(damaged.iter().all(|it| it.is_removed && !it.path.exists()));
    assert!(
        damaged[1]
            .problem
            .starts_with("its bytes have the digest sha256:")
    );
    assert!(store.verify(|_| {}).await.unwrap().is_empty());
    drop(pin);
    assert!(store.record(&image("a:1")).await.unwrap().is_some());
    drop(download(&store, b"layer of b", &image("b:1")).await);
}
