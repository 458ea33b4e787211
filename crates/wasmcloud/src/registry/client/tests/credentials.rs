//! Who is shown credentials and tokens, and what happens without.

use super::fake::{Fake, Kept, Say, Seen};
use super::*;
use crate::registry::access::{AuthFile, Origin};

/// `me:pw`, as HTTP has it.
const ME: &str = "Basic bWU6cHc=";

fn me() -> Credentials {
    basic("me", "pw")
}

/// A registry that wants what is in this header.
async fn wanting(
    header: &'static str,
    challenge: impl Fn() -> String + Send + Sync + 'static,
) -> (Fake, Kept) {
    let kept = Kept::new(component(10));
    let keeps = kept.clone();
    let fake = Fake::start(move |seen, _| match seen.header("authorization") {
        Some(shown) if shown == header => keeps.say(seen),
        _ => Say::status(401).header("WWW-Authenticate", challenge()),
    });
    (fake.await, kept)
}

async fn wanting_a_name(header: &'static str) -> (Fake, Kept) {
    wanting(header, || "Basic realm=\"x\"".to_owned()).await
}

/// A registry that wants a token, and who gives it what `say` says.
async fn wanting_a_token(
    say: impl Fn(&Seen, usize) -> Say + Send + Sync + 'static,
) -> (Fake, Fake, Kept) {
    let realm = Fake::start(say).await;
    let address = realm.address.clone();
    let challenge = move || {
        format!(
            "Bearer realm=\"http://{address}/token?a=b\",service=\"reg\",scope=\"repository:app:pull\""
        )
    };
    let (fake, kept) = wanting("Bearer good", challenge).await;
    (fake, realm, kept)
}

fn token(text: &str) -> Say {
    Say::bytes(json!({"token": text, "expires_in": 300}).to_string())
}

#[tokio::test]
async fn a_name_and_password_are_shown_when_they_are_wanted() {
    let (fake, kept) = wanting_a_name(ME).await;
    let access = with(&fake.address, me());
    assert_eq!(pulled_as(&fake, &access).await.unwrap(), kept.component);
    let shown: Vec<_> = fake
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(shown[..2], [None, Some(ME.to_owned())]);
    // What everybody may have is had without, and it is known with what it was had.
    let registries = registries(settings(&[&fake.address]));
    let resolved = registries
        .resolve(&reference(&fake.address, "app:1"), &access)
        .await
        .unwrap();
    assert_eq!(resolved.with.unwrap().origin, Origin::Explicit);
}

#[tokio::test]
async fn what_everybody_may_have_is_had_without_showing_anything() {
    let kept = Kept::new(component(10));
    let keeps = kept.clone();
    let fake = Fake::start(move |seen, _| keeps.say(seen)).await;
    let registries = registries(settings(&[&fake.address]));
    let access = with(&fake.address, me());
    let resolved = registries
        .resolve(&reference(&fake.address, "app:1"), &access)
        .await;
    assert_eq!(resolved.unwrap().with, None);
    assert!(!fake.was_shown("authorization"));
}

#[tokio::test]
async fn credentials_for_another_registry_are_never_sent() {
    let (fake, _) = wanting_a_name(ME).await;
    let (other, _) = wanting_a_name(ME).await;
    let mut settings = settings(&[&fake.address, &other.address]);
    settings
        .registries
        .get_mut(&other.address)
        .unwrap()
        .credentials = Some(me());
    let file = json!({"auths": {
        &other.address: {"username": "me", "password": "pw"},
        "127.0.0.1": {"username": "me", "password": "pw"},
        format!("{}/other", fake.address): {"username": "me", "password": "pw"},
    }});
    let file = AuthFile::parse(file.to_string().as_bytes()).unwrap();
    let keychain = Keychain::anonymous()
        .explicit(&other.address, me())
        .pull_secret("s", file);
    let registries = registries(settings);
    let access = Access::of_workload(keychain);
    let error = pull(&registries, &reference(&fake.address, "app:1"), &access)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("wants credentials, and there are none (401 Unauthorized)"),
        "{error}"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .contains(&format!("`docker login {}`", fake.address)),
        "{error}"
    );
    assert!(!fake.was_shown("authorization"));
}

#[tokio::test]
async fn wrong_credentials_are_told_with_where_they_are_from_and_shown_once() {
    let (fake, _) = wanting_a_name(ME).await;
    let access = with(&fake.address, basic("me", "hunter2"));
    let error = pulled_as(&fake, &access).await.unwrap_err();
    let told = format!("{error} {error:?} {:?}", error.hint());
    assert!(
        told.contains(
            "the registry refuses the credentials of the name and password that were given (401"
        ),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_403_is_told_as_a_lack_of_rights() {
    let body = r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#;
    let fake = Fake::start(move |_, _| Say::status(403).body(body)).await;
    let error = pulled(&fake).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the registry refuses (403 Forbidden): not yours"),
        "{error}"
    );
}

#[tokio::test]
async fn a_registry_that_does_not_say_what_it_wants_is_told() {
    let fake = Fake::start(move |_, _| Say::status(401)).await;
    let error = pulled(&fake).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has neither `Bearer` nor `Basic`"),
        "{error}"
    );
}

