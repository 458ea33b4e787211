//! Uploads to registries that have their own ways.

use std::collections::BTreeMap;

use super::fake::{Fake, Say};
use super::*;

async fn put(fake: &Fake, bytes: &Bytes) -> Result<bool, RegistryError> {
    let registries = registries(settings(&[&fake.address]));
    registries
        .put_blob(&reference(&fake.address, "app:1"), bytes, &anybody())
        .await
}

#[tokio::test]
async fn an_upload_goes_where_the_registry_says() {
    let blob = component(200_000);
    let store = Fake::start(|_, _| Say::status(201)).await;
    let elsewhere = format!("http://{}/up?a=b%3D", store.address);
    for location in ["/up?a=b%3D", "../../../../up?a=b%3D", &elsewhere] {
        let location = location.to_owned();
        let fake = Fake::start(move |seen, _| match seen.line.split_once(' ').unwrap().0 {
            _ if seen.header("authorization").is_none() => {
                Say::status(401).header("WWW-Authenticate", "Basic")
            }
            "HEAD" => Say::status(404),
            "POST" => Say::status(202).header("Location", location.clone()),
            _ => Say::status(201),
        })
        .await;
        let registries = registries(settings(&[&fake.address]));
        let access = with(&fake.address, basic("me", "pw"));
        let put = registries
            .put_blob(&reference(&fake.address, "app:1"), &blob, &access)
            .await;
        assert!(!put.unwrap());
        let at = if fake.seen_of("PUT").is_empty() {
            &store
        } else {
            &fake
        };
        let seen = at.seen_of("PUT").pop().unwrap();
        let digest = Digest::of(&blob).to_string().replace(':', "%3A");
        assert_eq!(seen.line, format!("PUT /up?a=b%3D&digest={digest}"));
        assert_eq!(seen.body, blob);
    }
    assert!(!store.was_shown("authorization") && store.seen().len() == 1);
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_begun_again() {
    let blob = component(10);
    let fake = Fake::start(|seen, nth| match seen.line.split_once(' ').unwrap().0 {
        "HEAD" => Say::status(404),
        "POST" => Say::status(202).header("Location", format!("/up/{nth}")),
        _ if seen.line.starts_with("PUT /up/0") => Say::Nothing,
        _ if seen.line.starts_with("PUT /up/1") => Say::status(500),
        _ => Say::status(201),
    })
    .await;
    assert!(!put(&fake, &blob).await.unwrap());
    assert_eq!(fake.seen_of("POST").len(), 3);
}

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let fake = Fake::start(|_, _| Say::status(200)).await;
    assert!(put(&fake, &component(10)).await.unwrap());
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_registry_that_takes_nothing_is_told() {
    let told = async |status: u16| {
        let fake = Fake::start(move |seen, _| match seen.line.starts_with("HEAD") {
            true => Say::status(404),
            false => {
                Say::status(status).body(r#"{"errors":[{"code":"UNSUPPORTED","message":""}]}"#)
            }
        })
        .await;
        put(&fake, &component(10)).await.unwrap_err().to_string()
    };
    assert!(
        told(405)
            .await
            .ends_with("answers with 405 Method Not Allowed: UNSUPPORTED")
    );
    assert!(
        told(404)
            .await
            .ends_with("there is no repository of this name")
    );
    assert!(told(202).await.contains("does not say where"));
}

#[tokio::test]
async fn a_push_under_another_digest_is_refused_before_anything_is_sent() {
    let fake = Fake::start(|_, _| Say::status(404)).await;
    let registries = registries(settings(&[&fake.address]));
    let pinned = reference(&fake.address, &format!("app:1@{}", Digest::of(b"other")));
    let config = Bytes::from("{}");
    let pushed = registries
        .push(
            &pinned,
            &component(10),
            &config,
            &BTreeMap::new(),
            &anybody(),
        )
        .await;
    let error = pushed.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("what would be pushed has the digest"),
        "{error}"
    );
    assert!(fake.seen().is_empty());
}
