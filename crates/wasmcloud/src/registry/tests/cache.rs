//! The cache as pulls use it: damaged, shared, too small, and with half a download in it.

use std::collections::BTreeSet;

use test_servers::{Fault, FaultyRegistry, Registry, Rule};

use super::PullPolicy::{Always, IfNotPresent, Never};
use super::*;

/// Changes one bit of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn what_is_damaged_is_pulled_again_and_never_used() {
    let it = Stocked::with(10_000).await;
    it.pull(IfNotPresent).await.unwrap();
    for (damaged, is_layer) in [(Digest::of(&it.component), true), (it.digest, false)] {
        for policy in [IfNotPresent, Always] {
            damage(&it.host.blob(&damaged));
            it.faulty.forget();
            let pulled = it.pull(policy).await.unwrap();
            assert_eq!(pulled.bytes, it.component);
            assert_eq!(it.faulty.count("GET", "/manifests/"), 1);
            // A manifest that is not there is of no use for its layer, which is.
            assert_eq!(it.faulty.count("GET", "/blobs/"), usize::from(is_layer));
            assert_eq!(pulled.from_cache, !is_layer);
            assert_eq!(it.pull(Never).await.unwrap().bytes, it.component);
        }
        damage(&it.host.blob(&damaged));
        let error = it.pull(Never).await.unwrap_err();
        assert!(matches!(error, ImageError::NotPresent), "{error}");
        it.pull(IfNotPresent).await.unwrap();
    }
    assert!(
        it.images
            .store()
            .unwrap()
            .verify(|_| {})
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_record_does_not_lead_to_another_layer_than_its_manifest_has() {
    let registry = Registry::start();
    let host = Host::new([registry.address().as_str()]);
    let images = host.images();
    let (good, evil) = (component(1, 10_000), component(2, 10_000));
    let image = reference(&registry.address(), "app:1");
    for (tag, component) in [("1", &good), ("2", &evil)] {
        let image = image.tagged(tag).unwrap();
        push(&images, &image, component).await;
        pull(&images, &image, IfNotPresent).await.unwrap();
    }
    let (from, to) = (Digest::of(&good).to_string(), Digest::of(&evil).to_string());
    for record in std::fs::read_dir(host.cache().join("references")).unwrap() {
        let path = record.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace(&from, &to)).unwrap();
    }
    let error = pull(&images, &image, Never).await.unwrap_err();
    assert!(matches!(error, ImageError::NotPresent), "{error}");
    assert_eq!(
        pull(&images, &image, IfNotPresent).await.unwrap().bytes,
        good
    );
    assert_eq!(pull(&images, &image, Never).await.unwrap().bytes, good);
}

#[tokio::test]
async fn a_cache_that_cannot_be_read_is_as_good_as_none() {
    let it = Stocked::with(10_000).await;
    it.pull(IfNotPresent).await.unwrap();
    let references = it.host.cache().join("references");
    std::fs::remove_dir_all(&references).unwrap();
    std::fs::write(&references, "").unwrap();
    let error = it.pull(Never).await.unwrap_err();
    assert!(matches!(error, ImageError::Store(_)), "{error}");
    for policy in [IfNotPresent, Always] {
        assert_eq!(it.pull(policy).await.unwrap().bytes, it.component);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hosts_with_one_cache_download_each_blob_once() {
    const IMAGES: u64 = 10;
    const WANTS: u64 = 200;
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = Host::before(&faulty);
    let both = [host.images(), host.images()];
    let at = |number: u64| reference(&faulty.address(), &format!("app-{number}:1"));
    for number in 0..IMAGES {
        push(&both[0], &at(number), &component(number, 50_000)).await;
    }
    faulty.forget();
    let wants = (0..WANTS).map(|want| {
        let (number, images) = (want % IMAGES, both[usize::from(want % 3 == 0)].clone());
        let image = at(number);
        tokio::spawn(async move {
            let pulled = pull(&images, &image, IfNotPresent).await.unwrap();
            assert_eq!(pulled.bytes, component(number, 50_000));
            pulled.from_cache
        })
    });
    let done = futures::future::join_all(wants.collect::<Vec<_>>()).await;
    let downloads = done
        .into_iter()
        .filter(|from_cache| !*from_cache.as_ref().unwrap());
    assert_eq!(downloads.count() as u64, IMAGES);
    let asked = faulty.requests_of("GET", "/blobs/");
    let paths: BTreeSet<&str> = asked.iter().map(|it| it.path.as_str()).collect();
    assert_eq!((asked.len() as u64, paths.len() as u64), (IMAGES, IMAGES));
}

#[tokio::test]
async fn what_runs_is_never_dropped_and_the_rest_makes_room() {
    let registry = Registry::start();
    let mut host = Host::new([registry.address().as_str()]);
    host.options.store.limit = 300_000;
    let images = host.images();
    let at = |number: u64| reference(&registry.address(), &format!("app-{number}:1"));
    let component = |number| component(number, 100_000);
    for number in 0..8 {
        push(&images, &at(number), &component(number)).await;
    }
    let running = pull(&images, &at(0), IfNotPresent).await.unwrap();
    // In another process, it is as held as in this one.
    let other = host.images();
    for number in 1..8 {
        pull(&other, &at(number), IfNotPresent).await.unwrap();
    }
    assert!(host.blob(&running.layer).exists());
    assert!(pull(&images, &at(0), Never).await.unwrap().from_cache);
    assert!(pull(&images, &at(1), Never).await.is_err());
    let listing = images.store().unwrap().list().await.unwrap();
    assert!(listing.blobs.bytes <= 300_000, "{listing:?}");
    assert!(
        listing
            .images
            .iter()
            .filter(|it| it.in_use)
            .all(|it| it.layer == running.layer)
    );
    let layer = running.layer;
    drop(running);
    // It was used last of all, so that others go first.
    for number in 1..8 {
        pull(&other, &at(number), IfNotPresent).await.unwrap();
    }
    assert!(!host.blob(&layer).exists());
}

#[tokio::test]
async fn what_is_larger_than_the_cache_runs_and_is_not_kept() {
    let mut it = Stocked::with(100_000).await;
    it.host.options.store.limit = 50_000;
    let images = it.host.images();
    for policy in [IfNotPresent, Always] {
        let pulled = pull(&images, &it.image, policy).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.from_cache),
            (it.component.clone(), false)
        );
        assert!(pulled.hold.is_none());
    }
    assert!(matches!(
        pull(&images, &it.image, Never).await,
        Err(ImageError::NotPresent)
    ));
}

