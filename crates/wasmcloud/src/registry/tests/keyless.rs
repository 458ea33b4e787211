//! Signatures by identities beside images in registries: found where cosign puts them, and checked without asking anybody else.

use serde_json::Value;
use test_servers::{OtherRegistry, Registry};

use super::PullPolicy::{Always, Never};
use super::verify::{demanding, rejected};
use super::*;
use crate::registry::layout::{media, write};
use crate::registry::verify::tests::authority::{Authority, BEGIN, RELEASE, VALID};
use crate::registry::verify::tests::bundles::{SIGN, Simple, enveloped_at};
use crate::registry::verify::{Identity, Proof, SignatureArtifact, Subject, VerifyErrorKind};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Puts a bundle beside an image, in a manifest that refers to it.
pub(super) async fn attach(images: &Images, image: &Reference, bundle: &Bytes, access: &Access) {
    let registries = images.registries();
    let signed = registries.manifest(image, access).await.unwrap().unwrap();
    let empty = Bytes::from_static(b"{}");
    for blob in [&empty, bundle] {
        registries.put_blob(image, blob, access).await.unwrap();
    }
    let config = Descriptor::of(media::EMPTY, &empty);
    let layer = Descriptor::of(BUNDLE, bundle);
    let subject = Descriptor::of(media::MANIFEST, &signed.bytes);
    let none = BTreeMap::new();
    let referrer = write(Some(BUNDLE), &config, &[layer], Some(&subject), &none);
    let referrer = Bytes::from(referrer);
    let at = image.at(Digest::of(&referrer));
    let put = registries.put_manifest(&at, media::MANIFEST, &referrer, access);
    put.await.unwrap();
    // A registry that does not see by itself what refers to what is given a list.
    let listed = registries.referrers(image, signed.digest, access).await;
    if listed.unwrap().is_empty() {
        let mut listed = Descriptor::of(media::MANIFEST, &referrer);
        listed.artifact_type = Some(BUNDLE.to_owned());
        let list = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [listed]});
        let list = Bytes::from(list.to_string());
        let tag = format!("sha256-{}", signed.digest.hex());
        let at = image.tagged(&tag).unwrap();
        let put = registries.put_manifest(&at, media::INDEX, &list, access);
        put.await.unwrap();
    }
}

/// Puts a signature of the simple format beside an image, under a tag.
pub(super) async fn attach_simple(
    images: &Images,
    image: &Reference,
    signed: Digest,
    signature: &Simple,
) {
    let registries = images.registries();
    let payload = Bytes::from(signature.payload.clone());
    let empty = Bytes::from_static(b"{}");
    for blob in [&empty, &payload] {
        registries.put_blob(image, blob, &anybody()).await.unwrap();
    }
    let config = Descriptor::of(media::IMAGE_CONFIG, &empty);
    let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
    let mut layer = Descriptor::of(kind, &payload);
    layer.annotations = serde_json::from_value(signature.annotations.clone()).unwrap();
    let list = write(None, &config, &[layer], None, &BTreeMap::new());
    let list = Bytes::from(list);
    let tag = SignatureArtifact::tag_of(signed);
    let at = image.tagged(&tag).unwrap();
    let access = anybody();
    let put = registries.put_manifest(&at, media::MANIFEST, &list, &access);
    put.await.unwrap();
}

/// Images with one signature each, which the log has recorded at that time: in either format, at each of these registries.
async fn signed(images: &Images, at: &[String], by: &Authority, time: i64) -> Vec<Reference> {
    let mut all = Vec::new();
    for at in at {
        let image = reference(at, &format!("simple-{time}:1"));
        let digest = push(images, &image, &component(1, 10)).await.digest;
        let signature = Simple::new(by, &RELEASE, digest, time);
        attach_simple(images, &image, digest, &signature).await;
        all.push(image);
        let image = reference(at, &format!("bundle-{time}:1"));
        let digest = push(images, &image, &component(1, 10)).await.digest;
        let bundle = enveloped_at(by, &by.certify(&RELEASE), SIGN, digest, time);
        attach(images, &image, &bundle.to_string().into(), &anybody()).await;
        all.push(image);
    }
    all
}

/// That somebody has signed whom a trust root in a file vouches for.
fn by_identity(host: &Host, root: &Value, issuer: &str, subject: &str) -> Requirement {
    let text = root.to_string();
    let name = format!("{}.json", Digest::of(text.as_bytes()).hex());
    let trust_root = host.folder.path().join(name);
    std::fs::write(&trust_root, text).unwrap();
    Requirement::Identities {
        trust_root,
        identities: vec![Identity {
            issuer: issuer.to_owned(),
            subject: Subject::pattern(subject).unwrap(),
        }],
    }
}

fn released(host: &Host, by: &Authority) -> Requirement {
    by_identity(host, &by.trusted(), RELEASE.issuer, RELEASE.subject)
}

