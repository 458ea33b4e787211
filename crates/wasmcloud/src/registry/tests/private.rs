//! Private images, for those whose credentials fetch them and for nobody else, cached or not.

use test_servers::{Answer, Fault, FaultyRegistry, Registry, RegistryOptions, Rule, TokenOptions};

use super::PullPolicy::{Always, IfNotPresent, Never};
use super::*;

fn is_denied(error: ImageError) -> String {
    let error = registry_error(error);
    assert!(
        matches!(error.kind, RegistryErrorKind::Denied(_)),
        "{error}"
    );
    error.to_string()
}

/// Two tenants with secrets of their own, and a third with a wrong one.
fn tenants(registry: &FaultyRegistry) -> Host {
    let mut host = Host::before(registry);
    let at = registry.address();
    host.secret("ada", "mine", &at, "ada", "hunter2");
    host.secret("bob", "mine", &at, "bob", "secret");
    host.secret("eve", "mine", &at, "ada", "guessed");
    host
}

/// An image that ada has pushed, and what tenants have of it.
struct Private {
    faulty: FaultyRegistry,
    host: Host,
    images: Images,
    image: Reference,
    component: Bytes,
}

impl Private {
    async fn before(registry: &Registry) -> Self {
        let faulty = FaultyRegistry::to(registry.port());
        let host = tenants(&faulty);
        let images = host.images();
        let image = reference(&faulty.address(), "team/app:1");
        let component = component(1, 10_000);
        let ada = user(&faulty.address(), "ada", "hunter2");
        push_as(&images, &image, &component, &ada).await;
        Self {
            faulty,
            host,
            images,
            image,
            component,
        }
    }

    async fn pull(
        &self,
        policy: PullPolicy,
        namespace: &str,
        secret: Option<&str>,
    ) -> Result<Pulled, ImageError> {
        pull_with(&self.images, &self.image, policy, namespace, secret).await
    }
}

