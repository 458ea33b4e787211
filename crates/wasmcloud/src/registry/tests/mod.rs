//! All of it together, as hosts use it: against real registries, other clients, and registries that go wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod bad;
mod cache;
mod configured;
mod disk;
mod egress;
mod interop;
mod keyless;
mod policies;
mod private;
mod progress;
mod redirects;
mod signed;
mod verify;

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use test_servers::{FaultyRegistry, Registry};

use super::*;
use crate::artifact::By;
use crate::net::dial::Dial;
use crate::net::resolve::SystemResolver;
use crate::net::trust::Authorities;
use crate::policy::{EgressOptions, EgressPolicy};
use crate::workload::{Digest, Namespace, Pull, PullPolicy, Reference, SecretName};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a host is told about images, and a folder for all that it keeps.
struct Host {
    folder: TempDir,
    options: ImageOptions,
    egress: EgressOptions,
}

impl Host {
    /// One with a cache, for registries that speak plain HTTP.
    fn new<'a>(plain: impl IntoIterator<Item = &'a str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            silence: PATIENCE,
            longest: PATIENCE,
            retries: Retries {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(2),
                ..Retries::default()
            },
            ..Settings::default()
        };
        let mut host = Self {
            options: ImageOptions {
                cache: Some(folder.path().join("images")),
                settings,
                ..ImageOptions::default()
            },
            folder,
            egress: EgressOptions::default(),
        };
        for registry in plain {
            host.registry(registry).plain_http = true;
        }
        host
    }

    fn before(faulty: &FaultyRegistry) -> Self {
        Self::new([faulty.address().as_str()])
    }

    fn registry(&mut self, address: &str) -> &mut RegistrySettings {
        let registries = &mut self.options.settings.registries;
        registries.entry(address.to_owned()).or_default()
    }

    /// Tells it a pull secret of a namespace, for one registry.
    fn secret(&mut self, namespace: &str, name: &str, registry: &str, user: &str, password: &str) {
        let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let auths = json!({"auths": {registry: {"auth": auth}}});
        let path = self.private(&format!("{namespace}-{name}.json"), &auths.to_string());
        let whose = (namespace.parse().unwrap(), name.parse().unwrap());
        self.options.pull_secrets.insert(whose, path);
    }

    /// A file that nobody else may read.
    fn private(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        path
    }

    fn demand(&mut self, pattern: &str, requirement: Requirement) {
        let rule = (pattern.parse().unwrap(), requirement);
        self.options.verify.push(rule);
    }

    fn images(&self) -> Images {
        self.options
            .open(self.egress.clone(), Arc::<SystemResolver>::default())
            .unwrap()
    }

    fn cache(&self) -> &Path {
        self.options.cache.as_deref().unwrap()
    }

    /// The file of a blob in the cache.
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.cache().join("blobs/sha256").join(digest.hex())
    }
}

fn reference(registry: &str, rest: &str) -> Reference {
    format!("{registry}/{rest}").parse().unwrap()
}

/// A component with a section of its own that is of so many bytes, which are others for each number.
fn component(number: u64, len: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(number);
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let name = format!("\x04test{number:08}");
    // A custom section, with its length in as many bytes as that may have.
    bytes.push(0);
    let size = name.len() + len;
    bytes
        .extend((0..5).map(|at| ((size >> (7 * at)) & 0x7f) as u8 | if at < 4 { 0x80 } else { 0 }));
    bytes.extend(name.as_bytes());
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(len));
    bytes.into()
}

fn anybody() -> Access {
    Access::of_host(Keychain::anonymous())
}

fn user(registry: &str, name: &str, password: &str) -> Access {
    let username = name.to_owned();
    let password = password.into();
    let credentials = Credentials::Basic { username, password };
    Access::of_host(Keychain::anonymous().explicit(registry, credentials))
}

async fn push_as(images: &Images, to: &Reference, component: &Bytes, access: &Access) -> Pushed {
    let config = ComponentFacts::default().config(component);
    let none = BTreeMap::new();
    let pushed = images
        .registries()
        .push(to, component, &config, &none, access);
    pushed.await.unwrap()
}

async fn push(images: &Images, to: &Reference, component: &Bytes) -> Pushed {
    push_as(images, to, component, &anybody()).await
}

/// A registry with an image under `app:1`, the way to it, on which something may go wrong, and a host that has not pulled it yet.
struct Stocked {
    _registry: Registry,
    faulty: FaultyRegistry,
    host: Host,
    images: Images,
    image: Reference,
    component: Bytes,
    /// Of its manifest.
    digest: Digest,
}

impl Stocked {
    /// With the first component of so many bytes.
    async fn with(len: usize) -> Self {
        let registry = Registry::start();
        let faulty = FaultyRegistry::to(registry.port());
        let host = Host::before(&faulty);
        let images = host.images();
        let image = reference(&faulty.address(), "app:1");
        let component = component(1, len);
        let digest = push(&images, &image, &component).await.digest;
        faulty.forget();
        Self {
            _registry: registry,
            faulty,
            host,
            images,
            image,
            component,
            digest,
        }
    }

    async fn pull(&self, policy: PullPolicy) -> Result<Pulled, ImageError> {
        pull(&self.images, &self.image, policy).await
    }
}

/// An image in a registry, and the same registry where it speaks TLS, which nobody has listed.
async fn behind_tls(registry: &Registry, access: &Access) -> (FaultyRegistry, Reference, Bytes) {
    let direct = Host::new([registry.address().as_str()]);
    let there = reference(&registry.address(), "app:1");
    let component = component(1, 10_000);
    push_as(&direct.images(), &there, &component, access).await;
    let front = FaultyRegistry::with_tls(registry.port());
    let image = reference(&front.address(), "app:1");
    (front, image, component)
}

/// The way out of a host that trusts registries which speak TLS, and lets workloads go to these networks besides public ones.
fn dial(trusted: &[&FaultyRegistry], allow: &[&str]) -> Dial {
    let policy = EgressPolicy::new(EgressOptions {
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ..EgressOptions::default()
    });
    let files: Vec<PathBuf> = trusted.iter().map(|it| it.ca().to_owned()).collect();
    let authorities = Authorities::load(&files).unwrap();
    Dial::new(policy, Arc::<SystemResolver>::default()).trusting(authorities)
}

/// As a workload of a namespace, with one of its pull secrets.
async fn pull_with(
    images: &Images,
    reference: &Reference,
    policy: PullPolicy,
    namespace: &str,
    secret: Option<&str>,
) -> Result<Pulled, ImageError> {
    let pull = Pull {
        policy: Some(policy),
        secret: secret.map(|name| name.parse().unwrap()),
    };
    let namespace: Namespace = namespace.parse().unwrap();
    images
        .pull(reference, &pull, By::Workload(&namespace), None)
        .await
}

async fn pull(
    images: &Images,
    reference: &Reference,
    policy: PullPolicy,
) -> Result<Pulled, ImageError> {
    pull_with(images, reference, policy, "default", None).await
}

/// What an error of a registry is about.
fn registry_error(error: ImageError) -> RegistryError {
    match error {
        ImageError::Registry(error) => error,
        other => panic!("not of a registry: {other:?}"),
    }
}

/// Runs another client, which must not fail.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("`cargo xtask test` installs it");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}