#[tokio::test]
async fn a_download_goes_on_where_an_earlier_host_was_cut_off() {
    const SIZE: usize = 2 << 20;
    let mut it = Stocked::with(SIZE).await;
    it.host.options.settings.retries.attempts = 1;
    let blob = format!("/blobs/{}", Digest::of(&it.component));
    it.faulty.rule(
        Rule::on(&blob, Fault::TruncateAndClose(1 << 20))
            .method("GET")
            .first(2),
    );
    let error = pull(&it.host.images(), &it.image, IfNotPresent)
        .await
        .unwrap_err();
    assert!(registry_error(error).may_pass());
    // Another host goes on, and is cut off at the same length of what is left.
    while pull(&it.host.images(), &it.image, IfNotPresent)
        .await
        .is_err()
    {}
    let asked = it.faulty.requests_of("GET", &blob);
    let ranges: Vec<Option<&str>> = asked.iter().map(|it| it.header("range")).collect();
    assert_eq!(ranges[0], None);
    assert!(
        ranges[1..]
            .iter()
            .all(|range| range.is_some_and(|it| it.starts_with("bytes="))),
        "{ranges:?}"
    );
    assert!(asked[1..].iter().all(|it| it.status == 206));
    assert!(
        it.faulty.bytes(&blob) < 2 * SIZE as u64,
        "{}",
        it.faulty.bytes(&blob)
    );
    assert_eq!(
        pull(&it.host.images(), &it.image, Never)
            .await
            .unwrap()
            .bytes,
        it.component
    );
}

#[tokio::test]
async fn a_registry_that_breaks_off_fills_no_disk_and_drives_out_no_image_of_others() {
    let registry = Registry::start();
    let evil = FaultyRegistry::to(registry.port());
    let mut host = Host::new([registry.address().as_str(), evil.address().as_str()]);
    host.options.settings.retries.attempts = 1;
    host.options.store.limit = 2_000_000;
    let images = host.images();
    let honest = reference(&registry.address(), "app:1");
    push(&images, &honest, &component(0, 1_000_000)).await;
    pull(&images, &honest, IfNotPresent).await.unwrap();
    let at = |number: u64| reference(&evil.address(), &format!("evil-{number}:1"));
    for number in 1..8 {
        push(&images, &at(number), &component(number, 400_000)).await;
    }
    let break_off = Fault::TruncateAndClose(390_000);
    evil.rule(Rule::on("/blobs/", break_off).method("GET"));
    for number in 1..8 {
        let error = pull(&images, &at(number), IfNotPresent).await.unwrap_err();
        assert!(registry_error(error).may_pass());
        let listing = images.store().unwrap().list().await.unwrap();
        let left = listing.partials.bytes;
        assert!(left > 0 && left <= 500_000, "{listing:?}");
    }
    assert!(pull(&images, &honest, Never).await.unwrap().from_cache);
    // Where the last one broke off, it is gone on with.
    evil.heal();
    evil.forget();
    pull(&images, &at(7), IfNotPresent).await.unwrap();
    let asked = evil.requests_of("GET", "/blobs/");
    assert_eq!(asked[0].header("range"), Some("bytes=390000-"));
}
