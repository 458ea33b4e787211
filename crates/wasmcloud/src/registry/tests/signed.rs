//! Signatures of other programs for ours, of ours for others, and on their way to another registry.

use test_servers::{OtherRegistry, Registry, cosign_2, cosign_3};

use super::PullPolicy::{Always, Never};
use super::verify::{by, key, rejected};
use super::*;
use crate::registry::verify::{Proof, VerifyErrorKind};

const FROM_A_KEY: [&str; 3] = ["--key", "cosign.key", "--allow-http-registry"];

/// With the key in the folder, in the format of that version.
fn sign(cosign: fn(&Path) -> Command, folder: &Path, image: &Reference) {
    let mut command = cosign(folder);
    command
        .arg("sign")
        .args(FROM_A_KEY)
        .args(["--tlog-upload=false", "--yes"]);
    if std::ptr::fn_addr_eq(cosign, cosign_3 as fn(&Path) -> Command) {
        command.arg("--use-signing-config=false");
    }
    run(command.arg(image.to_string()));
}

/// A new key in a folder.
fn keys() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(cosign_2(folder.path()).arg("generate-key-pair"));
    folder
}

fn of_cosign(folder: &TempDir) -> Requirement {
    Requirement::Keys(vec![folder.path().join("cosign.pub")])
}

#[tokio::test]
async fn what_cosign_signs_in_either_format_runs_at_both_registries() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    let (folder, wrong) = (keys(), keys());
    let mut host = Host::new([registry.address().as_str(), other.address().as_str()]);
    let images = host.images();
    let mut all = Vec::new();
    for at in [registry.address(), other.address()] {
        for (name, cosign) in [
            ("two", cosign_2 as fn(&Path) -> Command),
            ("three", cosign_3),
        ] {
            let image = reference(&at, &format!("{name}:1"));
            let digest = push(&images, &image, &component(1, 10)).await.digest;
            sign(cosign, folder.path(), &image.at(digest));
            all.push(image);
        }
    }
    host.demand("*", of_cosign(&folder));
    let images = host.images();
    for image in &all {
        let verified = pull(&images, image, Always).await.unwrap().verified;
        assert!(
            matches!(verified.by, Proof::Key { .. }),
            "{image}: {verified:?}"
        );
        assert_eq!(
            images.verify_remote(image, &anybody()).await.unwrap(),
            verified
        );
    }
    let mut stopped = (registry, other);
    stopped.0.stop();
    stopped.1.stop();
    let images = host.images();
    for image in &all {
        pull(&images, image, Never).await.unwrap();
    }
    host.options.verify.clear();
    host.demand("*", of_cosign(&wrong));
    let images = host.images();
    for image in &all {
        let kind = rejected(pull(&images, image, Never).await.unwrap_err());
        assert!(
            matches!(kind, VerifyErrorKind::Rejected { .. }),
            "{image}: {kind:?}"
        );
    }
}

#[tokio::test]
async fn cosign_accepts_what_we_sign_beside_what_it_has_signed() {
    let (registry, other) = (Registry::start(), OtherRegistry::start());
    let folder = keys();
    let host = Host::new([registry.address().as_str(), other.address().as_str()]);
    let images = host.images();
    let (mine, _) = key();
    std::fs::write(folder.path().join("mine.pub"), mine.public().to_pem()).unwrap();
    for at in [registry.address(), other.address()] {
        let image = reference(&at, "team/app:1");
        let digest = push(&images, &image, &component(1, 10)).await.digest;
        sign(cosign_2, folder.path(), &image.at(digest));
        // Twice is once.
        for _ in 0..2 {
            images
                .registries()
                .sign(&image, digest, &mine, &anybody())
                .await
                .unwrap();
        }
        for key in ["mine.pub", "cosign.pub"] {
            for cosign in [cosign_2, cosign_3] {
                let mut verify = cosign(folder.path());
                verify.args([
                    "verify",
                    "--key",
                    key,
                    "--insecure-ignore-tlog",
                    "--allow-http-registry",
                ]);
                run(verify.arg(image.to_string()));
            }
        }
        let signed = image
            .tagged(&format!("sha256-{}.sig", digest.hex()))
            .unwrap();
        let signatures = images
            .registries()
            .manifest(&signed, &anybody())
            .await
            .unwrap()
            .unwrap();
        let signatures: serde_json::Value = serde_json::from_slice(&signatures.bytes).unwrap();
        assert_eq!(signatures["layers"].as_array().unwrap().len(), 2);
    }
}

