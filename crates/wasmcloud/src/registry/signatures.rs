//! Where the signatures of an image come from: from its repository, or from what was kept of it. Until they are found good, they are
//! whatever a stranger calls so: they are held, and kept only with an image that may run.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::client::{Access, Registries, RegistryError};
use super::layout::Descriptor;
use super::store::{Proof, Record, Store, StoreError};
use super::verify::{RawManifest, Referrer, SignatureSource, SourceError};
use crate::workload::{Digest, Reference, ReferenceError};

/// The largest list of referrers that is kept, in bytes.
const LARGEST_LIST: u64 = 4 << 20;
/// What is kept under a tag beside an image, and for how long: it goes with the image.
const REFERRERS: &str = ".referrers";
/// What a blob of a signature is asked for as: its type does not matter for that.
const ANY: &str = "application/octet-stream";

/// The most that is held for one image, in bytes. What does not fit is checked all the same, and not kept.
const MOST_HELD: u64 = 16 << 20;

/// What a registry said of the signatures of one image: bytes, and the tag where they were found under one.
#[derive(Debug, Default)]
pub(super) struct Held {
    said: Vec<(Bytes, Option<Reference>)>,
    bytes: u64,
}

impl Held {
    fn take(&mut self, bytes: &Bytes, under: Option<Reference>) {
        let all = self.bytes.saturating_add(bytes.len() as u64);
        if all <= MOST_HELD {
            self.bytes = all;
            self.said.push((bytes.clone(), under));
        }
    }

    /// Keeps it in the cache, so that the signatures are checked without the registry later, for whom may have the image. Says what it
    /// was: it is to stay for as long as the image does.
    pub(super) async fn keep_in(self, store: &Store, image: &Reference, to: Proof) -> Vec<Digest> {
        let mut related = Vec::new();
        for (bytes, under) in self.said {
            match keep(store, image, to, bytes, under).await {
                Ok(digest) => related.push(digest),
                Err(error) => {
                    tracing::warn!(%image, %error, "a signature is not kept in the cache");
                }
            }
        }
        related
    }
}

/// Keeps bytes; under a tag as well, if they were found under one.
async fn keep(
    store: &Store,
    image: &Reference,
    to: Proof,
    bytes: Bytes,
    under: Option<Reference>,
) -> Result<Digest, StoreError> {
    let size = bytes.len() as u64;
    let (digest, _pin) = store.keep(bytes, image).await?;
    if let Some(under) = under {
        let record = Record::new(digest, digest, size, to);
        store.put(&under, record).await?;
    }
    Ok(digest)
}

/// Signatures that a registry is asked for.
pub(super) struct Asked<'a> {
    registries: &'a Registries,
    /// What it says, for whoever wants to keep it.
    held: Option<Mutex<Held>>,
    image: &'a Reference,
    access: &'a Access,
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        registries: &'a Registries,
        held: Option<Held>,
        image: &'a Reference,
        access: &'a Access,
    ) -> Self {
        Self {
            registries,
            held: held.map(Mutex::new),
            image,
            access,
        }
    }

    /// What the registry said.
    pub(super) fn into_held(self) -> Held {
        let held = self.held.map(Mutex::into_inner);
        held.map(|held| held.unwrap_or_else(PoisonError::into_inner))
            .unwrap_or_default()
    }

    fn hold(&self, bytes: &Bytes, under: Option<&Reference>) {
        if let Some(held) = &self.held {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.take(bytes, under.cloned());
        }
    }
}

fn of_registry(error: RegistryError) -> SourceError {
    SourceError::new(error)
}

