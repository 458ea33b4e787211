//! Bad input: what is no component, what is too large, and registries that fail. Each error says what is the matter.

use test_servers::{Answer, Fault, FaultyRegistry, Registry, Rule, oras};

use super::PullPolicy::{Always, IfNotPresent, Never};
use super::*;
use crate::registry::layout::media;

/// What a pull is refused with. Nothing but the manifest was asked for.
async fn told(images: &Images, faulty: &FaultyRegistry, image: &Reference) -> String {
    faulty.forget();
    let error = registry_error(pull(images, image, IfNotPresent).await.unwrap_err());
    assert_eq!(faulty.count("GET", "/blobs/"), 0);
    assert!(matches!(
        pull(images, image, Never).await,
        Err(ImageError::NotPresent)
    ));
    let at = format!("{}/{}: ", image.registry(), image.repository());
    error.to_string().strip_prefix(&at).unwrap().to_owned()
}

#[tokio::test]
async fn what_is_no_component_is_told_what_it_is() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let images = Host::before(&faulty).images();
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.wasm", "b.wasm", "a.tar.gz"] {
        std::fs::write(folder.path().join(name), component(1, 10)).unwrap();
    }
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    let container = "config.json:application/vnd.oci.image.config.v1+json";
    let wasm = "config.json:application/vnd.wasm.config.v0+json";
    let layer = "a.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip";
    let cases: [(&str, &[&str], &str); 6] = [
        (
            "container",
            &["--config", container, layer],
            "it is a container image, not a component",
        ),
        (
            "compressed",
            &["--config", wasm, layer],
            "its layer is compressed (application/vnd.oci.image.layer.v1.tar+gzip), and a component is not",
        ),
        (
            "empty",
            &["--artifact-type", "application/wasm"],
            "it is an empty artifact: there is no component in it",
        ),
        (
            "several",
            &[
                "--config",
                wasm,
                "a.wasm:application/wasm",
                "b.wasm:application/wasm",
            ],
            "it has 2 layers (application/wasm, application/wasm), and a component has one",
        ),
        (
            "text",
            &[
                "--artifact-type",
                "application/x.notes",
                "a.wasm:text/plain",
            ],
            "it is another kind of artifact (application/x.notes, with a layer of text/plain), not a component",
        ),
        (
            "nothing",
            &[],
            "it is an empty artifact: there is no component in it",
        ),
    ];
    for (tag, args, wanted) in cases {
        let image = reference(&faulty.address(), &format!("app:{tag}"));
        let mut push = oras(folder.path());
        run(push
            .args(["push", "--plain-http", &image.to_string()])
            .args(args));
        assert_eq!(told(&images, &faulty, &image).await, wanted, "{tag}");
    }
}

#[tokio::test]
async fn an_image_index_is_told_with_what_is_in_it() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let images = Host::before(&faulty).images();
    let image = reference(&faulty.address(), "app:1");
    let digest = push(&images, &image, &component(1, 10)).await.digest;
    let manifest = images
        .registries()
        .manifest(&image, &anybody())
        .await
        .unwrap()
        .unwrap();
    let size = manifest.bytes.len();
    let inner = json!({"mediaType": media::MANIFEST, "digest": digest.to_string(), "size": size, "platform": {"os": "linux", "architecture": "amd64"}});
    let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [inner]});
    let index = Bytes::from(index.to_string());
    let both = image.tagged("both").unwrap();
    images
        .registries()
        .put_manifest(&both, media::INDEX, &index, &anybody())
        .await
        .unwrap();
    let wanted = "it is an image index of linux/amd64, not a component";
    assert_eq!(told(&images, &faulty, &both).await, wanted);
    let error = pull(&images, &both, Always).await.unwrap_err();
    assert!(error.hint().unwrap().contains("wash push"));
}

