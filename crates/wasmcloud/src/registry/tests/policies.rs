//! When a registry is asked: `Always`, `IfNotPresent` and `Never`.

use test_servers::{FaultyRegistry, Registry};

use super::PullPolicy::{Always, IfNotPresent, Never};
use super::*;

#[tokio::test]
async fn a_hit_asks_nobody_and_a_miss_under_never_does_not_either() {
    let it = Stocked::with(100_000).await;
    let error = it.pull(Never).await.unwrap_err();
    assert!(matches!(error, ImageError::NotPresent), "{error}");
    assert_eq!(
        error.to_string(),
        "it is not in the cache, and its pull policy is `Never`"
    );
    assert!(error.hint().unwrap().contains("wash compile"));
    assert_eq!(it.faulty.requests().len(), 0);

    let first = it.pull(IfNotPresent).await.unwrap();
    assert_eq!(
        (first.bytes, first.from_cache),
        (it.component.clone(), false)
    );
    assert_eq!(first.reference, it.image.at(it.digest));
    assert_eq!(first.layer, Digest::of(&it.component));
    assert_eq!(it.faulty.requests().len(), 2, "{:#?}", it.faulty.requests());
    it.faulty.forget();
    // The tag, and what it was at; by this program, and by one that is started later.
    for images in [it.images.clone(), it.host.images()] {
        for policy in [IfNotPresent, Never] {
            for image in [it.image.clone(), it.image.at(it.digest)] {
                let again = pull(&images, &image, policy).await.unwrap();
                assert_eq!(
                    (again.bytes, again.from_cache),
                    (it.component.clone(), true)
                );
                assert_eq!(again.reference, it.image.at(it.digest));
                assert!(again.hold.is_some());
            }
        }
    }
    assert_eq!(it.faulty.requests().len(), 0);
}

#[tokio::test]
async fn the_registry_is_gone_after_the_first_pull() {
    let mut registry = Registry::start();
    let host = Host::new([registry.address().as_str()]);
    let images = host.images();
    let image = reference(&registry.address(), "app:1");
    let component = component(1, 10_000);
    push(&images, &image, &component).await;
    pull(&images, &image, Always).await.unwrap();
    registry.stop();
    let images = host.images();
    for policy in [IfNotPresent, Never] {
        assert_eq!(
            pull(&images, &image, policy).await.unwrap().bytes,
            component
        );
    }
    let error = registry_error(pull(&images, &image, Always).await.unwrap_err());
    assert!(
        matches!(error.kind, RegistryErrorKind::Unreachable { .. }),
        "{error}"
    );
    registry.resume();
    assert!(pull(&images, &image, Always).await.unwrap().from_cache);
}

#[tokio::test]
async fn a_tag_that_moved_is_noticed_under_always_and_by_nobody_else() {
    let it = Stocked::with(10_000).await;
    let new = component(2, 10_000);
    it.pull(IfNotPresent).await.unwrap();
    let is = push(&it.images, &it.image, &new).await;
    it.faulty.forget();
    for policy in [IfNotPresent, Never] {
        let pulled = it.pull(policy).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.reference),
            (it.component.clone(), it.image.at(it.digest))
        );
    }
    assert_eq!(it.faulty.requests().len(), 0);
    let pulled = it.pull(Always).await.unwrap();
    assert_eq!((pulled.bytes, pulled.from_cache), (new.clone(), false));
    // From now on, it is known to everybody.
    assert_eq!(it.pull(Never).await.unwrap().bytes, new);
    // Both are there by their digests.
    for (digest, component) in [(it.digest, it.component.clone()), (is.digest, new)] {
        let pulled = pull(&it.images, &it.image.at(digest), Never).await.unwrap();
        assert_eq!(pulled.bytes, component);
    }
}

#[tokio::test]
async fn always_asks_for_the_manifest_and_for_nothing_that_is_there() {
    let it = Stocked::with(10_000).await;
    it.pull(Always).await.unwrap();
    // Under another tag, it is the same.
    let other = it.image.tagged("2").unwrap();
    push(&it.images, &other, &it.component).await;
    it.faulty.forget();
    for image in [&it.image, &other, &it.image.at(it.digest)] {
        let again = pull(&it.images, image, Always).await.unwrap();
        assert_eq!(
            (again.bytes, again.from_cache),
            (it.component.clone(), true)
        );
    }
    assert_eq!(it.faulty.count("GET", "/manifests/"), 3);
    assert_eq!(it.faulty.requests().len(), 3, "{:#?}", it.faulty.requests());
}