/// Demands that signatures of that authority do not meet, each with what is told of it.
fn others(host: &Host, by: &Authority) -> [(Requirement, String); 4] {
    let (issuer, subject) = (RELEASE.issuer, RELEASE.subject);
    let (ours, strange) = (by.trusted(), Authority::new().trusted());
    let mut only_our_log = strange.clone();
    only_our_log["tlogs"] = ours["tlogs"].clone();
    let demand =
        |root: &Value, issuer: &str, subject: &str| by_identity(host, root, issuer, subject);
    [
        (
            demand(&strange, issuer, subject),
            "its entry is of a log that the trust root does not have".to_owned(),
        ),
        (
            demand(&only_our_log, issuer, subject),
            "its certificate is not to be believed".to_owned(),
        ),
        (
            demand(&ours, "https://accounts.example", subject),
            format!("which `{issuer}` says; nobody is wanted of that issuer"),
        ),
        (
            demand(&ours, issuer, "https://github.com/acme/other/**"),
            format!("it was made by `{subject}` of `{issuer}`"),
        ),
    ]
}

/// Why the only signature of an image will not do.
fn why(error: ImageError) -> String {
    match rejected(error) {
        VerifyErrorKind::Rejected { rejected } if rejected.len() == 1 => rejected[0].to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_identity_that_may_sign_has_signed_in_either_format_at_both_registries() {
    let (mut registry, mut other) = (Registry::start(), OtherRegistry::start());
    let at = [registry.address(), other.address()];
    let mut host = Host::new(at.iter().map(String::as_str));
    let authority = Authority::new();
    let all = signed(&host.images(), &at, &authority, BEGIN + 5).await;
    let requirement = released(&host, &authority);
    let images = demanding(&mut host, requirement);
    let wanted = Proof::Identity {
        issuer: RELEASE.issuer.to_owned(),
        subject: RELEASE.subject.to_owned(),
        signed: jiff::Timestamp::from_second(BEGIN + 5).unwrap(),
    };
    for image in &all {
        let remote = images.verify_remote(image, &anybody()).await.unwrap();
        let pulled = pull(&images, image, Always).await.unwrap();
        assert_eq!((&remote.by, &pulled.verified.by), (&wanted, &wanted));
        assert_eq!(pulled.bytes, component(1, 10));
    }
    // Whoever starts later has it checked again without them.
    registry.stop();
    other.stop();
    let images = host.images();
    for image in &all {
        let pulled = pull(&images, image, Never).await.unwrap();
        assert_eq!((&pulled.verified.by, pulled.from_cache), (&wanted, true));
    }
    for (requirement, told) in others(&host, &authority) {
        let images = demanding(&mut host, requirement);
        for image in &all {
            let why = why(pull(&images, image, Never).await.unwrap_err());
            assert!(why.contains(&told), "{image}: {why}");
        }
    }
}

#[tokio::test]
async fn another_trust_root_identity_or_issuer_lets_no_image_run() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    let at = [registry.address(), other.address()];
    let mut host = Host::new(at.iter().map(String::as_str));
    let authority = Authority::new();
    let all = signed(&host.images(), &at, &authority, BEGIN + 5).await;
    for (requirement, told) in others(&host, &authority) {
        let images = demanding(&mut host, requirement);
        for image in &all {
            let why = why(pull(&images, image, Always).await.unwrap_err());
            assert!(why.contains(&told), "{image}: {why}");
        }
    }
    assert!(!host.blob(&Digest::of(&component(1, 10))).exists());
    // There is nothing else that is the matter with them.
    let requirement = released(&host, &authority);
    let images = demanding(&mut host, requirement);
    for image in &all {
        pull(&images, image, Always).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_signed_before_or_after_its_certificate_was_valid_does_not_run() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    let at = [registry.address(), other.address()];
    let mut host = Host::new(at.iter().map(String::as_str));
    let authority = Authority::new();
    let requirement = released(&host, &authority);
    let images = demanding(&mut host, requirement);
    for time in [BEGIN - 1, BEGIN + VALID + 1] {
        let made = jiff::Timestamp::from_second(time).unwrap();
        let told = format!(
            "it was made at {made}, and the certificate is for 2025-01-01T00:00:00Z to 2025-01-01T00:10:00Z"
        );
        for image in signed(&images, &at, &authority, time).await {
            let why = why(pull(&images, &image, Always).await.unwrap_err());
            assert!(why.ends_with(&told), "{image}: {why}");
        }
    }
    assert!(!host.blob(&Digest::of(&component(1, 10))).exists());
    // In the first and in the last second, it was.
    for time in [BEGIN, BEGIN + VALID] {
        for image in signed(&images, &at, &authority, time).await {
            pull(&images, &image, Always).await.unwrap();
        }
    }
}
