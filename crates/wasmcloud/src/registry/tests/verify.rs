//! What a host demands of images: what does not meet it is not downloaded, and what does is checked again without the registry.

use std::collections::BTreeSet;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use test_servers::{Answer, Fault, FaultyRegistry, OtherRegistry, Registry, Rule, cosign_3};

use super::PullPolicy::{Always, IfNotPresent, Never};
use super::keyless::attach;
use super::*;
use crate::registry::verify::{Proof, SigningKey, VerifyErrorKind};

/// A new key, and the same as a file of PEM.
pub(super) fn key() -> (SigningKey, String) {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let der = BASE64_STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    (SigningKey::from_pem(&pem, None).unwrap(), pem)
}

/// That all images are signed by that key.
pub(super) fn by(host: &Host, key: &SigningKey) -> Requirement {
    let fingerprint = key.public().fingerprint().hex();
    let path = host.folder.path().join(format!("{fingerprint}.pub"));
    std::fs::write(&path, key.public().to_pem()).unwrap();
    Requirement::Keys(vec![path])
}

pub(super) fn rejected(error: ImageError) -> VerifyErrorKind {
    match error {
        ImageError::Verify(error) => error.kind,
        other => panic!("not rejected: {other:?}"),
    }
}

/// The same host with another demand for everything.
pub(super) fn demanding(host: &mut Host, requirement: Requirement) -> Images {
    host.options.verify.clear();
    host.demand("*", requirement);
    host.images()
}

#[tokio::test]
async fn what_does_not_meet_the_demand_is_not_downloaded() {
    let it = Stocked::with(10_000).await;
    let layer = format!("/blobs/{}", Digest::of(&it.component));
    let ((mine, _), (other, _)) = (key(), key());
    let refused = async |images: &Images| {
        let mut kinds = Vec::new();
        for policy in [Always, IfNotPresent] {
            let error = pull(images, &it.image, policy).await.unwrap_err();
            assert!(
                error.hint().is_some() || error.to_string().contains("that it does not run"),
                "{error}"
            );
            kinds.push(rejected(error));
        }
        let error = pull(images, &it.image, Never).await.unwrap_err();
        assert!(matches!(error, ImageError::NotPresent), "{error}");
        assert_eq!(it.faulty.count("GET", &layer), 0);
        assert!(!it.host.blob(&Digest::of(&it.component)).exists());
        kinds
    };
    let with = |requirement| {
        let mut options = it.host.options.clone();
        options.verify = vec![("127.0.0.1:*/**".parse().unwrap(), requirement)];
        options
            .open(EgressOptions::default(), Arc::<SystemResolver>::default())
            .unwrap()
    };
    let pinned = Requirement::Digests(BTreeSet::from([Digest::of(b"")]));
    let mut told = Vec::new();
    for requirement in [by(&it.host, &mine), pinned, Requirement::Deny] {
        told.extend(refused(&with(requirement)).await);
    }
    assert!(
        matches!(
            told[..2],
            [VerifyErrorKind::Unsigned, VerifyErrorKind::Unsigned]
        ),
        "{told:?}"
    );
    assert!(
        matches!(
            told[2..4],
            [
                VerifyErrorKind::NotPinned { .. },
                VerifyErrorKind::NotPinned { .. }
            ]
        ),
        "{told:?}"
    );
    assert!(
        matches!(
            told[4..],
            [VerifyErrorKind::Denied, VerifyErrorKind::Denied]
        ),
        "{told:?}"
    );
    it.images
        .registries()
        .sign(&it.image, it.digest, &other, &anybody())
        .await
        .unwrap();
    for kind in refused(&with(by(&it.host, &mine))).await {
        let VerifyErrorKind::Rejected { rejected } = kind else {
            panic!("{kind:?}");
        };
        assert!(
            rejected[0].why.to_string().contains("made by another key"),
            "{rejected:?}"
        );
    }
}

