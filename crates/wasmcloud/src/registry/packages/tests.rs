//! Packages in Debian's registry. What is in them does not matter here.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use test_servers::Registry;

use super::*;
use crate::net::resolve::SystemResolver;
use crate::policy::EgressPolicy;
use crate::registry::{Keychain, RegistrySettings, Settings};

/// The way to a registry, for contents of at most 100 bytes.
fn registries(registry: &Registry) -> Registries {
    let plain = RegistrySettings {
        plain_http: true,
        ..RegistrySettings::default()
    };
    let settings = Settings {
        registries: BTreeMap::from([(registry.address(), plain)]),
        largest_image: 100,
        ..Settings::default()
    };
    let resolver = Arc::<SystemResolver>::default();
    Registries::new(settings, EgressPolicy::default(), resolver).unwrap()
}

fn anybody() -> Access {
    Access::of_host(Keychain::anonymous())
}

fn package(registry: &Registry) -> Reference {
    format!("{}/wit/demo/greet", registry.address())
        .parse()
        .unwrap()
}

fn new(version: &str, content: &[u8]) -> NewPackage {
    NewPackage {
        version: version.parse().unwrap(),
        content: Bytes::copy_from_slice(content),
        facts: ComponentFacts::default(),
        annotations: BTreeMap::new(),
    }
}

#[tokio::test]
async fn versions_are_tags_in_their_order_and_each_has_its_content() {
    let registry = Registry::start();
    let (registries, package) = (registries(&registry), package(&registry));
    let access = anybody();
    let none = registries.package_versions(&package, &access).await;
    assert_eq!(none.unwrap(), None);
    for version in ["0.10.0", "0.9.0", "0.9.0-rc.1"] {
        let new = new(version, version.as_bytes());
        let published = registries.publish_package(&package, &new, &access).await;
        assert!(!published.unwrap().was_there);
    }
    let latest = new("1.0.0", b"another");
    let config = latest.facts.config(&latest.content);
    let tag = package.tagged("latest").unwrap();
    registries
        .push(&tag, &latest.content, &config, &latest.annotations, &access)
        .await
        .unwrap();
    let versions = registries.package_versions(&package, &access).await;
    let versions: Vec<String> = versions
        .unwrap()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(versions, ["0.9.0-rc.1", "0.9.0", "0.10.0"]);
    let version = "0.9.0".parse().unwrap();
    let release = registries
        .package_release(&package, &version, &access)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((release.digest, release.size), (Digest::of(b"0.9.0"), 5));
    let content = registries
        .package_content(&package, release.digest, &access)
        .await;
    assert_eq!(content.unwrap(), "0.9.0");
    let version = "0.8.0".parse().unwrap();
    let none = registries
        .package_release(&package, &version, &access)
        .await;
    assert_eq!(none.unwrap(), None);
}

#[tokio::test]
async fn what_is_published_stays_as_it_is_whoever_published_it() {
    let registry = Registry::start();
    let (registries, package) = (registries(&registry), package(&registry));
    let access = anybody();
    // Another client says other things about the same content.
    let first = new("0.1.0", b"content");
    let annotations = BTreeMap::from([("by".to_owned(), "another".to_owned())]);
    let tag = package.tagged("0.1.0").unwrap();
    let config = first.facts.config(&first.content);
    let pushed = registries
        .push(&tag, &first.content, &config, &annotations, &access)
        .await
        .unwrap();
    let again = registries
        .publish_package(&package, &first, &access)
        .await
        .unwrap();
    assert_eq!((again.digest, again.was_there), (pushed.digest, true));
    let other = new("0.1.0", b"another");
    let refused = registries.publish_package(&package, &other, &access).await;
    let refused = refused.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("has version 0.1.0 already, with the content sha256:"),
        "{refused}"
    );
    let version = "0.1.0".parse().unwrap();
    let release = registries
        .package_release(&package, &version, &access)
        .await;
    assert_eq!(release.unwrap().unwrap().manifest, pushed.digest);
}

#[tokio::test]
async fn the_content_of_a_version_that_was_moved_is_still_had_by_its_digest() {
    let registry = Registry::start();
    let (registries, package) = (registries(&registry), package(&registry));
    let access = anybody();
    let first = new("0.1.0", b"first");
    registries
        .publish_package(&package, &first, &access)
        .await
        .unwrap();
    let second = new("0.1.0", b"second");
    let config = second.facts.config(&second.content);
    let tag = package.tagged("0.1.0").unwrap();
    registries
        .push(&tag, &second.content, &config, &second.annotations, &access)
        .await
        .unwrap();
    let content = registries
        .package_content(&package, Digest::of(b"first"), &access)
        .await;
    assert_eq!(content.unwrap(), "first");
}

#[tokio::test]
async fn what_is_too_large_or_no_tag_is_refused() {
    let registry = Registry::start();
    let (registries, package) = (registries(&registry), package(&registry));
    let access = anybody();
    let large = new("0.1.0", &[7; 101]);
    registries
        .publish_package(&package, &large, &access)
        .await
        .unwrap();
    let release = registries
        .package_release(&package, &large.version, &access)
        .await;
    assert!(release.unwrap_err().to_string().contains("101 bytes"));
    let content = registries
        .package_content(&package, Digest::of(&large.content), &access)
        .await;
    assert!(content.unwrap_err().to_string().contains("more than 100"));
    let no_tag = new("0.1.0+build", b"content");
    let refused = registries.publish_package(&package, &no_tag, &access).await;
    assert!(refused.unwrap_err().to_string().contains("a tag is of"));
}