async fn go_through(registry: &mut Registry) {
    let mut it = Private::before(registry).await;
    let pulled = it.pull(IfNotPresent, "ada", Some("mine")).await.unwrap();
    assert_eq!(
        (pulled.bytes, pulled.from_cache),
        (it.component.clone(), false)
    );
    it.faulty.forget();
    let again = it.pull(IfNotPresent, "ada", Some("mine")).await.unwrap();
    assert!(again.from_cache && it.faulty.requests().is_empty());

    // Whoever cannot fetch it does not get what others have fetched.
    for (namespace, secret) in [("bob", None), ("eve", Some("mine")), ("ada", None)] {
        let error = it.pull(Never, namespace, secret).await.unwrap_err();
        assert!(matches!(error, ImageError::NotProven), "{error}");
        assert_eq!(it.faulty.requests().len(), 0);
        for policy in [IfNotPresent, Always] {
            let asked = it.pull(policy, namespace, secret).await;
            is_denied(asked.unwrap_err());
        }
        assert_eq!(it.faulty.count("GET", "/blobs/"), 0);
        it.faulty.forget();
    }
    // With credentials of their own, the registry is asked once.
    let bob = it.pull(IfNotPresent, "bob", Some("mine")).await.unwrap();
    assert_eq!((bob.bytes, bob.from_cache), (it.component.clone(), true));
    assert_eq!(it.faulty.count("GET", "/blobs/"), 0);
    registry.stop();
    it.images = it.host.images();
    for namespace in ["ada", "bob"] {
        for (policy, image) in [(IfNotPresent, &it.image), (Never, &bob.reference)] {
            let pulled = pull_with(&it.images, image, policy, namespace, Some("mine"))
                .await
                .unwrap();
            assert!(pulled.from_cache);
        }
    }
    let error = it.pull(Never, "eve", Some("mine")).await.unwrap_err();
    assert!(matches!(error, ImageError::NotProven), "{error}");
    assert!(error.hint().unwrap().contains("IfNotPresent"));
    // With the network cut, it cannot be shown any more that somebody may have it.
    let error = it.pull(IfNotPresent, "bob", None).await.unwrap_err();
    registry_error(error);
    let text = std::fs::read_dir(it.host.cache().join("references")).unwrap();
    for record in text {
        let text = std::fs::read_to_string(record.unwrap().path()).unwrap();
        assert!(
            !["hunter2", "secret", "YWRh", "Ym9i"]
                .iter()
                .any(|it| text.contains(it)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_private_image_is_for_those_whose_passwords_fetch_it() {
    go_through(&mut Registry::with_users(&[
        ("ada", "hunter2"),
        ("bob", "secret"),
    ]))
    .await;
}

#[tokio::test]
async fn a_private_image_is_for_those_whose_tokens_fetch_it() {
    go_through(&mut Registry::with_tokens(&[
        ("ada", "hunter2"),
        ("bob", "secret"),
    ]))
    .await;
}

#[tokio::test]
async fn what_anybody_may_pull_is_for_everybody_whoever_came_first() {
    let registry = Registry::with(RegistryOptions {
        tokens: Some(TokenOptions {
            users: vec![("ada".to_owned(), "hunter2".to_owned())],
            public: true,
            ..TokenOptions::default()
        }),
        ..RegistryOptions::default()
    });
    let it = Private::before(&registry).await;
    it.pull(IfNotPresent, "ada", Some("mine")).await.unwrap();
    // Nobody knows yet whether anybody may.
    let error = it.pull(Never, "carol", None).await.unwrap_err();
    assert!(matches!(error, ImageError::NotProven), "{error}");
    let carol = it.pull(IfNotPresent, "carol", None).await.unwrap();
    assert!(carol.from_cache);
    it.faulty.forget();
    for (namespace, secret) in [
        ("carol", None),
        ("dave", None),
        ("eve", Some("mine")),
        ("ada", Some("mine")),
    ] {
        it.pull(Never, namespace, secret).await.unwrap();
    }
    assert_eq!(it.faulty.requests().len(), 0);
}

#[tokio::test]
async fn a_pull_secret_is_for_its_namespace_only() {
    let registry = Registry::with_users(&[("ada", "hunter2")]);
    let it = Private::before(&registry).await;
    it.pull(IfNotPresent, "ada", Some("mine")).await.unwrap();
    it.faulty.forget();
    for (namespace, name) in [("default", "mine"), ("carol", "mine"), ("bob", "other")] {
        for policy in [Always, IfNotPresent, Never] {
            let asked = it.pull(policy, namespace, Some(name)).await;
            let error = asked.unwrap_err();
            let told =
                format!("the host has no pull secret `{name}` for the namespace `{namespace}`");
            assert_eq!(error.to_string(), told);
            assert!(error.hint().unwrap().contains("images.pullSecrets"));
        }
    }
    assert_eq!(it.faulty.requests().len(), 0);
    // Whoever runs the host has the secrets of the default namespace.
    let secret: SecretName = "mine".parse().unwrap();
    let pull = Pull {
        policy: Some(Always),
        secret: Some(secret),
    };
    let asked = it.images.pull(&it.image, &pull, By::Host, None).await;
    let error = asked.unwrap_err();
    assert!(matches!(error, ImageError::NoSecret { .. }), "{error}");
}

#[tokio::test]
async fn credentials_for_one_registry_are_never_shown_to_another() {
    let private = Registry::with_users(&[("ada", "hunter2")]);
    let good = FaultyRegistry::to(private.port());
    let evil = FaultyRegistry::alone();
    let mut host = Host::new([good.address().as_str(), evil.address().as_str()]);
    host.secret("ada", "mine", &good.address(), "ada", "hunter2");
    let login = Login {
        username: "ada".to_owned(),
        password_file: host.private("password", "hunter2\n"),
    };
    host.options.logins.insert(good.address(), login);
    let auths = json!({"auths": {good.address(): {"auth": BASE64_STANDARD.encode("ada:hunter2")}}});
    host.options.auth = AuthSource::File(host.private("auth.json", &auths.to_string()));
    let images = host.images();
    let image = reference(&good.address(), "app:1");
    push_as(&images, &image, &component(1, 10), &images.access()).await;
    pull_with(&images, &image, Always, "ada", Some("mine"))
        .await
        .unwrap();
    assert!(
        good.requests()
            .iter()
            .any(|it| it.authorization().is_some())
    );

    let elsewhere = reference(&evil.address(), "app:1");
    for challenge in [
        "Basic realm=\"x\"".to_owned(),
        format!("Bearer realm=\"{}/token\",service=\"x\"", evil.url()),
    ] {
        evil.heal();
        evil.rule(Rule::on(
            "/token",
            Fault::Answer(Answer::status(200).body("{\"token\":\"x\"}")),
        ));
        evil.rule(Rule::on("/", Fault::challenge(&challenge)));
        let asked = pull_with(&images, &elsewhere, Always, "ada", Some("mine")).await;
        let told = is_denied(asked.unwrap_err());
        assert!(
            told.contains("wants credentials, and there are none"),
            "{told}"
        );
    }
    let shown = evil
        .requests()
        .into_iter()
        .filter_map(|it| it.authorization().map(str::to_owned));
    assert!(
        shown.clone().all(|it| it == "Bearer x"),
        "{:?}",
        shown.collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn who_names_the_digest_of_a_private_layer_does_not_get_it() {
    let private = Registry::with_users(&[("ada", "hunter2")]);
    let good = FaultyRegistry::to(private.port());
    let evil = FaultyRegistry::alone();
    let mut host = Host::new([good.address().as_str(), evil.address().as_str()]);
    host.secret("ada", "mine", &good.address(), "ada", "hunter2");
    let images = host.images();
    let image = reference(&good.address(), "app:1");
    let secret = component(1, 10_000);
    push_as(
        &images,
        &image,
        &secret,
        &user(&good.address(), "ada", "hunter2"),
    )
    .await;
    let held = pull_with(&images, &image, IfNotPresent, "ada", Some("mine"))
        .await
        .unwrap();

    // The same manifest, in a registry where anybody may say anything, without the layer.
    let manifest = std::fs::read(host.blob(&held.verified.manifest)).unwrap();
    let manifest = Answer::status(200).body(manifest);
    let manifest = manifest.header("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    evil.rule(Rule::on("/manifests/", Fault::Answer(manifest)));
    let stolen = reference(&evil.address(), "app:1");
    for stolen in [stolen.clone(), stolen.at(held.verified.manifest)] {
        for policy in [IfNotPresent, Always] {
            let error = registry_error(
                pull_with(&images, &stolen, policy, "eve", None)
                    .await
                    .unwrap_err(),
            );
            assert!(error.is_not_found(), "{error}");
        }
        let error = pull_with(&images, &stolen, Never, "eve", None)
            .await
            .unwrap_err();
        assert!(matches!(error, ImageError::NotPresent), "{error}");
    }
    assert_eq!(evil.count("GET", &format!("/blobs/{}", held.layer)), 4);
    // Who has the bytes may of course serve them.
    evil.heal();
    let manifest = std::fs::read(host.blob(&held.verified.manifest)).unwrap();
    let layer = Answer::status(200).body(secret.to_vec());
    evil.rule(Rule::on(
        "/manifests/",
        Fault::Answer(Answer::status(200).body(manifest)),
    ));
    evil.rule(Rule::on("/blobs/", Fault::Answer(layer)));
    let pulled = pull_with(&images, &stolen, IfNotPresent, "eve", None)
        .await
        .unwrap();
    assert_eq!((pulled.bytes, pulled.from_cache), (secret, false));
}

#[tokio::test]
async fn a_private_image_of_a_mirror_with_a_login_is_found_again_without_asking() {
    let behind = Registry::with_users(&[("mirror", "its secret")]);
    let mirror = FaultyRegistry::to(behind.port());
    let registry = FaultyRegistry::alone();
    let mut host = Host::before(&registry);
    host.registry(&registry.address()).mirrors = vec![Mirror {
        location: format!("{}/hub", mirror.address()),
        plain_http: true,
        credentials: Some(Credentials::Basic {
            username: "mirror".to_owned(),
            password: "its secret".into(),
        }),
        ..Mirror::default()
    }];
    host.registry(&mirror.address()).plain_http = true;
    let images = host.images();
    let copy = reference(&mirror.address(), "hub/app:1");
    let component = component(1, 10_000);
    push_as(
        &images,
        &copy,
        &component,
        &user(&mirror.address(), "mirror", "its secret"),
    )
    .await;
    let image = reference(&registry.address(), "app:1");
    assert_eq!(
        pull(&images, &image, IfNotPresent).await.unwrap().bytes,
        component
    );
    mirror.forget();
    for policy in [IfNotPresent, Never] {
        assert!(pull(&images, &image, policy).await.unwrap().from_cache);
    }
    assert_eq!(mirror.requests().len() + registry.requests().len(), 0);
}

#[tokio::test]
async fn a_login_is_for_its_registry_however_its_name_is_written() {
    let registry = Registry::with_users(&[("ada", "hunter2")]);
    let port = registry.port();
    let mut host = Host::new([format!("LocalHost:{port}").as_str()]);
    let login = Login {
        username: "ada".to_owned(),
        password_file: host.private("password", "hunter2\n"),
    };
    host.options
        .logins
        .insert(format!("localhost:{port}"), login);
    let images = host.images();
    let image = reference(&format!("localhost:{port}"), "app:1");
    push_as(&images, &image, &component(1, 10), &images.access()).await;
    pull(&images, &image, IfNotPresent).await.unwrap();
    assert!(pull(&images, &image, Never).await.unwrap().from_cache);
}

/// As whoever runs the host.
async fn pull_by_host(
    images: &Images,
    reference: &Reference,
    policy: PullPolicy,
) -> Result<Pulled, ImageError> {
    let pull = Pull {
        policy: Some(policy),
        secret: None,
    };
    images.pull(reference, &pull, By::Host, None).await
}

#[tokio::test]
async fn what_only_the_host_could_reach_is_for_no_workload() {
    let registry = Registry::start();
    let (near, image, component) = behind_tls(&registry, &anybody()).await;
    let mut host = Host::new([]);
    let images = host.options.over(&dial(&[&near], &[])).unwrap();
    let pulled = pull_by_host(&images, &image, IfNotPresent).await.unwrap();
    near.forget();
    for policy in [IfNotPresent, Never] {
        let again = pull_by_host(&images, &image, policy).await.unwrap();
        assert_eq!((again.bytes, again.from_cache), (component.clone(), true));
    }
    for image in [&image, &pulled.reference] {
        let error = pull(&images, image, Never).await.unwrap_err();
        assert!(matches!(error, ImageError::NotProven), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("`images.registries`"), "{hint}");
        let error = registry_error(pull(&images, image, IfNotPresent).await.unwrap_err());
        let told = error.to_string();
        assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
    }
    assert_eq!(near.requests().len(), 0);
    // As the hint says.
    host.registry(&near.address()).ca_files = vec![near.ca().to_owned()];
    let images = host.options.over(&dial(&[&near], &[])).unwrap();
    pull_by_host(&images, &image, Always).await.unwrap();
    let pulled = pull(&images, &image, Never).await.unwrap();
    assert_eq!((pulled.bytes, pulled.from_cache), (component, true));
}

#[tokio::test]
async fn what_the_host_pulled_where_workloads_may_go_is_for_all_of_them() {
    let registry = Registry::start();
    let (open, image, component) = behind_tls(&registry, &anybody()).await;
    let host = Host::new([]);
    let dial = dial(&[&open], &["127.0.0.1/32"]);
    let images = host.options.over(&dial).unwrap();
    pull_by_host(&images, &image, IfNotPresent).await.unwrap();
    open.forget();
    for policy in [IfNotPresent, Never] {
        let pulled = pull(&images, &image, policy).await.unwrap();
        assert_eq!((pulled.bytes, pulled.from_cache), (component.clone(), true));
    }
    assert_eq!(open.requests().len(), 0);
}

#[tokio::test]
async fn credentials_that_all_may_use_do_not_show_that_workloads_may_go_where_the_host_went() {
    let registry = Registry::with_users(&[("ada", "hunter2")]);
    let ada = user(&registry.address(), "ada", "hunter2");
    let (near, image, _) = behind_tls(&registry, &ada).await;
    let mut host = Host::new([]);
    let auths = json!({"auths": {near.address(): {"auth": BASE64_STANDARD.encode("ada:hunter2")}}});
    host.options.auth = AuthSource::File(host.private("auth.json", &auths.to_string()));
    let images = host.options.over(&dial(&[&near], &[])).unwrap();
    pull_by_host(&images, &image, IfNotPresent).await.unwrap();
    pull_by_host(&images, &image, Never).await.unwrap();
    let error = pull(&images, &image, Never).await.unwrap_err();
    assert!(matches!(error, ImageError::NotProven), "{error}");
    // Where workloads may go, it is for those with the same credentials.
    let images = host
        .options
        .over(&dial(&[&near], &["127.0.0.1/32"]))
        .unwrap();
    pull_by_host(&images, &image, Always).await.unwrap();
    pull(&images, &image, Never).await.unwrap();
}
