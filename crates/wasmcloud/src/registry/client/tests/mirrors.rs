//! Mirrors: asked first, with what is for them, and passed over when they are of no use.

use super::fake::{Fake, Kept, Say};
use super::*;
use crate::registry::client::blob::Transfer;
use crate::registry::settings::Mirror;

fn mirror(location: &str) -> Mirror {
    Mirror {
        location: location.to_owned(),
        plain_http: true,
        ..Mirror::default()
    }
}

fn mirrored(registry: &Fake, mirrors: Vec<Mirror>) -> Registries {
    let mut settings = settings(&[&registry.address]);
    settings
        .registries
        .get_mut(&registry.address)
        .unwrap()
        .mirrors = mirrors;
    registries(settings)
}

async fn keeping(kept: &Kept) -> Fake {
    let kept = kept.clone();
    Fake::start(move |seen, _| kept.say(seen)).await
}

#[tokio::test]
async fn the_first_mirror_that_has_it_is_enough() {
    let kept = Kept::new(component(10));
    let (empty, first, second, itself) = (
        Fake::start(|_, _| Say::status(404)).await,
        keeping(&kept).await,
        keeping(&kept).await,
        keeping(&kept).await,
    );
    let all = [&empty, &first, &second].map(|fake| mirror(&fake.address));
    let registries = mirrored(&itself, all.to_vec());
    let got = pull(
        &registries,
        &reference(&itself.address, "app:1"),
        &anybody(),
    )
    .await;
    assert_eq!(got.unwrap(), kept.component);
    let asked = [&empty, &first, &second, &itself].map(|fake| fake.seen().len());
    assert_eq!(asked, [2, 2, 0, 0]);
}

#[tokio::test]
async fn a_mirror_that_fails_lies_or_is_gone_is_passed_over() {
    let kept = Kept::new(component(10_000));
    let itself = keeping(&kept).await;
    let keeps = kept.clone();
    let liar = Fake::start(move |seen, _| match seen.line.contains("/blobs/") {
        true => Say::bytes(vec![0; 10_000]),
        false => keeps.say(seen),
    })
    .await;
    let keeps = kept.clone();
    let broken = Fake::start(
        move |seen, nth| match (seen.line.contains("/blobs/"), nth) {
            (true, 0) => keeps.part(seen).breaking_after(6_000),
            (true, _) => Say::status(500),
            _ => keeps.say(seen),
        },
    )
    .await;
    let locked = Fake::start(|_, _| Say::status(401).header("WWW-Authenticate", "Basic")).await;
    let gone = format!("127.0.0.1:{}", test_servers::free_port());
    for address in [&liar.address, &broken.address, &locked.address, &gone] {
        let registries = mirrored(&itself, vec![mirror(address)]);
        let got = pull(
            &registries,
            &reference(&itself.address, "app:1"),
            &anybody(),
        )
        .await;
        assert_eq!(got.unwrap(), kept.component, "{address}");
    }
    // What one has begun the next goes on with.
    let ranges = itself.seen_of("GET /v2/app/blobs");
    assert!(
        ranges
            .iter()
            .any(|seen| seen.header("range") == Some("bytes=6000-"))
    );
}

#[tokio::test]
async fn a_mirror_that_takes_longer_than_its_turn_is_passed_over() {
    let kept = Kept::new(component(10_000));
    let keeps = kept.clone();
    let itself = Fake::start(move |seen, _| match &*seen.line {
        line if line.contains("/blobs/") => keeps.part(seen),
        line if line.contains("/referrers/") => {
            let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": []});
            Say::bytes(index.to_string())
        }
        _ => keeps.say(seen),
    })
    .await;
    let keeps = kept.clone();
    let slow = Fake::start(move |seen, _| match seen.line.contains("/blobs/") {
        true => keeps.part(seen).breaking_after(6_000).staying(),
        false => Say::Silence,
    })
    .await;
    let registries = mirrored(&itself, vec![mirror(&slow.address)]);
    let (reference, access) = (reference(&itself.address, "app:1"), anybody());
    let doors = || registries.doors_within(&reference, &access, Duration::from_millis(100));
    let mut bytes = BytesMut::new();
    let mut transfer = Transfer::new(&kept.layer, &mut bytes).await.unwrap();
    doors().unwrap().blob(&mut transfer).await.unwrap();
    assert_eq!(bytes, kept.component);
    let of = doors().unwrap();
    let found = first(&of, |door| door.manifest("1", None)).await;
    let digest = found.unwrap().digest;
    let of = doors().unwrap();
    let found = first(&of, |door| door.digest("1")).await;
    assert_eq!(found.unwrap(), digest);
    let of = doors().unwrap();
    let found = first(&of, |door| door.referrers(digest)).await;
    assert!(found.unwrap().is_empty());
}

#[tokio::test]
async fn a_mirror_never_sees_what_is_for_the_registry() {
    let kept = Kept::new(component(10));
    let itself = keeping(&kept).await;
    let locked = Fake::start(|_, _| Say::status(401).header("WWW-Authenticate", "Basic")).await;
    let mut settings = settings(&[&itself.address]);
    let registry = settings.registries.get_mut(&itself.address).unwrap();
    registry.credentials = Some(basic("me", "pw"));
    registry.mirrors = vec![mirror(&locked.address)];
    let access = with(&itself.address, basic("me", "pw"));
    let registries = registries(settings.clone());
    pull(&registries, &reference(&itself.address, "app:1"), &access)
        .await
        .unwrap();
    assert!(!locked.was_shown("authorization") && !locked.seen().is_empty());
    settings
        .registries
        .get_mut(&itself.address)
        .unwrap()
        .mirrors[0]
        .credentials = Some(basic("mirror", "pw"));
    let registries = super::registries(settings);
    pull(&registries, &reference(&itself.address, "app:1"), &access)
        .await
        .unwrap();
    let shown = locked
        .seen()
        .into_iter()
        .filter_map(|seen| seen.headers.get("authorization").cloned());
    assert!(shown.clone().count() > 0);
    assert!(shown.into_iter().all(|shown| shown == "Basic bWlycm9yOnB3"));
}

#[tokio::test]
async fn a_mirror_may_have_its_repositories_below_a_path() {
    let kept = Kept::new(component(10));
    let itself = keeping(&kept).await;
    let keeps = kept.clone();
    let cache = Fake::start(move |seen, _| {
        let mut seen = seen.clone();
        seen.line = seen.line.replace("/v2/cache/hub/app/", "/v2/app/");
        keeps.say(&seen)
    })
    .await;
    let registries = mirrored(
        &itself,
        vec![mirror(&format!("{}/cache/hub", cache.address))],
    );
    pull(
        &registries,
        &reference(&itself.address, "app:1"),
        &anybody(),
    )
    .await
    .unwrap();
    assert_eq!(cache.seen_of("GET /v2/cache/hub/app/").len(), 2);
    assert!(itself.seen().is_empty());
}

#[tokio::test]
async fn nothing_is_pushed_to_a_mirror() {
    let itself = Fake::start(|_, _| Say::status(404)).await;
    let other = Fake::start(|_, _| Say::status(404)).await;
    let registries = mirrored(&itself, vec![mirror(&other.address)]);
    let reference = reference(&itself.address, "app:1");
    let put = registries
        .put_manifest(&reference, media::MANIFEST, &"{}".into(), &anybody())
        .await;
    assert!(put.is_err());
    assert!(registries.tags(&reference, &anybody()).await.is_err());
    assert!(other.seen().is_empty());
}
