//! Manifests: small, and checked by their digests.

use std::future::Future;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::body;
use super::door::{Actions, Answer, Ask, Content, Door};
use super::doors::first;
use super::error::{RegistryError, RegistryErrorKind};
use super::registries::{Access, Registries};
use super::retry::persist;
use crate::registry::layout::media;
use crate::workload::{Digest, Reference};

/// The largest manifest, in bytes: as large as registries take them.
const LARGEST: u64 = 4 << 20;
/// What the registry says the digest is.
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// All kinds of manifests, so that what is there can be named.
const KINDS: [&str; 4] = [
    media::MANIFEST,
    media::INDEX,
    media::DOCKER_MANIFEST,
    media::DOCKER_LIST,
];

/// A manifest as it is in a registry, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// Its bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// What it was sent as.
    pub media_type: Option<String>,
}

impl Door {
    /// The manifest under a tag or digest.
    pub(in crate::registry) async fn manifest(
        &self,
        version: &str,
        wanted: Option<Digest>,
    ) -> Result<RawManifest, RegistryError> {
        let asked = persist(self.inner.settings.retries, || async {
            let answer = self.manifest_as(Method::GET, version).await?;
            let read = self.read_manifest(answer, version, wanted).await;
            read.map_err(|kind| self.error(kind))
        });
        self.in_time(asked).await
    }

    async fn manifest_as(&self, method: Method, version: &str) -> Result<Answer, RegistryError> {
        let mut ask = Ask::new(method, self.url(&format!("manifests/{version}")));
        for kind in KINDS {
            ask = ask.header(ACCEPT, HeaderValue::from_static(kind));
        }
        self.ask(ask, &format!("`{version}`")).await
    }

    async fn read_manifest(
        &self,
        answer: Answer,
        version: &str,
        wanted: Option<Digest>,
    ) -> Result<RawManifest, RegistryErrorKind> {
        let what = || format!("the manifest `{version}`");
        let said = said(answer.response.headers());
        let kind = answer.response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next());
        let media_type = kind.map(|kind| kind.trim().to_owned());
        let bytes = body::read(answer.response.into_body(), LARGEST, what).await?;
        let digest = Digest::of(&bytes);
        match wanted.into_iter().chain(said).find(|it| *it != digest) {
            Some(wanted) => Err(RegistryErrorKind::Digest {
                what: what(),
                wanted,
                found: digest,
            }),
            None => Ok(RawManifest {
                bytes,
                digest,
                media_type,
            }),
        }
    }

    /// The digest under a tag, without the manifest if the registry can say it.
    pub(in crate::registry) async fn digest(&self, version: &str) -> Result<Digest, RegistryError> {
        let retries = self.inner.settings.retries;
        let asked = persist(retries, || self.manifest_as(Method::HEAD, version));
        match said(self.in_time(asked).await?.response.headers()) {
            Some(digest) => Ok(digest),
            None => Ok(self.manifest(version, None).await?.digest),
        }
    }

    /// Puts a manifest under a tag or its digest.
    pub(in crate::registry) async fn put_manifest(
        &self,
        version: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<Digest, RegistryError> {
        let wrong = |text: &str| self.error(RegistryErrorKind::Protocol(text.to_owned()));
        let kind = HeaderValue::from_str(media_type);
        let kind =
            kind.map_err(|_| wrong("the type of a manifest has letters that no header may have"))?;
        let found = Digest::of(bytes);
        let (url, kind) = (&self.url(&format!("manifests/{version}")), &kind);
        persist(self.inner.settings.retries, || async move {
            let mut ask = Ask::new(Method::PUT, url.clone()).header(CONTENT_TYPE, kind.clone());
            ask.content = Content::Bytes(bytes.clone());
            let answer = self.ask(ask, "repository of this name").await?;
            match said(answer.response.headers()) {
                Some(wanted) if wanted != found => Err(self.error(RegistryErrorKind::Digest {
                    what: "the manifest that was put there".to_owned(),
                    wanted,
                    found,
                })),
                _ => Ok(found),
            }
        })
        .await
    }
}

/// The digest that the registry names, if it is of a kind that can be checked.
fn said(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DIGEST)?.to_str().ok()?.parse().ok()
}

impl Registries {
    /// What a reference leads to, as it is. None if there is nothing.
    ///
    /// # Errors
    /// When the registry does not say whether there is something.
    pub async fn manifest(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let doors = self.doors(reference, access)?;
        let version = reference.version();
        let asked = first(&doors, |door| door.manifest(&version, reference.digest()));
        optional(self.within(reference, asked).await)
    }

    /// The digest that a reference leads to, which is in it or which the registry says. None if there is nothing.
    ///
    /// # Errors
    /// When the registry does not say whether there is something.
    pub async fn digest(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Option<Digest>, RegistryError> {
        let doors = self.doors(reference, access)?;
        let version = reference.version();
        let asked = first(&doors, |door| door.digest(&version));
        let found = optional(self.within(reference, asked).await)?;
        Ok(found.map(|found| reference.digest().unwrap_or(found)))
    }

    /// Puts a manifest where a reference leads. What it names must be there already.
    ///
    /// # Errors
    /// When the registry does not take it, or the reference has another digest.
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &Bytes,
        access: &Access,
    ) -> Result<Digest, RegistryError> {
        let door = self.home(reference, access, Actions::Push)?;
        let version = pushed_version(&door, reference, Digest::of(bytes))?;
        let put = door.put_manifest(&version, media_type, bytes);
        self.within(reference, put).await
    }

    /// Nothing takes longer than the settings have it.
    pub(in crate::registry) async fn within<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let longest = self.settings().longest;
        let done = tokio::time::timeout(longest, work).await;
        done.unwrap_or_else(|_| {
            Err(RegistryError {
                place: format!("{}/{}", reference.registry(), reference.repository()),
                kind: RegistryErrorKind::Late(longest),
            })
        })
    }
}

/// Where something is put: under the tag, or under its digest, which must be the one that is asked for.
pub(in crate::registry) fn pushed_version(
    door: &Door,
    reference: &Reference,
    found: Digest,
) -> Result<String, RegistryError> {
    match reference.digest() {
        Some(wanted) if wanted != found => Err(door.error(RegistryErrorKind::Digest {
            what: "what would be pushed".to_owned(),
            wanted,
            found,
        })),
        // A tag that stands beside the digest is put, too: it leads to the same.
        _ => Ok(reference
            .tag()
            .map_or_else(|| found.to_string(), str::to_owned)),
    }
}

pub(in crate::registry) fn optional<T>(
    found: Result<T, RegistryError>,
) -> Result<Option<T>, RegistryError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