#[tokio::test]
async fn the_first_rule_for_an_image_decides_and_pins_hold_for_tags_as_well() {
    let registry = Registry::start();
    let mut host = Host::new([registry.address().as_str()]);
    let at = registry.address();
    let [pinned, free, denied] =
        ["team/app:1", "team/free/app:1", "other:1"].map(|rest| reference(&at, rest));
    let images = host.images();
    let good = push(&images, &pinned, &component(1, 10)).await.digest;
    push(&images, &free, &component(2, 10)).await;
    push(&images, &denied, &component(3, 10)).await;
    host.demand(&format!("{at}/team/free/*"), Requirement::Nothing);
    host.demand(
        &format!("{at}/team/**"),
        Requirement::Digests(BTreeSet::from([good])),
    );
    host.demand("*", Requirement::Deny);
    let images = host.images();
    assert_eq!(
        pull(&images, &pinned, Always).await.unwrap().verified.by,
        Proof::Pinned
    );
    assert_eq!(
        pull(&images, &free, Always).await.unwrap().verified.by,
        Proof::NoDemand
    );
    let error = pull(&images, &denied, Always).await.unwrap_err();
    let told = format!(
        "`{denied}` must not run: the rule for `*` demands that it does not run, and nothing else would do"
    );
    assert_eq!(error.to_string(), told);
    // A tag that moved to what is not pinned.
    let moved = push(&images, &pinned, &component(4, 10)).await.digest;
    let error = pull(&images, &pinned, Always).await.unwrap_err();
    let told = format!(
        "`{pinned}` must not run: the rule for `{at}/team/**` demands the manifest {good}, and its manifest is {moved}"
    );
    assert_eq!(error.to_string(), told);
    // What was allowed is there.
    assert!(
        pull(&images, &pinned, IfNotPresent)
            .await
            .unwrap()
            .from_cache
    );
}

#[tokio::test]
async fn signatures_are_kept_and_checked_again_without_the_registry() {
    let mut registry = Registry::start();
    let mut host = Host::new([registry.address().as_str()]);
    let ((mine, _), (other, _)) = (key(), key());
    let image = reference(&registry.address(), "app:1");
    let requirement = by(&host, &mine);
    let images = demanding(&mut host, requirement.clone());
    let digest = push(&images, &image, &component(1, 10_000)).await.digest;
    let signed = images
        .registries()
        .sign(&image, digest, &mine, &anybody())
        .await
        .unwrap();
    assert_eq!(
        signed,
        image
            .tagged(&format!("sha256-{}.sig", digest.hex()))
            .unwrap()
    );
    let fingerprint = mine.public().fingerprint();
    let verified = images.verify_remote(&image, &anybody()).await.unwrap();
    assert_eq!(verified.by, Proof::Key { fingerprint });
    let pulled = pull(&images, &image, IfNotPresent).await.unwrap();
    assert_eq!(pulled.verified, verified);
    // Signatures are no images.
    let listed = images.store().unwrap().list().await.unwrap().images;
    let listed: BTreeSet<_> = listed.into_iter().map(|it| it.reference).collect();
    assert_eq!(listed, BTreeSet::from([image.clone(), image.at(digest)]));

    registry.stop();
    let images = host.images();
    for policy in [IfNotPresent, Never] {
        for image in [&image, &image.at(digest)] {
            let pulled = pull(&images, image, policy).await.unwrap();
            assert_eq!(
                (pulled.verified, pulled.from_cache),
                (verified.clone(), true)
            );
        }
        let error = pull(&images, &signed, policy).await.unwrap_err();
        assert!(!matches!(error, ImageError::Verify(_)), "{error}");
    }
    // A demand that became stricter is for what is there already, too.
    let stricter = by(&host, &other);
    let images = demanding(&mut host, stricter);
    for policy in [IfNotPresent, Never] {
        let kind = rejected(pull(&images, &image, policy).await.unwrap_err());
        assert!(matches!(kind, VerifyErrorKind::Rejected { .. }), "{kind:?}");
    }
    let images = demanding(&mut host, Requirement::Deny);
    for policy in [IfNotPresent, Never] {
        let kind = rejected(pull(&images, &image, policy).await.unwrap_err());
        assert!(matches!(kind, VerifyErrorKind::Denied), "{kind:?}");
    }
    let images = demanding(&mut host, requirement);
    pull(&images, &image, Never).await.unwrap();
}

