//! Manifests as registries send them.

use super::fake::{Fake, Kept, Say};
use super::*;

async fn sending(say: impl Fn() -> Say + Send + Sync + 'static) -> (Fake, Registries) {
    let fake = Fake::start(move |_, _| say()).await;
    let registries = registries(settings(&[&fake.address]));
    (fake, registries)
}

async fn told(say: impl Fn() -> Say + Send + Sync + 'static) -> String {
    let (fake, registries) = sending(say).await;
    let asked = registries
        .resolve(&reference(&fake.address, "app:1"), &anybody())
        .await;
    asked.unwrap_err().to_string()
}

#[tokio::test]
async fn what_is_no_component_is_told_before_anything_is_fetched() {
    let image = json!({
        "schemaVersion": 2,
        "config": Descriptor::of(media::IMAGE_CONFIG, b"{}"),
        "layers": [Descriptor::of("application/vnd.oci.image.layer.v1.tar+gzip", b"x")],
    });
    let (fake, registries) =
        sending(move || Say::bytes(image.to_string()).header("content-type", media::MANIFEST))
            .await;
    let asked = registries
        .resolve(&reference(&fake.address, "app:1"), &anybody())
        .await;
    let error = asked.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}/app: it is a container image, not a component",
            fake.address
        )
    );
    assert!(error.hint().unwrap().contains("wash push"));
    assert_eq!(fake.seen().len(), 1);
    let accepts = fake.seen()[0].line.clone();
    assert_eq!(accepts, "GET /v2/app/manifests/1");
}

#[tokio::test]
async fn a_component_larger_than_the_settings_allow_is_refused_before_it_is_fetched() {
    let kept = Kept::new(component(1_001));
    let keeps = kept.clone();
    let fake = Fake::start(move |seen, _| keeps.say(seen)).await;
    let registries = registries(Settings {
        largest_image: 1_000,
        ..settings(&[&fake.address])
    });
    let asked = registries
        .resolve(&reference(&fake.address, "app:1"), &anybody())
        .await;
    let told = asked.unwrap_err().to_string();
    assert!(
        told.contains("1001 bytes, more than the limit of 1000"),
        "{told}"
    );
    let small = registries
        .small_blob(
            &reference(&fake.address, "app:1"),
            &kept.layer,
            1_000,
            &anybody(),
        )
        .await;
    assert!(
        small
            .unwrap_err()
            .to_string()
            .contains("more than 1000 bytes")
    );
    assert!(fake.seen_of("GET /v2/app/blobs").is_empty());
}

#[tokio::test]
async fn a_manifest_that_never_ends_is_cut_off() {
    let told_size = told(|| Say::bytes(vec![b' '; (4 << 20) + 1])).await;
    assert!(
        told_size.contains("the manifest `1` has more than 4194304 bytes"),
        "{told_size}"
    );
    let endless = told(|| Say::bytes(vec![b' '; (4 << 20) + 1]).unsized_()).await;
    assert!(endless.contains("more than 4194304 bytes"), "{endless}");
}

#[tokio::test]
async fn a_manifest_with_another_digest_than_was_said_or_asked_for_is_refused() {
    let kept = Kept::new(component(10));
    let other = Digest::of(b"other");
    let says = kept.clone();
    let told = told(move || {
        says.manifest()
            .header("Docker-Content-Digest", other.to_string())
    })
    .await;
    assert!(
        told.contains(&format!("not {other}: it was changed")),
        "{told}"
    );
    let (fake, registries) = sending(move || kept.manifest()).await;
    let pinned = reference(&fake.address, &format!("app@{other}"));
    let error = registries.resolve(&pinned, &anybody()).await.unwrap_err();
    assert!(
        matches!(error.kind, RegistryErrorKind::Digest { wanted, .. } if wanted == other),
        "{error}"
    );
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_digest_is_asked_for_without_the_manifest_where_the_registry_can_say_it() {
    let kept = Kept::new(component(10));
    let digest = Digest::of(&kept.manifest);
    for says in [true, false] {
        let kept = kept.clone();
        let (fake, registries) = sending(move || match says {
            true => kept
                .manifest()
                .header("docker-content-digest", digest.to_string()),
            false => kept.manifest(),
        })
        .await;
        let found = registries
            .digest(&reference(&fake.address, "app:1"), &anybody())
            .await;
        assert_eq!(found.unwrap(), Some(digest));
        assert_eq!(fake.seen_of("GET").len(), usize::from(!says));
    }
    let (fake, registries) = sending(|| Say::status(404)).await;
    let found = registries
        .digest(&reference(&fake.address, "app:1"), &anybody())
        .await;
    assert_eq!(found.unwrap(), None);
    let found = registries
        .manifest(&reference(&fake.address, "app:1"), &anybody())
        .await;
    assert_eq!(found.unwrap(), None);
    let error = registries
        .resolve(&reference(&fake.address, "app:1"), &anybody())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/app: there is no `1`", fake.address)
    );
}

