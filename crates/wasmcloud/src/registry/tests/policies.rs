//! When a registry is asked: `Always`, `IfNotPresent` and `Never`.

use test_servers::{FaultyRegistry, Registry};

use super::PullPolicy::{Always, IfNotPresent, Never};
use super::*;

#[tokio::test]
async fn a_hit_asks_nobody_and_a_miss_under_never_does_not_either() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = Host::before(&faulty);
    let images = host.images();
    let image = reference(&faulty.address(), "app:1");
    let component = component(1, 100_000);
    let pushed = push(&images, &image, &component).await;
    faulty.forget();
    let error = pull(&images, &image, Never).await.unwrap_err();
    assert!(matches!(error, ImageError::NotPresent), "{error}");
    assert_eq!(
        error.to_string(),
        "it is not in the cache, and its pull policy is `Never`"
    );
    assert!(error.hint().unwrap().contains("wash compile"));
    assert_eq!(faulty.requests().len(), 0);

    let first = pull(&images, &image, IfNotPresent).await.unwrap();
    assert_eq!((first.bytes, first.from_cache), (component.clone(), false));
    assert_eq!(first.reference, image.at(pushed.digest));
    assert_eq!(first.layer, Digest::of(&component));
    assert_eq!(faulty.requests().len(), 2, "{:#?}", faulty.requests());
    faulty.forget();
    // The tag, and what it was at; by this program, and by one that is started later.
    for images in [images, host.images()] {
        for policy in [IfNotPresent, Never] {
            for image in [image.clone(), image.at(pushed.digest)] {
                let again = pull(&images, &image, policy).await.unwrap();
                assert_eq!((again.bytes, again.from_cache), (component.clone(), true));
                assert_eq!(again.reference, image.at(pushed.digest));
                assert!(again.hold.is_some());
            }
        }
    }
    assert_eq!(faulty.requests().len(), 0);
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
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = Host::before(&faulty);
    let images = host.images();
    let image = reference(&faulty.address(), "app:1");
    let (old, new) = (component(1, 10_000), component(2, 10_000));
    let was = push(&images, &image, &old).await;
    pull(&images, &image, IfNotPresent).await.unwrap();
    let is = push(&images, &image, &new).await;
    faulty.forget();
    for policy in [IfNotPresent, Never] {
        let pulled = pull(&images, &image, policy).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.reference),
            (old.clone(), image.at(was.digest))
        );
    }
    assert_eq!(faulty.requests().len(), 0);
    let pulled = pull(&images, &image, Always).await.unwrap();
    assert_eq!((pulled.bytes, pulled.from_cache), (new.clone(), false));
    // From now on, it is known to everybody.
    assert_eq!(pull(&images, &image, Never).await.unwrap().bytes, new);
    // Both are there by their digests.
    for (digest, component) in [(was.digest, old), (is.digest, new)] {
        let pulled = pull(&images, &image.at(digest), Never).await.unwrap();
        assert_eq!(pulled.bytes, component);
    }
}

#[tokio::test]
async fn always_asks_for_the_manifest_and_for_nothing_that_is_there() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = Host::before(&faulty);
    let images = host.images();
    let image = reference(&faulty.address(), "app:1");
    let component = component(1, 10_000);
    let pushed = push(&images, &image, &component).await;
    pull(&images, &image, Always).await.unwrap();
    // Under another tag, it is the same.
    let other = image.tagged("2").unwrap();
    push(&images, &other, &component).await;
    faulty.forget();
    for image in [&image, &other, &image.at(pushed.digest)] {
        let again = pull(&images, image, Always).await.unwrap();
        assert_eq!((again.bytes, again.from_cache), (component.clone(), true));
    }
    assert_eq!(faulty.count("GET", "/manifests/"), 3);
    assert_eq!(faulty.requests().len(), 3, "{:#?}", faulty.requests());
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
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = Host::before(&faulty);
    let images = host.images();
    let image = reference(&faulty.address(), "app:1");
    let (good, evil) = (component(1, 10), component(2, 10));
    let pinned = image.at(push(&images, &image, &good).await.digest);
    push(&images, &image, &evil).await;
    let manifest = images
        .registries()
        .manifest(&image, &anybody())
        .await
        .unwrap()
        .unwrap();
    let body = test_servers::Fault::Body(manifest.bytes.to_vec());
    faulty.rule(test_servers::Rule::on(&pinned.version(), body));
    faulty.forget();
    for policy in [Always, IfNotPresent] {
        let error = registry_error(pull(&images, &pinned, policy).await.unwrap_err());
        assert!(
            matches!(error.kind, RegistryErrorKind::Digest { .. }),
            "{error}"
        );
    }
    assert_eq!(faulty.count("GET", "/blobs/"), 0);
    faulty.heal();
    assert_eq!(pull(&images, &pinned, Always).await.unwrap().bytes, good);
    // What the tag leads to now counts for nothing beside the digest.
    let both: Reference = format!("{image}@{}", pinned.version()).parse().unwrap();
    assert_eq!(pull(&images, &both, Always).await.unwrap().bytes, good);
    assert_eq!(pull(&images, &both, Never).await.unwrap().bytes, good);
}

#[tokio::test]
async fn without_a_cache_each_pull_asks_and_never_is_told_so() {
    let registry = Registry::start();
    let mut host = Host::new([registry.address().as_str()]);
    host.options.cache = None;
    let images = host.images();
    let image = reference(&registry.address(), "app:1");
    let component = component(1, 10_000);
    push(&images, &image, &component).await;
    for policy in [Always, IfNotPresent, IfNotPresent] {
        let pulled = pull(&images, &image, policy).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.from_cache),
            (component.clone(), false)
        );
        assert!(pulled.hold.is_none());
    }
    let error = pull(&images, &image, Never).await.unwrap_err();
    assert!(matches!(error, ImageError::NoCache), "{error}");
    assert!(error.hint().unwrap().contains("images.cacheDir"));
}

#[tokio::test]
async fn sources_serve_images_and_leave_files_to_others() {
    use crate::artifact::{Fetch as _, FetchErrorKind, Files, Wanted};
    use crate::workload::Image;

    let registry = Registry::start();
    let host = Host::new([registry.address().as_str()]);
    let images = host.images();
    let image = reference(&registry.address(), "app:1");
    let component = component(1, 10_000);
    let pushed = push(&images, &image, &component).await;
    let sources = Sources::new(images, Arc::new(Files::default()));
    let fetched = sources
        .fetch(Wanted::by_host(&Image::Registry(image.clone())))
        .await
        .unwrap();
    assert_eq!(fetched.bytes, component);
    assert_eq!(
        fetched.pinned,
        Some(Image::Registry(image.at(pushed.digest)))
    );
    assert!(fetched.hold.is_some());
    let path = host.folder.path().join("a.wasm");
    std::fs::write(&path, &component).unwrap();
    let file = sources
        .fetch(Wanted::by_host(&Image::File(path)))
        .await
        .unwrap();
    assert_eq!((file.bytes, file.pinned), (component, None));
    let gone = Image::Registry(image.tagged("gone").unwrap());
    let error = sources.fetch(Wanted::by_host(&gone)).await.unwrap_err();
    let at = registry.address();
    assert_eq!(
        error.to_string(),
        format!("cannot read `{at}/app:gone`: {at}/app: there is no `gone`")
    );
    let FetchErrorKind::Registry { hint, .. } = error.kind else {
        panic!("{error}");
    };
    assert!(hint.unwrap().contains("look for a slip in the reference"));
}
