//! Where answers lead, and what is not shown there.

use std::path::PathBuf;

use tokio_rustls::TlsAcceptor;

use super::fake::{Fake, Kept, Say};
use super::*;
use crate::net::trust::Authorities;

/// `me:pw`, as HTTP has it.
const ME: &str = "Basic bWU6cHc=";

/// A registry that wants a name and password, and keeps its blobs elsewhere.
async fn leading(to: impl Fn(&Kept) -> String + Send + Sync + 'static) -> (Fake, Kept) {
    let kept = Kept::new(component(10_000));
    let keeps = kept.clone();
    let fake = Fake::start(move |seen, _| match seen.header("authorization") {
        Some(ME) if seen.line.contains("/blobs/") => {
            Say::status(307).header("Location", to(&keeps))
        }
        Some(ME) => keeps.say(seen),
        _ => Say::status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    (fake.await, kept)
}

#[tokio::test]
async fn a_redirect_to_another_server_carries_no_credentials() {
    let kept = Kept::new(component(10_000));
    let keeps = kept.clone();
    let store = Fake::start(move |seen, nth| match nth {
        0 => keeps.part(seen).breaking_after(4_000),
        _ => keeps.part(seen),
    })
    .await;
    let to = format!("http://{}/bucket/x?signature=y", store.address);
    let (fake, kept) = leading(move |_| to.clone()).await;
    let access = with(&fake.address, basic("me", "pw"));
    assert_eq!(pulled_as(&fake, &access).await.unwrap(), kept.component);
    assert!(!store.was_shown("authorization"));
    let asked = store.seen();
    assert_eq!(asked[0].line, "GET /bucket/x?signature=y");
    assert_eq!(asked[1].header("range"), Some("bytes=4000-"));
}

#[tokio::test]
async fn what_comes_back_from_elsewhere_carries_no_credentials_either() {
    let back = Arc::new(std::sync::OnceLock::<String>::new());
    let leads = Arc::clone(&back);
    let thief = Fake::start(move |_, _| {
        let to = format!("http://{}/v2/secret/blobs/x", leads.get().unwrap());
        Say::status(302).header("Location", to)
    })
    .await;
    let to = format!("http://{}/", thief.address);
    let (fake, _) = leading(move |_| to.clone()).await;
    back.set(fake.address.clone()).unwrap();
    let access = with(&fake.address, basic("me", "pw"));
    let error = pulled_as(&fake, &access).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("(where the registry leads) answers with 401"),
        "{error}"
    );
    let asked = fake.seen_of("GET /v2/secret");
    assert!(
        asked
            .iter()
            .all(|seen| seen.header("authorization").is_none())
            && !asked.is_empty()
    );
}

#[tokio::test]
async fn a_redirect_within_the_registry_is_still_let_in() {
    let kept = Kept::new(component(10));
    let keeps = kept.clone();
    let fake = Fake::start(
        move |seen, _| match (seen.header("authorization"), &*seen.line) {
            (None, _) => Say::status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
            (_, "GET /elsewhere") => Say::bytes(keeps.component.clone()),
            (_, line) if line.contains("/blobs/") => {
                Say::status(308).header("Location", "/elsewhere")
            }
            _ => keeps.say(seen),
        },
    )
    .await;
    let access = with(&fake.address, basic("me", "pw"));
    assert_eq!(pulled_as(&fake, &access).await.unwrap(), kept.component);
}

#[tokio::test]
async fn redirects_have_an_end_and_lead_to_http_only() {
    let told = async |to: &'static str| {
        let (fake, _) = leading(move |kept| match to {
            "itself" => kept.blob_path(),
            to => to.to_owned(),
        })
        .await;
        let access = with(&fake.address, basic("me", "pw"));
        let error = pulled_as(&fake, &access).await.unwrap_err();
        assert!(fake.seen_of("GET /v2/app/blobs").len() <= 7);
        error.to_string()
    };
    assert!(
        told("itself")
            .await
            .ends_with("it redirects more than 5 times")
    );
    assert!(
        told("file:///etc/passwd")
            .await
            .contains("something else than HTTP")
    );
    assert!(
        told("http://a:b@127.0.0.1/")
            .await
            .contains("a name and password in it")
    );
    assert!(told("http://[").await.contains("no address"));
}

