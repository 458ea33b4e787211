//! What goes when there is no room, and what stays.

use super::super::partial::name_of;
use super::*;

const LAYER: usize = 1_000;

fn layer(nth: u8) -> Vec<u8> {
    vec![nth; LAYER]
}

async fn is_there(store: &Store, nth: u8) -> bool {
    store
        .record(&image(&format!("{nth}")))
        .await
        .unwrap()
        .is_some()
}

/// Images of which the first one was not used for the longest time.
async fn pulled(cache: &Cache, store: &Store, count: u8) {
    for nth in 0..count {
        drop(
            pull(
                store,
                &image(&format!("{nth}")),
                &layer(nth),
                Proof::Anonymous,
            )
            .await,
        );
        let minutes = u64::from(100 - nth);
        cache.used(&layer(nth), minutes);
        // Its manifest seems not to be used at all.
        cache.used(&[b"manifest of ".as_slice(), &layer(nth)].concat(), 1_000);
    }
}

#[tokio::test]
async fn what_was_not_used_for_the_longest_time_goes_first() {
    // Room for five images of twice a layer.
    let cache = Cache::of(11_000);
    let store = cache.open();
    pulled(&cache, &store, 5).await;
    // A read is a use, also by another process; a look is not.
    assert!(read(&cache.open(), &layer(0)).await.is_some());
    assert!(is_there(&store, 1).await);
    drop(pull(&store, &image("5"), &layer(5), Proof::Anonymous).await);
    // Down to nine tenths, so 1 went with its manifest.
    let mut there = Vec::new();
    for nth in 0..6 {
        there.push(is_there(&store, nth).await);
    }
    assert_eq!(there, [true, false, true, true, true, true]);
    let listing = store.list().await.unwrap();
    assert_eq!((listing.blobs.count, listing.orphans.count), (10, 0));
    assert_eq!(names(cache.path().join("references")).len(), 5);
    assert_eq!(names(cache.path().join("sources")).len(), 10);
}

#[tokio::test]
async fn what_runs_stays_whoever_runs_it() {
    let cache = Cache::of(7_000);
    let (store, other) = (cache.open(), cache.open());
    pulled(&cache, &store, 3).await;
    let (_, pin) = other
        .blob(&Digest::of(&layer(0)), 1 << 20)
        .await
        .unwrap()
        .unwrap();
    let second = other.blob(&Digest::of(&layer(0)), 1 << 20).await.unwrap();
    cache.used(&layer(0), 10_000);
    drop(pull(&store, &image("3"), &layer(3), Proof::Anonymous).await);
    assert!(is_there(&store, 0).await);
    assert!(!is_there(&store, 1).await);
    assert!(
        read(&store, &[b"manifest of ".as_slice(), &layer(0)].concat())
            .await
            .is_some()
    );
    cache.used(&layer(0), 10_000);
    // One of two that use it ends, then the other.
    drop(second);
    let pruned = store.prune(Prune::All).await.unwrap();
    assert_eq!(pruned.kept_in_use, 2);
    assert!(is_there(&store, 0).await);
    drop(pin);
    let pruned = store.prune(Prune::All).await.unwrap();
    assert_eq!((pruned.blobs, pruned.kept_in_use), (2, 0));
    assert!(!is_there(&store, 0).await);
}

#[tokio::test]
async fn when_everything_runs_the_cache_grows_above_its_limit() {
    let cache = Cache::of(2_500);
    let store = cache.open();
    let mut pins = Vec::new();
    for nth in 0..4 {
        pins.push(download(&store, &layer(nth), &image("a")).await);
    }
    assert_eq!(store.list().await.unwrap().blobs.bytes, 4_000);
    drop(pins);
    drop(download(&store, &layer(4), &image("a")).await);
    assert_eq!(store.list().await.unwrap().blobs.bytes, 2_000);
    assert!(read(&store, &layer(4)).await.is_some());
}