#[tokio::test]
async fn what_an_image_that_is_refused_calls_a_signature_is_not_kept() {
    let mut registry = Registry::start();
    let mut host = Host::new([registry.address().as_str()]);
    let ((mine, _), (other, _)) = (key(), key());
    let image = reference(&registry.address(), "app:1");
    let requirement = by(&host, &mine);
    let images = demanding(&mut host, requirement);
    let digest = push(&images, &image, &component(1, 10_000)).await.digest;
    let registries = images.registries();
    let kept = async || images.store().unwrap().list().await.unwrap().blobs.count;
    for policy in [Always, IfNotPresent] {
        rejected(pull(&images, &image, policy).await.unwrap_err());
        assert_eq!(kept().await, 0);
        let signed = registries.sign(&image, digest, &other, &anybody()).await;
        signed.unwrap();
    }
    let signed = registries.sign(&image, digest, &mine, &anybody()).await;
    signed.unwrap();
    pull(&images, &image, IfNotPresent).await.unwrap();
    // The image, its manifest, and what it may run by.
    assert!(kept().await > 2);
    registry.stop();
    pull(&images, &image, Never).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_takes_long_over_each_of_many_signatures_is_given_up_once() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let mut host = Host::before(&faulty);
    let image = reference(&faulty.address(), "app:1");
    let images = host.images();
    let digest = push(&images, &image, &component(1, 10)).await.digest;
    for _ in 0..4 {
        let (other, _) = key();
        images
            .registries()
            .sign(&image, digest, &other, &anybody())
            .await
            .unwrap();
    }
    let (mine, _) = key();
    let requirement = by(&host, &mine);
    host.options.settings.longest = Duration::from_secs(3);
    let images = demanding(&mut host, requirement);
    faulty.forget();
    faulty.rule(Rule::on("/blobs/", Fault::Hold).method("GET"));
    let error = pull(&images, &image, Always).await.unwrap_err();
    let told = format!(
        "the registry cannot be asked for signatures: {}/app: it took longer than 3 s",
        faulty.address()
    );
    assert!(error.to_string().ends_with(&told), "{error}");
    let kind = rejected(error);
    assert!(matches!(kind, VerifyErrorKind::Unreadable(_)), "{kind:?}");
    // The time was over with the first of them. Another may have been begun at the same moment.
    assert!(faulty.count("GET", "/blobs/") < 3);
}

#[tokio::test]
async fn a_demand_that_came_later_is_met_by_signatures_of_the_registry_without_another_download() {
    let mut it = Stocked::with(10_000).await;
    let (mine, _) = key();
    it.pull(IfNotPresent).await.unwrap();
    let requirement = by(&it.host, &mine);
    it.images = demanding(&mut it.host, requirement);
    for policy in [IfNotPresent, Never] {
        let kind = rejected(it.pull(policy).await.unwrap_err());
        assert!(matches!(kind, VerifyErrorKind::Unsigned), "{kind:?}");
    }
    it.images
        .registries()
        .sign(&it.image, it.digest, &mine, &anybody())
        .await
        .unwrap();
    it.faulty.forget();
    let pulled = it.pull(IfNotPresent).await.unwrap();
    assert!(pulled.from_cache);
    assert_eq!(
        it.faulty.count("GET", &format!("/blobs/{}", pulled.layer)),
        0
    );
    it.faulty.forget();
    it.pull(Never).await.unwrap();
    assert_eq!(it.faulty.requests().len(), 0);
    // A damaged signature is none, and is asked for again.
    for blob in std::fs::read_dir(it.host.cache().join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains("docker-manifest-digest") {
            std::fs::write(&path, text.replace("docker-manifest", "DOCKER-manifest")).unwrap();
        }
    }
    rejected(it.pull(Never).await.unwrap_err());
    assert!(it.pull(IfNotPresent).await.unwrap().from_cache);
    it.pull(Never).await.unwrap();
}