#[tokio::test]
async fn what_is_pushed_is_not_led_elsewhere() {
    let thief = Fake::start(|_, _| Say::status(201)).await;
    let to = format!("http://{}/", thief.address);
    let fake = Fake::start(move |seen, _| match &seen.line[..4] {
        "HEAD" => Say::status(404),
        _ => Say::status(307).header("Location", to.clone()),
    })
    .await;
    let registries = registries(settings(&[&fake.address]));
    let put = registries
        .put_blob(
            &reference(&fake.address, "app:1"),
            &component(10),
            &anybody(),
        )
        .await;
    assert!(
        put.unwrap_err()
            .to_string()
            .contains("redirects what is sent to it")
    );
    assert!(thief.seen().is_empty());
}

/// Speaks TLS on these addresses, with a file that makes it trusted.
fn tls(folder: &tempfile::TempDir) -> (TlsAcceptor, PathBuf) {
    let names = ["127.0.0.1".to_owned(), "127.0.0.2".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), path)
}

#[tokio::test]
async fn a_redirect_leads_a_workload_nowhere_that_the_policy_denies() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, ca) = tls(&folder);
    let inside = Fake::over("127.0.0.2", Some(acceptor.clone()), |_, _| {
        Say::bytes("secret")
    })
    .await;
    let to = format!("https://{}/latest/meta-data", inside.address);
    let kept = Kept::new(component(10));
    let keeps = kept.clone();
    let fake = Fake::over("127.0.0.1", Some(acceptor), move |seen, _| {
        match seen.line.contains("/blobs/") {
            true => Say::status(307).header("Location", to.clone()),
            false => keeps.say(seen),
        }
    })
    .await;
    let reference = reference(&fake.address, "app:1");
    let dial = dial(&["127.0.0.1/32"]).trusting(Authorities::load(&[ca]).unwrap());
    let registries = Registries::over(settings(&[]), &dial).unwrap();
    let error = pull(&registries, &reference, &anybody()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`127.0.0.2` (where the registry leads): 127.0.0.2 is a loopback address"),
        "{error}"
    );
    assert!(inside.seen().is_empty());
    // Whoever runs the host may be led there.
    let access = Access::of_host(Keychain::anonymous());
    let error = pull(&registries, &reference, &access).await.unwrap_err();
    assert!(!inside.seen().is_empty(), "{error}");
}

#[tokio::test]
async fn a_redirect_or_a_token_without_tls_is_refused_where_the_registry_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, ca) = tls(&folder);
    let open = Fake::start(|_, _| Say::bytes(r#"{"token":"x"}"#)).await;
    let dial = dial(&["127.0.0.1/32"]).trusting(Authorities::load(&[ca]).unwrap());
    let registries = Registries::over(settings(&[]), &dial).unwrap();
    let to = format!("http://{}/", open.address);
    let says: [(u16, &str, String); 2] = [
        (307, "Location", to.clone()),
        (401, "WWW-Authenticate", format!("Bearer realm=\"{to}\"")),
    ];
    for (status, name, value) in says {
        let fake = Fake::over("127.0.0.1", Some(acceptor.clone()), move |_, _| {
            Say::status(status).header(name, value.clone())
        });
        let fake = fake.await;
        let access = with(&fake.address, basic("me", "pw"));
        let asked = registries
            .resolve(&reference(&fake.address, "app:1"), &access)
            .await;
        let told = asked.unwrap_err().to_string();
        assert!(told.contains("where all could read along"), "{told}");
    }
    assert!(open.seen().is_empty());
}
