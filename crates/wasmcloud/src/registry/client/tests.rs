//! The client against a server that says what a test wants, and against real registries.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod credentials;
mod downloads;
mod encodings;
mod facts;
mod fake;
mod mirrors;
mod real;
mod redirects;
mod retries;
mod shapes;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::json;

use super::*;
use crate::net::dial::Dial;
use crate::net::resolve::SystemResolver;
use crate::policy::{EgressOptions, EgressPolicy};
use crate::registry::access::{Credentials, Keychain};
use crate::registry::layout::{Descriptor, media};
use crate::registry::settings::{RegistrySettings, Retries, Settings};
use crate::workload::{Digest, Reference};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits as short as they can be, where a test is not about them.
fn settings(plain: &[&str]) -> Settings {
    let plain_http = true;
    let registries = plain.iter().map(|name| {
        let registry = RegistrySettings {
            plain_http,
            ..RegistrySettings::default()
        };
        ((*name).to_owned(), registry)
    });
    Settings {
        registries: registries.collect(),
        silence: PATIENCE,
        longest: PATIENCE,
        retries: Retries {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
            ..Retries::default()
        },
        ..Settings::default()
    }
}

/// A way out that the egress policy lets to these networks.
fn dial(allow: &[&str]) -> Dial {
    let options = EgressOptions {
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ..EgressOptions::default()
    };
    Dial::new(EgressPolicy::new(options), Arc::<SystemResolver>::default())
}

fn registries(settings: Settings) -> Registries {
    Registries::over(settings, &dial(&[])).unwrap()
}

fn anybody() -> Access {
    Access::of_workload(Keychain::anonymous())
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic {
        username: username.to_owned(),
        password: password.into(),
    }
}

fn with(registry: &str, credentials: Credentials) -> Access {
    Access::of_workload(Keychain::anonymous().explicit(registry, credentials))
}

fn reference(registry: &str, rest: &str) -> Reference {
    format!("{registry}/{rest}").parse().unwrap()
}

/// A component of so many bytes, none of which is like the next.
fn component(len: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// A manifest with one layer.
fn manifest(layer: &Descriptor) -> Bytes {
    let config = Descriptor::of(media::WASM_CONFIG, b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": [layer]});
    manifest.to_string().into()
}

async fn pull(
    registries: &Registries,
    reference: &Reference,
    access: &Access,
) -> Result<Bytes, RegistryError> {
    let resolved = registries.resolve(reference, access).await?;
    let mut bytes = BytesMut::new();
    let blob = &resolved.artifact.layer;
    registries
        .blob(&resolved.reference, blob, &mut bytes, access)
        .await?;
    Ok(bytes.freeze())
}

/// Pulls what a server has as `app:1`.
async fn pulled_as(fake: &fake::Fake, access: &Access) -> Result<Bytes, RegistryError> {
    let registries = registries(settings(&[&fake.address]));
    pull(&registries, &reference(&fake.address, "app:1"), access).await
}

/// The same as somebody without credentials.
async fn pulled(fake: &fake::Fake) -> Result<Bytes, RegistryError> {
    pulled_as(fake, &anybody()).await
}