/// A component in a registry, before which something goes wrong.
struct Bad {
    _registry: Registry,
    faulty: FaultyRegistry,
    host: Host,
    /// The same, for when nothing goes wrong.
    patient: Host,
    image: Reference,
    component: Bytes,
    blob: String,
}

impl Bad {
    async fn new() -> Self {
        let Stocked {
            _registry,
            faulty,
            mut host,
            image,
            component,
            ..
        } = Stocked::with(300_000).await;
        let patient = Host::before(&faulty);
        host.options.cache.clone_from(&patient.options.cache);
        let blob = format!("/blobs/{}", Digest::of(&component));
        Self {
            _registry,
            faulty,
            host,
            patient,
            image,
            component,
            blob,
        }
    }

    /// The error with a fault in place of all answers for manifests or for the layer.
    async fn told(&self, part: &str, fault: Fault) -> String {
        self.faulty.heal();
        self.faulty.rule(Rule::on(part, fault).method("GET"));
        let error = pull(&self.host.images(), &self.image, Always)
            .await
            .unwrap_err();
        let error = registry_error(error).to_string();
        self.faulty.heal();
        self.faulty.release();
        let images = self.patient.images();
        // Nothing bad is left, and it works once the registry does.
        assert!(
            images
                .store()
                .unwrap()
                .verify(|_| {})
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            pull(&images, &self.image, Always).await.unwrap().bytes,
            self.component
        );
        let store = images.store().unwrap();
        let pruned = store.prune(store::Prune::All).await.unwrap();
        assert_eq!(pruned.kept_in_use, 0);
        let at = format!("{}/app: ", self.faulty.address());
        error.strip_prefix(&at).unwrap().to_owned()
    }
}

#[tokio::test]
async fn what_is_larger_than_it_should_be_is_cut_off() {
    let bad = Bad::new().await;
    let wanted = "the manifest `1` has more than 4194304 bytes";
    let large = Fault::Body(vec![b' '; 100 << 20]);
    assert_eq!(bad.told("/manifests/", large).await, wanted);
    bad.faulty.forget();
    assert_eq!(bad.told("/manifests/", Fault::Endless).await, wanted);
    let digest = Digest::of(&bad.component);
    let size = bad.component.len();
    let wanted = format!("the blob {digest} has more than {size} bytes");
    assert_eq!(bad.told(&bad.blob, Fault::Endless).await, wanted);
    let mut longer = bad.component.to_vec();
    longer.push(0);
    assert_eq!(bad.told(&bad.blob, Fault::Body(longer)).await, wanted);
    let sent = bad.faulty.bytes("/");
    // What the other side still had on its way counts, too.
    assert!(sent < 64 << 20, "{sent}");
}

#[tokio::test]
async fn a_component_above_the_limit_is_refused_before_it_is_downloaded() {
    let mut bad = Bad::new().await;
    let size = bad.component.len() as u64;
    let images = bad.host.images();
    pull(&images, &bad.image, IfNotPresent).await.unwrap();
    bad.host.options.settings.largest_image = size - 1;
    let images = bad.host.images();
    bad.faulty.forget();
    let wanted = format!(
        "its component has {size} bytes, more than the limit of {}",
        size - 1
    );
    // Also where it was downloaded before there was the limit.
    for policy in [Always, IfNotPresent] {
        let error = registry_error(pull(&images, &bad.image, policy).await.unwrap_err());
        assert!(error.to_string().ends_with(&wanted), "{error}");
    }
    assert_eq!(bad.faulty.count("GET", "/blobs/"), 0);
    let error = pull(&images, &bad.image, Never).await.unwrap_err();
    assert!(
        error.to_string().contains("more than the limit of"),
        "{error}"
    );
}