#[tokio::test]
async fn lists_of_tags_have_pages_with_an_end() {
    let fake = Fake::start(|seen, _| {
        let (tags, next) = match seen.line.as_str() {
            "GET /v2/app/tags/list?n=1000" => {
                (json!(["a", "b"]), Some("/v2/app/tags/list?n=1000&last=b"))
            }
            "GET /v2/app/tags/list?n=1000&last=b" => (json!(["c"]), None),
            "GET /v2/none/tags/list?n=1000" => (json!(null), None),
            _ => (json!(["x"]), Some("?n=1000")),
        };
        let page = Say::bytes(json!({"name": "app", "tags": tags}).to_string());
        match next {
            Some(next) => page.header("Link", format!("<{next}>; rel=\"next\"")),
            None => page,
        }
    })
    .await;
    let registries = registries(settings(&[&fake.address]));
    let tags = async |name: &str| {
        registries
            .tags(&reference(&fake.address, name), &anybody())
            .await
    };
    assert_eq!(tags("app").await.unwrap(), ["a", "b", "c"]);
    assert!(tags("none").await.unwrap().is_empty());
    let error = tags("endless").await.unwrap_err();
    assert!(
        matches!(error.kind, RegistryErrorKind::TooLarge { .. }),
        "{error}"
    );
    assert_eq!(fake.seen_of("GET /v2/endless/").len(), 100);
}

#[tokio::test]
async fn more_or_longer_tags_than_there_may_be_are_refused() {
    let page = |tags: Vec<String>| Say::bytes(json!({"name": "app", "tags": tags}).to_string());
    let many = |count: usize| (0..count).map(|nth| nth.to_string()).collect::<Vec<_>>();
    let tags = async |fake: &Fake| {
        let registries = registries(settings(&[&fake.address]));
        let reference = reference(&fake.address, "app");
        registries.tags(&reference, &anybody()).await
    };
    let next = "</v2/app/tags/list?n=1000&last=x>; rel=\"next\"";
    let two_pages = Fake::start(move |_, _| page(many(60_000)).header("Link", next)).await;
    let error = tags(&two_pages).await.unwrap_err();
    assert!(
        error.to_string().ends_with("more than 100000 tags"),
        "{error}"
    );
    assert_eq!(two_pages.seen().len(), 2);
    let most = Fake::start(move |_, _| page(many(100_000))).await;
    assert_eq!(tags(&most).await.unwrap().len(), 100_000);
    let longest = Fake::start(move |_, _| page(vec!["x".repeat(128)])).await;
    assert_eq!(tags(&longest).await.unwrap(), ["x".repeat(128)]);
    let longer = Fake::start(move |_, _| page(vec!["x".repeat(129)])).await;
    let error = tags(&longer).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("a tag of 129 bytes, of at most 128"),
        "{error}"
    );
}

#[tokio::test]
async fn referrers_are_what_the_registry_knows_or_what_stands_under_a_tag() {
    let of = Digest::of(b"app");
    let signature = Descriptor::of(media::MANIFEST, b"signature");
    for path in [
        format!("referrers/{of}"),
        format!("manifests/sha256-{}", of.hex()),
    ] {
        let index =
            json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [signature]});
        let line = format!("GET /v2/app/{path}");
        let fake = Fake::start(move |seen, _| match seen.line == line {
            true => Say::bytes(index.to_string()).header("content-type", media::INDEX),
            false => Say::status(404),
        })
        .await;
        let registries = registries(settings(&[&fake.address]));
        let found = registries
            .referrers(&reference(&fake.address, "app:1"), of, &anybody())
            .await;
        assert_eq!(found.unwrap(), std::slice::from_ref(&signature));
    }
    let (fake, registries) = sending(|| Say::status(404)).await;
    let found = registries
        .referrers(&reference(&fake.address, "app:1"), of, &anybody())
        .await;
    assert_eq!(found.unwrap(), []);
}
