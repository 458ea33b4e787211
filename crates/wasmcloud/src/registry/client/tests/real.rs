//! Against Debian's registry, and with another client.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use test_servers::{Registry, RegistryOptions, TokenOptions, Tokens};

use super::*;
use crate::registry::push::ComponentFacts;

fn over(all: &[&Registry]) -> Registries {
    let addresses: Vec<String> = all.iter().map(|it| it.address()).collect();
    registries(settings(
        &addresses.iter().map(String::as_str).collect::<Vec<_>>(),
    ))
}

async fn push(
    registries: &Registries,
    reference: &Reference,
    component: &Bytes,
    access: &Access,
) -> Result<crate::registry::Pushed, RegistryError> {
    let config = ComponentFacts::default().config(component);
    let title = (
        "org.opencontainers.image.title".to_owned(),
        "app".to_owned(),
    );
    let annotations = BTreeMap::from([title]);
    registries
        .push(reference, component, &config, &annotations, access)
        .await
}

#[tokio::test]
async fn what_is_pushed_is_pulled_and_pushing_it_again_sends_nothing() {
    let registry = Registry::start();
    let registries = over(&[&registry]);
    let reference = reference(&registry.address(), "team/app:1");
    let component = component(3 << 20);
    let first = push(&registries, &reference, &component, &anybody())
        .await
        .unwrap();
    assert!(!first.was_there);
    let again = push(&registries, &reference, &component, &anybody())
        .await
        .unwrap();
    assert_eq!((again.digest, again.was_there), (first.digest, true));
    assert_eq!(
        pull(&registries, &reference, &anybody()).await.unwrap(),
        component
    );
    let resolved = registries.resolve(&reference, &anybody()).await.unwrap();
    assert_eq!((resolved.digest, resolved.with), (first.digest, None));
    assert_eq!(
        resolved.artifact.annotations["org.opencontainers.image.title"],
        "app"
    );
    let config = &resolved.artifact.config;
    let config = registries
        .small_blob(&reference, config, 4096, &anybody())
        .await
        .unwrap();
    assert!(config.starts_with(br#"{"architecture":"wasm","os":"wasip2""#));
    // Under another tag, only the manifest is new.
    let other = reference.tagged("2").unwrap();
    assert!(
        !push(&registries, &other, &component, &anybody())
            .await
            .unwrap()
            .was_there
    );
    let mut tags = registries.tags(&reference, &anybody()).await.unwrap();
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    assert_eq!(
        registries.digest(&other, &anybody()).await.unwrap(),
        Some(first.digest)
    );
    let found = registries
        .referrers(&reference, first.digest, &anybody())
        .await;
    assert_eq!(found.unwrap(), []);
    let pinned = reference.at(first.digest);
    assert_eq!(
        pull(&registries, &pinned, &anybody()).await.unwrap(),
        component
    );
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let registry = Registry::start();
    let registries = over(&[&registry]);
    let gone = reference(&registry.address(), "team/app:9");
    let error = registries.resolve(&gone, &anybody()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/team/app: there is no `9`", registry.address())
    );
    assert_eq!(registries.manifest(&gone, &anybody()).await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_with_tls_is_trusted_with_its_authority_only() {
    let registry = Registry::with_tls();
    let reference = reference(&registry.address(), "app:1");
    let mut settings = settings(&[]);
    let access = Access::of_host(Keychain::anonymous());
    let error = registries(settings.clone())
        .digest(&reference, &access)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("TLS with `127.0.0.1`"),
        "{error}"
    );
    let own = RegistrySettings {
        ca_files: vec![registry.ca().to_owned()],
        ..RegistrySettings::default()
    };
    settings.registries.insert(registry.address(), own);
    let registries = registries(settings);
    let component = component(100_000);
    push(&registries, &reference, &component, &anybody())
        .await
        .unwrap();
    assert_eq!(
        pull(&registries, &reference, &anybody()).await.unwrap(),
        component
    );
}

#[tokio::test]
async fn a_registry_with_passwords_lets_in_who_has_one() {
    let registry = Registry::with_users(&[("ada", "hunter2")]);
    let registries = over(&[&registry]);
    let reference = reference(&registry.address(), "app:1");
    let ada = with(&registry.address(), basic("ada", "hunter2"));
    let component = component(100_000);
    push(&registries, &reference, &component, &ada)
        .await
        .unwrap();
    assert_eq!(
        pull(&registries, &reference, &ada).await.unwrap(),
        component
    );
    for access in [anybody(), with(&registry.address(), basic("ada", "wrong"))] {
        let error = pull(&registries, &reference, &access).await.unwrap_err();
        assert!(
            matches!(error.kind, RegistryErrorKind::Denied(_)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_registry_with_tokens_lets_in_with_a_password_and_with_the_token_of_a_login() {
    let registry = Registry::with_tokens(&[("ada", "hunter2")]);
    let registries = over(&[&registry]);
    let reference = reference(&registry.address(), "team/app:1");
    let ada = with(&registry.address(), basic("ada", "hunter2"));
    let component = component(100_000);
    push(&registries, &reference, &component, &ada)
        .await
        .unwrap();
    let asked = registry.tokens().asked().len();
    // The tokens from before are good for the second time.
    push(&registries, &reference, &component, &ada)
        .await
        .unwrap();
    assert_eq!(registry.tokens().asked().len(), asked);
    let login = Credentials::Identity(Tokens::refresh_token("ada").as_str().into());
    let login = with(&registry.address(), login);
    assert_eq!(
        pull(&registries, &reference, &login).await.unwrap(),
        component
    );
    let last = registry.tokens().asked().pop().unwrap();
    assert_eq!((&*last.method, last.user.as_deref()), ("POST", Some("ada")));
    assert_eq!(last.scopes, ["repository:team/app:pull"]);
    for access in [anybody(), with(&registry.address(), basic("ada", "wrong"))] {
        let error = pull(&registries, &reference, &access).await.unwrap_err();
        assert!(
            matches!(error.kind, RegistryErrorKind::Denied(_)),
            "{error}"
        );
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_token_that_expired_on_the_way_is_renewed() {
    let registry = Registry::with_tokens(&[("ada", "hunter2")]);
    let registries = over(&[&registry]);
    let reference = reference(&registry.address(), "app:1");
    let ada = with(&registry.address(), basic("ada", "hunter2"));
    registry.tokens().expire_next(1);
    let component = component(1_000);
    push(&registries, &reference, &component, &ada)
        .await
        .unwrap();
    assert_eq!(
        pull(&registries, &reference, &ada).await.unwrap(),
        component
    );
}

#[tokio::test]
async fn copies_go_from_registry_to_registry_with_access_to_each() {
    let from = Registry::with_users(&[("ada", "hunter2")]);
    let to = Registry::with_tokens(&[("bob", "secret")]);
    let registries = over(&[&from, &to]);
    let (source, target) = (
        reference(&from.address(), "app:1"),
        reference(&to.address(), "team/app:2"),
    );
    let ada = with(&from.address(), basic("ada", "hunter2"));
    let bob = with(&to.address(), basic("bob", "secret"));
    let component = component(2 << 20);
    let pushed = push(&registries, &source, &component, &ada).await.unwrap();
    let copied = registries
        .copy((&source, &ada), (&target, &bob))
        .await
        .unwrap();
    assert_eq!((copied.digest, copied.was_there), (pushed.digest, false));
    assert_eq!(pull(&registries, &target, &bob).await.unwrap(), component);
    let again = registries
        .copy((&source, &ada), (&target, &bob))
        .await
        .unwrap();
    assert!(again.was_there);
    // Within one registry, blobs are taken over.
    let other = reference(&to.address(), "other/app:3");
    registries
        .copy((&target, &bob), (&other, &bob))
        .await
        .unwrap();
    assert_eq!(pull(&registries, &other, &bob).await.unwrap(), component);
}

#[tokio::test]
async fn an_index_is_copied_with_all_that_it_names() {
    let (from, to) = (Registry::start(), Registry::start());
    let registries = over(&[&from, &to]);
    let source = reference(&from.address(), "app:1");
    let mut manifests = Vec::new();
    for len in [10, 20] {
        push(&registries, &source, &component(len), &anybody())
            .await
            .unwrap();
        let manifest = registries
            .manifest(&source, &anybody())
            .await
            .unwrap()
            .unwrap();
        manifests.push(Descriptor::of(media::MANIFEST, &manifest.bytes));
    }
    let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": manifests});
    let index = Bytes::from(index.to_string());
    let both = source.tagged("both").unwrap();
    registries
        .put_manifest(&both, media::INDEX, &index, &anybody())
        .await
        .unwrap();
    let target = reference(&to.address(), "copy:both");
    registries
        .copy((&both, &anybody()), (&target, &anybody()))
        .await
        .unwrap();
    let copied = registries
        .manifest(&target, &anybody())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(copied.bytes, index);
    for (manifest, len) in manifests.iter().zip([10, 20]) {
        let at = target.at(manifest.digest);
        assert_eq!(
            pull(&registries, &at, &anybody()).await.unwrap(),
            component(len)
        );
    }
    let error = registries.resolve(&target, &anybody()).await.unwrap_err();
    assert!(
        error.to_string().contains("it is an image index"),
        "{error}"
    );
}

#[tokio::test]
async fn the_registry_is_gone_and_comes_back() {
    let mut registry = Registry::start();
    let registries = over(&[&registry]);
    let reference = reference(&registry.address(), "app:1");
    let component = component(1_000);
    push(&registries, &reference, &component, &anybody())
        .await
        .unwrap();
    registry.stop();
    let error = pull(&registries, &reference, &anybody()).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    registry.resume();
    assert_eq!(
        pull(&registries, &reference, &anybody()).await.unwrap(),
        component
    );
}

#[tokio::test]
async fn a_changed_blob_in_the_registry_is_noticed() {
    let registry = Registry::start();
    let registries = over(&[&registry]);
    let reference = reference(&registry.address(), "app:1");
    let component = component(1_000);
    push(&registries, &reference, &component, &anybody())
        .await
        .unwrap();
    std::fs::write(
        registry.blob(&Digest::of(&component).to_string()),
        vec![0; 1_000],
    )
    .unwrap();
    let error = pull(&registries, &reference, &anybody()).await.unwrap_err();
    assert!(
        matches!(error.kind, RegistryErrorKind::Digest { .. }),
        "{error}"
    );
}

/// `skopeo`, which has to be there.
fn skopeo(args: &[&str], home: &Path) {
    let mut command = Command::new("skopeo");
    command
        .args(args)
        .env("HOME", home)
        .env_remove("XDG_RUNTIME_DIR");
    let output = command.output();
    let output = output.expect("this test needs skopeo: `apt-get install skopeo` (Debian, Ubuntu)");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {told}");
}

#[tokio::test]
async fn another_client_copies_what_is_pushed_and_its_copy_is_pulled() {
    let registry = Registry::with(RegistryOptions {
        tokens: Some(TokenOptions {
            users: vec![("ada".to_owned(), "hunter2".to_owned())],
            ..TokenOptions::default()
        }),
        ..RegistryOptions::default()
    });
    let registries = over(&[&registry]);
    let address = registry.address();
    let component = component(1 << 20);
    let folder = tempfile::tempdir().unwrap();
    // The same file of credentials for both clients.
    let auth = folder.path().join("auth.json");
    let auths = json!({"auths": {&address: {"auth": "YWRhOmh1bnRlcjI="}}});
    std::fs::write(&auth, auths.to_string()).unwrap();
    let access = Access::of_host(Keychain::anonymous().file(auth.clone()));
    let pushed = push(
        &registries,
        &reference(&address, "app:1"),
        &component,
        &access,
    )
    .await
    .unwrap();
    let layout = format!("oci:{}:x", folder.path().join("layout").display());
    let auth = auth.to_str().unwrap();
    let (there, back) = (
        format!("docker://{address}/app:1"),
        format!("docker://{address}/back:1"),
    );
    skopeo(
        &[
            "copy",
            "--preserve-digests",
            "--authfile",
            auth,
            "--src-tls-verify=false",
            &there,
            &layout,
        ],
        folder.path(),
    );
    skopeo(
        &[
            "copy",
            "--preserve-digests",
            "--authfile",
            auth,
            "--dest-tls-verify=false",
            &layout,
            &back,
        ],
        folder.path(),
    );
    let copied = reference(&address, "back:1");
    assert_eq!(
        registries.digest(&copied, &access).await.unwrap(),
        Some(pushed.digest)
    );
    assert_eq!(
        pull(&registries, &copied, &access).await.unwrap(),
        component
    );
}