#[tokio::test]
async fn what_has_another_digest_is_refused() {
    let bad = Bad::new().await;
    let digest = Digest::of(&bad.component);
    let told = bad.told(&bad.blob, Fault::Corrupt(7)).await;
    let wanted = format!("the blob {digest} has the digest sha256:");
    assert!(told.starts_with(&wanted), "{told}");
    let wanted = format!("not {digest}: it was changed on the way, or the registry is broken");
    assert!(told.ends_with(&wanted), "{told}");
    // A manifest is what the registry says, and said.
    let told = bad.told("/manifests/", Fault::Corrupt(7)).await;
    assert!(told.contains("it was changed on the way"), "{told}");
    let told = bad
        .told("/manifests/", Fault::digest(&Digest::of(b"").to_string()))
        .await;
    assert!(told.contains(&format!("not {}", Digest::of(b""))), "{told}");
    // Damaged once, it is fetched again.
    bad.faulty.rule(
        Rule::on(&bad.blob, Fault::Corrupt(7))
            .method("GET")
            .first(1),
    );
    assert_eq!(
        pull(&bad.host.images(), &bad.image, Always)
            .await
            .unwrap()
            .bytes,
        bad.component
    );
}

#[tokio::test]
async fn what_passes_is_waited_for_and_what_does_not_is_told() {
    let bad = Bad::new().await;
    let passing = [
        Fault::too_many(1),
        Fault::status(500),
        Fault::status(503),
        Fault::Reset,
        Fault::Close,
        Fault::ResetAfter,
        Fault::TruncateAndReset(100),
        Fault::TruncateAndClose(100),
    ];
    for fault in passing {
        for part in ["/manifests/", &bad.blob] {
            bad.faulty.heal();
            bad.faulty
                .rule(Rule::on(part, fault.clone()).method("GET").first(3));
            let images = bad.host.images();
            let pulled = pull(&images, &bad.image, Always).await;
            let pulled = pulled.unwrap_or_else(|error| panic!("{fault:?} {part}: {error}"));
            assert_eq!(pulled.bytes, bad.component);
            images
                .store()
                .unwrap()
                .prune(store::Prune::All)
                .await
                .unwrap();
        }
    }
    let told = bad.told("/manifests/", Fault::too_many(1)).await;
    assert_eq!(told, "the registry answers with 429 Too Many Requests");
    let answer = r#"{"errors": [{"code": "UNKNOWN", "message": "the disk is full"}]}"#;
    let answer = Fault::Answer(Answer::status(500).body(answer));
    let told = bad.told(&bad.blob, answer).await;
    assert_eq!(
        told,
        "the registry answers with 500 Internal Server Error: the disk is full"
    );
    let told = bad.told(&bad.blob, Fault::Reset).await;
    assert!(
        told.starts_with("the registry: the connection broke"),
        "{told}"
    );
    let told = bad.told("/manifests/", Fault::status(404)).await;
    assert_eq!(told, "there is no `1`");
    let told = bad.told(&bad.blob, Fault::status(404)).await;
    assert!(told.starts_with("there is no "), "{told}");
    assert!(
        told.ends_with(&format!("blob {}", Digest::of(&bad.component))),
        "{told}"
    );
    let told = bad.told("/manifests/", Fault::status(403)).await;
    assert_eq!(told, "the registry refuses (403 Forbidden)");
    let told = bad.told("/manifests/", Fault::status(418)).await;
    assert_eq!(told, "the registry answers with 418 I'm a teapot");
}

#[tokio::test]
async fn a_registry_that_stalls_is_given_up() {
    let mut bad = Bad::new().await;
    bad.host.options.settings.silence = Duration::from_secs(2);
    bad.host.options.settings.retries.attempts = 1;
    let manifest = "/manifests/".to_owned();
    let stalls = [
        (&manifest, Fault::Hold),
        (&manifest, Fault::Stall(100)),
        (&bad.blob, Fault::Stall(100)),
    ];
    for (part, stall) in stalls {
        let told = bad.told(part, stall).await;
        assert!(
            told.ends_with("the server did not answer for 2 s"),
            "{told}"
        );
    }
}