/// Copies an image with its signatures, and asks both us and cosign whether they have come along.
async fn copied(from: &str, to: &str) {
    let folder = keys();
    let mut host = Host::new([from, to]);
    let images = host.images();
    let (source, target) = (reference(from, "app:1"), reference(to, "copy/app:2"));
    let digest = push(&images, &source, &component(1, 10)).await.digest;
    sign(cosign_3, folder.path(), &source.at(digest));
    let (mine, _) = key();
    images
        .registries()
        .sign(&source, digest, &mine, &anybody())
        .await
        .unwrap();
    let (from, to) = ((&source, &anybody()), (&target, &anybody()));
    images.registries().copy(from, to).await.unwrap();
    // More than once does no harm.
    for _ in 0..2 {
        assert_eq!(
            images
                .registries()
                .copy_signatures(from, to, digest)
                .await
                .unwrap(),
            2
        );
    }
    for requirement in [of_cosign(&folder), by(&host, &mine)] {
        host.options.verify.clear();
        host.demand("*", requirement);
        let verified = host
            .images()
            .verify_remote(&target, &anybody())
            .await
            .unwrap();
        assert!(matches!(verified.by, Proof::Key { .. }));
    }
    let mut verify = cosign_3(folder.path());
    verify.args([
        "verify",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        "--allow-http-registry",
    ]);
    run(verify.arg(target.to_string()));
    lists_are_joined(&mut host, from, to, digest).await;
    // What somebody else has put beside the copy stays.
    sign(cosign_3, folder.path(), &target.at(digest));
    let before = images
        .registries()
        .referrers(&target, digest, &anybody())
        .await
        .unwrap();
    images
        .registries()
        .copy_signatures(from, to, digest)
        .await
        .unwrap();
    let after = images
        .registries()
        .referrers(&target, digest, &anybody())
        .await
        .unwrap();
    assert_eq!(before, after);
    assert_eq!(after.len(), 2, "{after:?}");
}

/// Signs the source with one key and the copy with another: whoever copies the signatures again finds both at the copy.
async fn lists_are_joined(
    host: &mut Host,
    from: (&Reference, &Access),
    to: (&Reference, &Access),
    digest: Digest,
) {
    let images = host.images();
    let registries = images.registries();
    let [(at_source, _), (at_copy, _)] = [key(), key()];
    for ((image, access), key) in [(from, &at_source), (to, &at_copy)] {
        registries.sign(image, digest, key, access).await.unwrap();
    }
    for _ in 0..2 {
        let copied = registries.copy_signatures(from, to, digest).await;
        assert_eq!(copied.unwrap(), 2);
    }
    for key in [&at_source, &at_copy] {
        host.options.verify.clear();
        let requirement = by(host, key);
        host.demand("*", requirement);
        let images = host.images();
        images.verify_remote(to.0, to.1).await.unwrap();
    }
}

#[tokio::test]
async fn signatures_go_along_to_a_registry_of_the_same_kind() {
    let (from, to) = (Registry::start(), Registry::start());
    copied(&from.address(), &to.address()).await;
}

#[tokio::test]
async fn signatures_go_along_to_a_registry_that_lists_them_by_itself() {
    let (from, to) = (Registry::start(), OtherRegistry::start());
    copied(&from.address(), &to.address()).await;
}

#[tokio::test]
async fn signatures_go_along_to_a_registry_that_does_not_list_them_by_itself() {
    let (from, to) = (OtherRegistry::start(), Registry::start());
    copied(&from.address(), &to.address()).await;
}

#[tokio::test]
async fn a_mirror_without_the_signatures_does_not_hide_those_of_the_registry() {
    let (registry, mirror) = (OtherRegistry::start(), Registry::start());
    let folder = keys();
    let mut host = Host::new([registry.address().as_str(), mirror.address().as_str()]);
    let images = host.images();
    let image = reference(&registry.address(), "app:1");
    let digest = push(&images, &image, &component(1, 10)).await.digest;
    push(
        &images,
        &reference(&mirror.address(), "app:1"),
        &component(1, 10),
    )
    .await;
    sign(cosign_3, folder.path(), &image.at(digest));
    // What the registry has seen of signatures, the mirror has not: none of them is written over.
    let ((first, _), (second, _)) = (key(), key());
    images
        .registries()
        .sign(&image, digest, &first, &anybody())
        .await
        .unwrap();
    let signed = image
        .tagged(&format!("sha256-{}.sig", digest.hex()))
        .unwrap();
    let copy = reference(&mirror.address(), &format!("app:{}", signed.tag().unwrap()));
    images
        .registries()
        .copy((&signed, &anybody()), (&copy, &anybody()))
        .await
        .unwrap();
    images
        .registries()
        .sign(&image, digest, &second, &anybody())
        .await
        .unwrap();
    host.registry(&registry.address()).mirrors = vec![Mirror {
        location: mirror.address(),
        plain_http: true,
        ..Mirror::default()
    }];
    let (third, _) = key();
    host.images()
        .registries()
        .sign(&image, digest, &third, &anybody())
        .await
        .unwrap();
    let list = images
        .registries()
        .manifest(&signed, &anybody())
        .await
        .unwrap()
        .unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list.bytes).unwrap();
    assert_eq!(list["layers"].as_array().unwrap().len(), 3);
    host.demand("*", of_cosign(&folder));
    pull(&host.images(), &image, Always).await.unwrap();
}