#[tokio::test]
async fn damaged_credentials_are_an_error_and_not_nothing() {
    let (fake, _) = wanting_a_name(ME).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, "{").unwrap();
    let access = Access::of_host(Keychain::anonymous().file(path));
    let error = pulled_as(&fake, &access).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("config.json` cannot be had: it is no JSON"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_used_until_it_ends() {
    let (fake, realm, kept) = wanting_a_token(|_, _| token("good")).await;
    let registries = registries(settings(&[&fake.address]));
    let access = with(&fake.address, me());
    let reference = reference(&fake.address, "app:1");
    for _ in 0..2 {
        assert_eq!(
            pull(&registries, &reference, &access).await.unwrap(),
            kept.component
        );
    }
    let asked = realm.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].line,
        "GET /token?a=b&service=reg&scope=repository%3Aapp%3Apull"
    );
    assert_eq!(asked[0].header("authorization"), Some(ME));
    assert!(
        fake.seen()
            .iter()
            .all(|seen| seen.header("authorization") != Some(ME))
    );
    // Others have their own.
    pull(&registries, &reference, &anybody()).await.unwrap();
    assert_eq!(realm.seen().len(), 2);
    assert_eq!(realm.seen()[1].header("authorization"), None);
}

#[tokio::test]
async fn a_token_that_is_no_good_any_more_is_renewed_once() {
    let (fake, realm, kept) =
        wanting_a_token(|_, nth| token(if nth == 0 { "good" } else { "bad" })).await;
    let registries = registries(settings(&[&fake.address]));
    let reference = reference(&fake.address, "app:1");
    assert_eq!(
        pull(&registries, &reference, &anybody()).await.unwrap(),
        kept.component
    );
    assert_eq!(realm.seen().len(), 1);
    let (fake, realm, kept) =
        wanting_a_token(|_, nth| token(if nth == 0 { "bad" } else { "good" })).await;
    let registries = super::registries(settings(&[&fake.address]));
    let reference = super::reference(&fake.address, "app:1");
    assert_eq!(
        pull(&registries, &reference, &anybody()).await.unwrap(),
        kept.component
    );
    assert_eq!(realm.seen().len(), 2);
    let (fake, realm, _) = wanting_a_token(|_, _| token("bad")).await;
    let error = pulled(&fake).await.unwrap_err();
    assert!(error.to_string().contains("(401 Unauthorized)"), "{error}");
    assert_eq!((realm.seen().len(), fake.seen().len()), (2, 2));
}

#[tokio::test]
async fn a_token_of_a_login_gets_others_and_is_shown_to_nobody_else() {
    let (fake, realm, kept) =
        wanting_a_token(|_, _| Say::bytes(r#"{"access_token":"good"}"#)).await;
    let access = with(&fake.address, Credentials::Identity("secret&login".into()));
    assert_eq!(pulled_as(&fake, &access).await.unwrap(), kept.component);
    let asked = realm.seen();
    assert_eq!(asked[0].line, "POST /token?a=b");
    let form = "grant_type=refresh_token&client_id=wasmcloud&refresh_token=secret%26login&service=reg&scope=repository%3Aapp%3Apull";
    assert_eq!(asked[0].body, form);
    assert_eq!(asked[0].header("authorization"), None);
    assert!(
        fake.seen()
            .iter()
            .all(|seen| !format!("{seen:?}").contains("login"))
    );
}

#[tokio::test]
async fn a_token_of_a_registry_is_shown_as_it_is() {
    let (fake, realm, kept) = wanting_a_token(|_, _| Say::status(500)).await;
    let access = with(&fake.address, Credentials::Bearer("good".into()));
    assert_eq!(pulled_as(&fake, &access).await.unwrap(), kept.component);
    assert!(realm.seen().is_empty());
}

#[tokio::test]
async fn who_gives_tokens_may_fail_for_a_while_and_refuse_for_good() {
    let (fake, _realm, kept) = wanting_a_token(|_, nth| {
        if nth < 2 {
            Say::status(503)
        } else {
            token("good")
        }
    })
    .await;
    assert_eq!(pulled(&fake).await.unwrap(), kept.component);
    for status in [401, 403, 400] {
        let (fake, realm, _) =
            wanting_a_token(move |_, _| Say::status(status).body("hunter2")).await;
        let error = pulled_as(&fake, &with(&fake.address, me()))
            .await
            .unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("(which gives tokens for it) refuses the credentials of"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(realm.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_without_a_token_or_without_an_end_is_refused() {
    for body in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, "[1]"] {
        let (fake, _realm, _) = wanting_a_token(move |_, _| Say::bytes(body)).await;
        let error = pulled(&fake).await.unwrap_err();
        assert!(
            error.to_string().contains("answers without a token"),
            "{body}: {error}"
        );
    }
    let (fake, _realm, _) = wanting_a_token(|_, _| Say::bytes(vec![b' '; 70_000]).unsized_()).await;
    let error = pulled(&fake).await.unwrap_err();
    assert!(
        error.to_string().contains("more than 65536 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn who_gives_tokens_leads_nobody_elsewhere() {
    let thief = Fake::start(|_, _| token("good")).await;
    let to = format!("http://{}/", thief.address);
    let (fake, _realm, _) =
        wanting_a_token(move |_, _| Say::status(307).header("Location", to.clone())).await;
    let error = pulled_as(&fake, &with(&fake.address, me()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("307 Temporary Redirect"),
        "{error}"
    );
    assert!(thief.seen().is_empty());
}