/// Asks for a name and a password, before a registry that does not.
fn guard(faulty: &FaultyRegistry) {
    let wanted = format!("Basic {}", BASE64_STANDARD.encode("ada:hunter2"));
    let denied = Answer::status(401).header("WWW-Authenticate", "Basic realm=\"x\"");
    let guard = move |request: &test_servers::Request| {
        (request.authorization() != Some(&*wanted)).then(|| denied.clone())
    };
    faulty.rule(Rule::on("/v2/", Fault::by(guard)));
}

/// Signs the bytes of a manifest, not a text with its digest in it, and puts that beside it.
async fn sign_bytes(images: &Images, image: &Reference, folder: &Path, access: &Access) {
    let manifest = images
        .registries()
        .manifest(image, access)
        .await
        .unwrap()
        .unwrap();
    std::fs::write(folder.join("manifest.json"), &manifest.bytes).unwrap();
    let mut sign = cosign_3(folder);
    sign.args([
        "sign-blob",
        "--key",
        "cosign.key",
        "--tlog-upload=false",
        "--use-signing-config=false",
    ]);
    run(sign.args(["--yes", "--bundle", "bundle.json", "manifest.json"]));
    let bundle = Bytes::from(std::fs::read(folder.join("bundle.json")).unwrap());
    assert!(String::from_utf8_lossy(&bundle).contains("messageSignature"));
    attach(images, image, &bundle, access).await;
}

#[tokio::test]
async fn what_was_read_of_a_private_image_to_verify_it_is_for_nobody_else_and_is_no_component() {
    let behind = OtherRegistry::start();
    let faulty = FaultyRegistry::to(behind.port());
    guard(&faulty);
    let mut host = Host::before(&faulty);
    host.secret("ada", "mine", &faulty.address(), "ada", "hunter2");
    let folder = tempfile::tempdir().unwrap();
    run(cosign_3(folder.path()).arg("generate-key-pair"));
    let image = reference(&faulty.address(), "app:1");
    let ada = user(&faulty.address(), "ada", "hunter2");
    let images = host.images();
    let component = component(1, 10_000);
    let digest = push_as(&images, &image, &component, &ada).await.digest;
    sign_bytes(&images, &image, folder.path(), &ada).await;
    let pinned = image.at(digest);
    // Refused, after its manifest was read as that of a signature is.
    let (other, _) = key();
    let requirement = by(&host, &other);
    let images = demanding(&mut host, requirement);
    rejected(
        pull_with(&images, &pinned, IfNotPresent, "ada", Some("mine"))
            .await
            .unwrap_err(),
    );
    let images = demanding(&mut host, Requirement::Nothing);
    for secret in [Some("mine"), None] {
        let error = pull_with(&images, &pinned, Never, "ada", secret)
            .await
            .unwrap_err();
        assert!(matches!(error, ImageError::NotPresent), "{error}");
    }
    let requirement = Requirement::Keys(vec![folder.path().join("cosign.pub")]);
    let images = demanding(&mut host, requirement);
    for policy in [IfNotPresent, Always, Never] {
        let pulled = pull_with(&images, &pinned, policy, "ada", Some("mine"))
            .await
            .unwrap();
        assert_eq!(pulled.bytes, component);
    }
    let list = image
        .tagged(&format!("sha256-{}.referrers", digest.hex()))
        .unwrap();
    for image in [&pinned, &list] {
        let error = pull_with(&images, image, Never, "bob", None)
            .await
            .unwrap_err();
        assert!(matches!(error, ImageError::NotProven), "{image}: {error}");
    }
    let error = pull_with(&images, &list, Never, "ada", Some("mine"))
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::NotPresent), "{error}");
}