#[tokio::test]
async fn without_a_policy_it_is_that_of_kubernetes() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = Host::before(&faulty);
    let images = host.images();
    let component = component(1, 10);
    let [latest, one] = ["app:latest", "app:1"].map(|rest| reference(&faulty.address(), rest));
    let digest = push(&images, &latest, &component).await.digest;
    push(&images, &one, &component).await;
    let asked = async |image: &Reference| {
        let pull = Pull::default();
        images.pull(image, &pull, By::Host, None).await.unwrap();
        faulty.forget();
        images.pull(image, &pull, By::Host, None).await.unwrap();
        faulty.requests().len()
    };
    assert_eq!(asked(&latest).await, 1);
    assert_eq!(asked(&reference(&faulty.address(), "app")).await, 1);
    assert_eq!(asked(&one).await, 0);
    assert_eq!(asked(&one.at(digest)).await, 0);
}

#[tokio::test]
async fn an_image_with_another_digest_than_its_reference_is_pinned_to_is_refused() {
    let it = Stocked::with(10).await;
    let pinned = it.image.at(it.digest);
    push(&it.images, &it.image, &component(2, 10)).await;
    let manifest = it
        .images
        .registries()
        .manifest(&it.image, &anybody())
        .await
        .unwrap()
        .unwrap();
    let body = test_servers::Fault::Body(manifest.bytes.to_vec());
    it.faulty
        .rule(test_servers::Rule::on(&pinned.version(), body));
    it.faulty.forget();
    for policy in [Always, IfNotPresent] {
        let error = registry_error(pull(&it.images, &pinned, policy).await.unwrap_err());
        assert!(
            matches!(error.kind, RegistryErrorKind::Digest { .. }),
            "{error}"
        );
    }
    assert_eq!(it.faulty.count("GET", "/blobs/"), 0);
    it.faulty.heal();
    assert_eq!(
        pull(&it.images, &pinned, Always).await.unwrap().bytes,
        it.component
    );
    // What the tag leads to now counts for nothing beside the digest.
    let both: Reference = format!("{}@{}", it.image, pinned.version())
        .parse()
        .unwrap();
    assert_eq!(
        pull(&it.images, &both, Always).await.unwrap().bytes,
        it.component
    );
    assert_eq!(
        pull(&it.images, &both, Never).await.unwrap().bytes,
        it.component
    );
}

#[tokio::test]
async fn without_a_cache_each_pull_asks_and_never_is_told_so() {
    let mut it = Stocked::with(10_000).await;
    it.host.options.cache = None;
    let images = it.host.images();
    for policy in [Always, IfNotPresent, IfNotPresent] {
        let pulled = pull(&images, &it.image, policy).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.from_cache),
            (it.component.clone(), false)
        );
        assert!(pulled.hold.is_none());
    }
    let error = pull(&images, &it.image, Never).await.unwrap_err();
    assert!(matches!(error, ImageError::NoCache), "{error}");
    assert!(error.hint().unwrap().contains("images.cacheDir"));
}

#[tokio::test]
async fn sources_serve_images_and_leave_files_to_others() {
    use crate::artifact::{Fetch as _, FetchErrorKind, Files, Wanted};
    use crate::workload::Image;

    let it = Stocked::with(10_000).await;
    let sources = Sources::new(it.images.clone(), Arc::new(Files::default()));
    let fetched = sources
        .fetch(Wanted::by_host(&Image::Registry(it.image.clone())))
        .await
        .unwrap();
    assert_eq!(fetched.bytes, it.component);
    assert_eq!(
        fetched.pinned,
        Some(Image::Registry(it.image.at(it.digest)))
    );
    assert!(fetched.hold.is_some());
    let path = it.host.folder.path().join("a.wasm");
    std::fs::write(&path, &it.component).unwrap();
    let file = sources
        .fetch(Wanted::by_host(&Image::File(path)))
        .await
        .unwrap();
    assert_eq!((file.bytes, file.pinned), (it.component, None));
    let gone = Image::Registry(it.image.tagged("gone").unwrap());
    let error = sources.fetch(Wanted::by_host(&gone)).await.unwrap_err();
    let at = it.faulty.address();
    assert_eq!(
        error.to_string(),
        format!("cannot read `{at}/app:gone`: {at}/app: there is no `gone`")
    );
    let FetchErrorKind::Registry { hint, .. } = error.kind else {
        panic!("{error}");
    };
    assert!(hint.unwrap().contains("look for a slip in the reference"));
}