#[tokio::test]
async fn what_is_larger_than_the_cache_is_refused_before_it_is_downloaded() {
    let cache = Cache::of(4);
    let store = cache.open();
    let error = store
        .download(&Digest::of(b"bytes"), 5, &image("a"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("5 bytes, more than the 4 of the whole cache"),
        "{error}"
    );
    assert_eq!(error.hint(), Some("raise the size of the cache"));
    let error = store.keep("bytes".into(), &image("a")).await.unwrap_err();
    assert!(matches!(
        error.kind(),
        StoreErrorKind::LargerThanCache { .. }
    ));
}

#[tokio::test]
async fn downloads_that_nobody_goes_on_with_go_first() {
    let cache = Cache::of(10_000);
    let store = cache.open();
    pulled(&cache, &store, 1).await;
    let partials = cache.path().join("partial");
    let mut live = begun(&store, &layer(1), &image("live")).await;
    live.write(Bytes::copy_from_slice(&layer(1)[..500]))
        .await
        .unwrap();
    live.restart().await.unwrap();
    let [name] = names(partials.clone()).try_into().unwrap();
    used(&partials.join(&name), 2 * 24 * 60);
    std::fs::write(partials.join(".new-left"), "left").unwrap();
    used(&partials.join(".new-left"), 2 * 24 * 60);
    std::fs::write(partials.join("fresh"), "fresh").unwrap();
    // There is room, but not for leftovers.
    drop(download(&store, b"one more", &image("a")).await);
    assert_eq!(names(partials.clone()), [name.as_str(), "fresh"]);
    assert!(is_there(&store, 0).await);
    let pruned = store.prune(Prune::All).await.unwrap();
    assert_eq!((pruned.partials, pruned.kept_in_use), (1, 1));
    live.write(layer(1).into()).await.unwrap();
    live.commit().await.unwrap();
    assert!(read(&store, &layer(1)).await.is_some());
}

/// A download that breaks off before its last byte.
async fn broken_off(store: &Store, nth: u8) {
    let mut partial = begun(store, &layer(nth), &image("broken")).await;
    let most = layer(nth).split_off(1);
    partial.write(most.into()).await.unwrap();
    partial.leave().await;
}

/// Where it is left.
fn left(cache: &Cache, nth: u8) -> PathBuf {
    let name = name_of(&Digest::of(&layer(nth)), &image("broken"));
    cache.path().join("partial").join(name.hex())
}

#[tokio::test]
async fn downloads_that_broke_off_hold_a_quarter_at_most_and_go_before_any_blob() {
    let cache = Cache::of(10_000);
    let store = cache.open();
    pulled(&cache, &store, 3).await;
    for nth in 10..15 {
        broken_off(&store, nth).await;
        used(&left(&cache, nth), u64::from(60 - nth));
    }
    // The oldest have gone.
    let there: Vec<bool> = (10..15).map(|nth| left(&cache, nth).exists()).collect();
    assert_eq!(there, [false, false, false, true, true]);
    let listing = store.list().await.unwrap();
    assert_eq!((listing.partials.count, listing.partials.bytes), (2, 1_998));
    // They are younger than all images, and yet there is no room for them beside these two.
    for nth in [20, 21] {
        drop(download(&store, &layer(nth), &image("a")).await);
    }
    assert!(names(cache.path().join("partial")).is_empty());
    for nth in 0..3 {
        assert!(is_there(&store, nth).await, "{nth}");
    }
}

#[tokio::test]
async fn room_is_made_before_a_download_and_not_once_it_is_there() {
    let cache = Cache::of(10_000);
    let store = cache.open();
    pulled(&cache, &store, 4).await;
    let partial = begun(&store, &[9; 3_000], &image("large")).await;
    let listing = store.list().await.unwrap();
    assert!(listing.blobs.bytes <= 7_000, "{listing:?}");
    assert!(!is_there(&store, 1).await && is_there(&store, 2).await);
    drop(partial);
}

#[tokio::test]
async fn a_download_that_somebody_is_at_is_given_up_for_no_other() {
    let cache = Cache::of(2_000_000);
    let (store, other) = (cache.open(), cache.open());
    let bytes = vec![1; 700_000];
    let mut partial = begun(&store, &bytes, &image("a")).await;
    let (first, last) = bytes.split_at(600_000);
    partial.write(Bytes::copy_from_slice(first)).await.unwrap();
    drop(download(&other, &vec![2; 1_500_000], &image("b")).await);
    partial.write(Bytes::copy_from_slice(last)).await.unwrap();
    partial.commit().await.unwrap();
    assert_eq!(read(&store, &bytes).await.unwrap(), bytes);
}

#[tokio::test]
async fn prune_removes_what_it_is_asked_to() {
    let cache = Cache::new();
    let store = cache.open();
    pulled(&cache, &store, 6).await;
    let since = Duration::from_secs(60 * 98);
    let pruned = store.prune(Prune::Unused { since }).await.unwrap();
    let bytes = 3 * (2 * LAYER as u64 + 12);
    assert_eq!(
        pruned,
        Pruned {
            blobs: 6,
            partials: 0,
            bytes,
            kept_in_use: 0
        }
    );
    assert!(!is_there(&store, 2).await && is_there(&store, 3).await);
    let pruned = store
        .prune(Prune::ToSize(2 * LAYER as u64 + 12))
        .await
        .unwrap();
    assert_eq!(pruned.blobs, 4);
    assert!(!is_there(&store, 4).await && is_there(&store, 5).await);
    store.prune(Prune::All).await.unwrap();
    for folder in ["blobs/sha256", "sources", "references", "partial"] {
        assert!(names(cache.path().join(folder)).is_empty(), "{folder}");
    }
}

#[test]
fn stores_that_pull_read_and_evict_at_once_never_see_anything_wrong() {
    let cache = Cache::of(8 * LAYER as u64);
    let held = layer(200);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let holder = cache.open();
    let _pin = runtime().block_on(pull(&holder, &image("held"), &held, Proof::Anonymous));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (store, runtime, held) = (cache.open(), runtime(), &held);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                runtime.block_on(async {
                    for _ in 0..40 {
                        let bytes = layer(random.u8(..12));
                        let from = image(&format!("{}", random.u8(..3)));
                        let digest = Digest::of(&bytes);
                        match store.download(&digest, LAYER as u64, &from).await.unwrap() {
                            Download::Present(pin) => {
                                let read = store.blob(&digest, 1 << 20).await.unwrap();
                                assert!(read.unwrap().0 == bytes);
                                drop(pin);
                            }
                            Download::Partial(mut partial) => {
                                partial.restart().await.unwrap();
                                partial.write(bytes.into()).await.unwrap();
                                partial.commit().await.unwrap();
                            }
                        }
                        if random.u8(..20) == 0 {
                            store.prune(Prune::All).await.unwrap();
                        }
                        assert!(read(&store, held).await.is_some());
                    }
                });
            });
        }
    });
    let listing = runtime().block_on(holder.list()).unwrap();
    assert!(listing.blobs.bytes <= 8 * LAYER as u64, "{listing:?}");
    assert!(
        runtime()
            .block_on(holder.record(&image("held")))
            .unwrap()
            .is_some()
    );
    let damaged = runtime().block_on(holder.verify(|_| {})).unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
}