#[async_trait]
impl SignatureSource for Asked<'_> {
    async fn manifest(
        &self,
        version: &str,
        limit: u64,
    ) -> Result<Option<RawManifest>, SourceError> {
        let at = at(self.image, version).map_err(SourceError::new)?;
        let found = self.registries.manifest(&at, self.access).await;
        let Some(found) = found.map_err(of_registry)? else {
            return Ok(None);
        };
        if found.bytes.len() as u64 > limit {
            return Err(SourceError::new(format!("it has more than {limit} bytes")));
        }
        // By its digest, it is found again without a name. The image itself is among these.
        self.hold(&found.bytes, at.digest().is_none().then_some(&at));
        Ok(Some(RawManifest {
            bytes: found.bytes,
            digest: found.digest,
            media_type: found.media_type.unwrap_or_default(),
        }))
    }

    async fn blob(&self, digest: Digest, size: u64) -> Result<Bytes, SourceError> {
        let blob = Descriptor {
            media_type: ANY.to_owned(),
            digest,
            size,
            annotations: Default::default(),
            artifact_type: None,
            platform: None,
        };
        let fetched = self
            .registries
            .small_blob(self.image, &blob, size, self.access)
            .await;
        let bytes = fetched.map_err(of_registry)?;
        self.hold(&bytes, None);
        Ok(bytes)
    }

    async fn referrers(&self, digest: Digest) -> Result<Option<Vec<Referrer>>, SourceError> {
        let found = self.registries.referrers(self.image, digest, self.access);
        let found = found.await.map_err(of_registry)?;
        let referrers: Vec<Referrer> = found
            .into_iter()
            .map(|found| Referrer {
                digest: found.digest,
                artifact_type: found.artifact_type,
            })
            .collect();
        let list: Vec<(String, Option<String>)> = referrers
            .iter()
            .map(|it| (it.digest.to_string(), it.artifact_type.clone()))
            .collect();
        let list = serde_json::to_vec(&list).map_err(SourceError::new)?;
        let under = list_of(self.image, digest).map_err(SourceError::new)?;
        self.hold(&list.into(), Some(&under));
        Ok(Some(referrers))
    }
}

/// Signatures that were kept. Whether somebody may have them was asked for the image.
pub(super) struct Kept<'a> {
    pub(super) store: &'a Store,
    pub(super) reference: &'a Reference,
}

impl Kept<'_> {
    async fn under(
        &self,
        at: &Reference,
        limit: u64,
    ) -> Result<Option<(Bytes, Digest)>, SourceError> {
        let record = self.store.record(at).await.map_err(SourceError::new)?;
        let Some(record) = record else {
            return Ok(None);
        };
        let blob = self.store.blob(&record.manifest, limit).await;
        let blob = blob.map_err(SourceError::new)?;
        Ok(blob.map(|(bytes, _)| (bytes, record.manifest)))
    }
}

#[async_trait]
impl SignatureSource for Kept<'_> {
    async fn manifest(
        &self,
        version: &str,
        limit: u64,
    ) -> Result<Option<RawManifest>, SourceError> {
        let at = at(self.reference, version).map_err(SourceError::new)?;
        let found = match at.digest() {
            Some(digest) => {
                let found = self.store.blob_from(&digest, self.reference, limit).await;
                let found = found.map_err(SourceError::new)?;
                found.map(|(bytes, _)| (bytes, digest))
            }
            None => self.under(&at, limit).await?,
        };
        Ok(found.map(|(bytes, digest)| RawManifest {
            bytes,
            digest,
            media_type: String::new(),
        }))
    }

    async fn blob(&self, digest: Digest, limit: u64) -> Result<Bytes, SourceError> {
        let found = self.store.blob_from(&digest, self.reference, limit).await;
        match found.map_err(SourceError::new)? {
            Some((bytes, _)) => Ok(bytes),
            None => Err(SourceError::new(format!("`{digest}` is not in the cache"))),
        }
    }

    async fn referrers(&self, digest: Digest) -> Result<Option<Vec<Referrer>>, SourceError> {
        let at = list_of(self.reference, digest).map_err(SourceError::new)?;
        let Some((list, _)) = self.under(&at, LARGEST_LIST).await? else {
            return Ok(None);
        };
        let list: Vec<(String, Option<String>)> =
            serde_json::from_slice(&list).map_err(SourceError::new)?;
        let read = list.into_iter().map(|(digest, artifact_type)| {
            let digest = digest.parse().map_err(SourceError::new)?;
            Ok(Referrer {
                digest,
                artifact_type,
            })
        });
        read.collect::<Result<_, _>>().map(Some)
    }
}

/// A tag of the repository of an image, or a digest there.
fn at(image: &Reference, version: &str) -> Result<Reference, ReferenceError> {
    match version.parse::<Digest>() {
        Ok(digest) => Ok(image.at(digest)),
        Err(_) => image.tagged(version),
    }
}

/// The name under which the list of what refers to a manifest is kept. No registry is asked for it.
fn list_of(image: &Reference, digest: Digest) -> Result<Reference, ReferenceError> {
    image.tagged(&format!("sha256-{}{REFERRERS}", digest.hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_for_an_image_than_there_is_room_for() {
        let mut held = Held::default();
        let large = Bytes::from(vec![0; 6 << 20]);
        for _ in 0..100 {
            held.take(&large, None);
        }
        // What is small enough still is.
        held.take(&Bytes::from_static(b"{}"), None);
        assert_eq!((held.said.len(), held.bytes), (3, (12 << 20) + 2));
    }
}
