//! Both ways with other clients, and between registries.

use test_servers::{FaultyRegistry, OtherRegistry, Registry, RegistryOptions, oras, skopeo};

use super::PullPolicy::{Always, Never};
use super::verify::rejected;
use super::*;
use crate::registry::verify::VerifyErrorKind;

const CONFIG: &str = "config.json:application/vnd.wasm.config.v0+json";
const LAYER: &str = "a.wasm:application/wasm";

fn oras_push(folder: &Path, to: &Reference, args: &[&str]) -> Digest {
    let mut push = oras(folder);
    push.args([
        "push",
        "--plain-http",
        "--format",
        "go-template={{.digest}}",
    ]);
    let digest = run(push.arg(to.to_string()).args(args));
    digest.trim().parse().unwrap()
}

/// What oras says.
fn asked(folder: &Path, args: &[&str]) -> String {
    run(oras(folder).args(args))
}

#[tokio::test]
async fn what_oras_pushes_runs_and_what_we_push_oras_pulls() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    let host = Host::new([registry.address().as_str(), other.address().as_str()]);
    let images = host.images();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (theirs, ours) = (component(1, 10_000), component(2, 10_000));
    std::fs::write(folder.join("a.wasm"), &theirs).unwrap();
    std::fs::write(
        folder.join("config.json"),
        ComponentFacts::default().config(&theirs),
    )
    .unwrap();
    for at in [registry.address(), other.address()] {
        let image = reference(&at, "team/app:theirs");
        let digest = oras_push(folder, &image, &["--config", CONFIG, LAYER]);
        let pulled = pull(&images, &image, Always).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.reference),
            (theirs.clone(), image.at(digest))
        );
        // Without a config of its own, as its type says what it is.
        let typed = image.tagged("typed").unwrap();
        oras_push(
            folder,
            &typed,
            &["--artifact-type", "application/wasm", LAYER],
        );
        assert_eq!(pull(&images, &typed, Always).await.unwrap().bytes, theirs);
        // As wasmCloud had it before.
        let old = image.tagged("old").unwrap();
        let config = "config.json:application/vnd.wasmcloud.actor.archive.config";
        let layer = "a.wasm:application/vnd.module.wasm.content.layer.v1+wasm";
        oras_push(folder, &old, &["--config", config, layer]);
        assert_eq!(pull(&images, &old, Always).await.unwrap().bytes, theirs);

        let image = image.tagged("ours").unwrap();
        let facts = ComponentFacts::default().config(&ours);
        let title = (
            "org.opencontainers.image.title".to_owned(),
            "app.wasm".to_owned(),
        );
        let annotations = BTreeMap::from([title]);
        let anybody = anybody();
        let pushed = images
            .registries()
            .push(&image, &ours, &facts, &annotations, &anybody);
        let digest = pushed.await.unwrap().digest;
        let named = image.to_string();
        let resolved = asked(folder, &["resolve", "--plain-http", &named]);
        assert_eq!(resolved.trim(), digest.to_string());
        let layer = image.at(Digest::of(&ours)).to_string();
        let to = ["--output", "fetched.wasm", &layer];
        asked(
            folder,
            &[&["blob", "fetch", "--plain-http"], &to[..]].concat(),
        );
        assert_eq!(std::fs::read(folder.join("fetched.wasm")).unwrap(), ours);
        let manifest = asked(folder, &["manifest", "fetch", "--plain-http", &named]);
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(
            manifest["config"]["mediaType"],
            "application/vnd.wasm.config.v0+json"
        );
        assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");

        let mut tags = oras(folder);
        let tags = run(tags.args(["repo", "tags", "--plain-http", &format!("{at}/team/app")]));
        let mut tags: Vec<&str> = tags.lines().collect();
        let mut seen = images.registries().tags(&image, &anybody).await.unwrap();
        tags.sort_unstable();
        seen.sort_unstable();
        assert_eq!(tags, ["old", "ours", "theirs", "typed"]);
        assert_eq!(seen, tags);
    }
}

#[tokio::test]
async fn a_component_goes_to_a_folder_by_skopeo_and_back_to_another_registry() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    let host = Host::new([registry.address().as_str(), other.address().as_str()]);
    let images = host.images();
    let folder = tempfile::tempdir().unwrap();
    let component = component(1, 100_000);
    let from = reference(&registry.address(), "app:1");
    let digest = push(&images, &from, &component).await.digest;
    let copy = |from: &str, to: &str| {
        let mut copy = skopeo(folder.path());
        copy.args(["copy", "--insecure-policy", "--preserve-digests"]);
        run(copy.args([
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            from,
            to,
        ]));
    };
    copy(&format!("docker://{from}"), "oci:layout:1");
    for to in [other.address(), registry.address()] {
        let back = reference(&to, "back:2");
        copy("oci:layout:1", &format!("docker://{back}"));
        let pulled = pull(&images, &back, Always).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.reference),
            (component.clone(), back.at(digest))
        );
    }
}

#[tokio::test]
async fn an_image_of_docker_is_one_image_however_it_is_written_for_mirrors_and_rules() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let mut host = Host::before(&faulty);
    host.registry("docker.io").mirrors = vec![Mirror {
        location: faulty.address(),
        plain_http: true,
        ..Mirror::default()
    }];
    let images = host.images();
    let component = component(1, 10_000);
    let kept = reference(&faulty.address(), "library/redis:7");
    let digest = push(&images, &kept, &component).await.digest;
    host.demand("docker.io/redis", Requirement::Deny);
    let denying = host.images();
    for spelling in [
        "docker.io/redis:7",
        "docker.io/library/redis:7",
        "index.docker.io/redis:7",
        "registry-1.docker.io:443/library/redis:7",
    ] {
        faulty.forget();
        let image: Reference = spelling.parse().unwrap();
        let pulled = pull(&images, &image, Always).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.reference.to_string()),
            (
                component.clone(),
                format!("docker.io/library/redis@{digest}")
            )
        );
        assert_eq!(faulty.count("GET", "/v2/library/redis/manifests/7"), 1);
        let error = pull(&denying, &image, Always).await.unwrap_err();
        assert!(matches!(rejected(error), VerifyErrorKind::Denied));
    }
}

#[tokio::test]
async fn copies_between_registries_of_two_kinds_are_the_same_and_need_be_made_once() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    let faulty = [
        FaultyRegistry::to(registry.port()),
        FaultyRegistry::to(other.port()),
    ];
    let host = Host::new([faulty[0].address().as_str(), faulty[1].address().as_str()]);
    let images = host.images();
    let component = component(1, 1 << 20);
    for (from, to) in [(&faulty[0], &faulty[1]), (&faulty[1], &faulty[0])] {
        let (source, target) = (
            reference(&from.address(), "app:1"),
            reference(&to.address(), "copy:2"),
        );
        let digest = push(&images, &source, &component).await.digest;
        let both = ((&source, &anybody()), (&target, &anybody()));
        let copied = images.registries().copy(both.0, both.1).await.unwrap();
        assert_eq!((copied.digest, copied.was_there), (digest, false));
        assert_eq!(
            pull(&images, &target, Always).await.unwrap().bytes,
            component
        );
        assert_eq!(
            pull(&images, &target.at(digest), Never)
                .await
                .unwrap()
                .bytes,
            component
        );
        from.forget();
        to.forget();
        assert!(
            images
                .registries()
                .copy(both.0, both.1)
                .await
                .unwrap()
                .was_there
        );
        let sent = ["POST", "PUT", "PATCH"].map(|method| to.count(method, ""));
        assert_eq!((sent, from.count("GET", "/blobs/")), ([0; 3], 0));
    }
}

#[tokio::test]
async fn to_push_the_same_twice_sends_nothing_the_second_time() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    for port in [registry.port(), other.port()] {
        let faulty = FaultyRegistry::to(port);
        let images = Host::before(&faulty).images();
        let image = reference(&faulty.address(), "app:1");
        let component = component(1, 10_000);
        assert!(!push(&images, &image, &component).await.was_there);
        faulty.forget();
        assert!(push(&images, &image, &component).await.was_there);
        assert!(
            faulty.requests().iter().all(|it| it.method == "HEAD"),
            "{:#?}",
            faulty.requests()
        );
        // Another tag is a manifest, and nothing else.
        faulty.forget();
        push(&images, &image.tagged("2").unwrap(), &component).await;
        assert_eq!(
            (
                faulty.count("POST", ""),
                faulty.count("PUT", "/manifests/2")
            ),
            (0, 1)
        );
    }
}

#[tokio::test]
async fn a_host_logs_in_over_tls_by_an_authority_of_its_own_with_passwords_and_tokens() {
    let users = vec![("ada".to_owned(), "hunter2".to_owned())];
    let (with_tls, tokens) = (
        true,
        test_servers::TokenOptions {
            users: users.clone(),
            ..Default::default()
        },
    );
    let all = [
        RegistryOptions {
            tls: with_tls,
            users,
            ..RegistryOptions::default()
        },
        RegistryOptions {
            tls: with_tls,
            tokens: Some(tokens),
            ..RegistryOptions::default()
        },
    ];
    for options in all {
        let registry = Registry::with(options);
        let at = registry.address();
        let mut host = Host::new([]);
        host.registry(&at).ca_files = vec![registry.ca().to_owned()];
        let login = Login {
            username: "ada".to_owned(),
            password_file: host.private("password", "hunter2\n"),
        };
        host.options.logins.insert(at.clone(), login);
        let images = host.images();
        let image = reference(&at, "team/app:1");
        let component = component(1, 100_000);
        push_as(&images, &image, &component, &images.access()).await;
        assert_eq!(
            pull(&images, &image, Always).await.unwrap().bytes,
            component
        );
        assert!(pull(&images, &image, Never).await.unwrap().from_cache);
        assert_eq!(
            images
                .registries()
                .tags(&image, &images.access())
                .await
                .unwrap(),
            ["1"]
        );
        let error = images
            .registries()
            .tags(&image, &user(&at, "ada", "wrong"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind, RegistryErrorKind::Denied(_)),
            "{error}"
        );
    }
}
