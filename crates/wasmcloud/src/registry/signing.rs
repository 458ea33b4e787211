//! Signs what was pushed, copies signatures along with what they are for, and checks what is in a registry without pulling it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::client::{
    Access, Actions, RawManifest, Registries, RegistryError, RegistryErrorKind, optional,
};
use super::layout::{Descriptor, Manifest, media};
use super::signatures::Asked;
use super::source::{ImageError, Images};
use super::verify::{JoinedSignatures, SignError, SignatureArtifact, SigningKey, Verified};
use crate::workload::{Digest, Reference, ReferenceError};

/// A list of manifests.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// Why an image is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The registry does not take the signature, or does not give those that are there.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// It cannot be made.
    #[error("{0}")]
    Sign(#[from] SignError),
    /// The repository cannot have a tag for it.
    #[error("{0}")]
    Tag(#[from] ReferenceError),
}

impl SigningError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Sign(_) | Self::Tag(_) => None,
        }
    }
}

impl Registries {
    /// Signs an image in its registry, beside the signatures that are there. Says under which tag.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn sign(
        &self,
        image: &Reference,
        manifest: Digest,
        key: &SigningKey,
        access: &Access,
    ) -> Result<Reference, SigningError> {
        let under = image.tagged(&SignatureArtifact::tag_of(manifest))?;
        // Not from a mirror: what that has not seen yet would be written over.
        let home = self.home(&under, access, Actions::Push)?;
        let tag = under.version();
        let there = home.manifest(&tag, None);
        let there = optional(self.within(&under, there).await)?;
        let there = there.as_ref().map(|manifest| manifest.bytes.as_ref());
        let signature = key.sign(image, manifest, there)?;
        if !signature.is_new {
            return Ok(under);
        }
        for bytes in [&signature.payload, &signature.config] {
            self.put_blob(&under, bytes, access).await?;
        }
        self.put_manifest(&under, signature.media_type, &signature.manifest, access)
            .await?;
        Ok(under)
    }

    /// Copies the signatures of an image that was copied, beside those that are there. Says how many manifests with some there are.
    ///
    /// # Errors
    /// When they cannot be had, or the other registry does not take them.
    pub async fn copy_signatures(
        &self,
        from: (&Reference, &Access),
        to: (&Reference, &Access),
        image: Digest,
    ) -> Result<usize, SigningError> {
        let mut copied = BTreeSet::new();
        let tag = SignatureArtifact::tag_of(image);
        if let (Ok(from_tag), Ok(to_tag)) = (from.0.tagged(&tag), to.0.tagged(&tag))
            && let Some(there) = self.manifest(&from_tag, from.1).await?
        {
            self.join_signatures((&from_tag, from.1), (&to_tag, to.1), &there)
                .await?;
            copied.insert(there.digest);
        }
        let referrers = self.referrers(from.0, image, from.1).await?;
        for referrer in &referrers {
            if copied.insert(referrer.digest) {
                let (from_at, to_at) = (from.0.at(referrer.digest), to.0.at(referrer.digest));
                self.copy((&from_at, from.1), (&to_at, to.1)).await?;
            }
        }
        self.list_referrers(to, image, referrers).await?;
        Ok(copied.len())
    }

    /// Copies a list of signatures to a tag that may have another one.
    async fn join_signatures(
        &self,
        from: (&Reference, &Access),
        to: (&Reference, &Access),
        list: &RawManifest,
    ) -> Result<(), SigningError> {
        let (home, tag) = (self.home(to.0, to.1, Actions::Push)?, to.0.version());
        let there = optional(self.within(to.0, home.manifest(&tag, None)).await)?;
        let Some(there) = there.filter(|there| there.digest != list.digest) else {
            self.copy(from, to).await?;
            return Ok(());
        };
        let joined = JoinedSignatures::new(&tag, &there.bytes, &list.bytes)?;
        if let Some(joined) = joined {
            // Its payloads come with it.
            let (from_at, to_at) = (from.0.at(list.digest), to.0.at(list.digest));
            self.copy((&from_at, from.1), (&to_at, to.1)).await?;
            self.put_blob(to.0, &joined.config, to.1).await?;
            let kind = JoinedSignatures::MEDIA_TYPE;
            self.put_manifest(to.0, kind, &joined.manifest, to.1)
                .await?;
        }
        Ok(())
    }

    /// Notes what refers to an image under a tag, as the specification wants it of clients of a registry that does not see it itself:
    /// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject>.
    async fn list_referrers(
        &self,
        to: (&Reference, &Access),
        image: Digest,
        mut referrers: Vec<Descriptor>,
    ) -> Result<(), RegistryError> {
        let home = self.home(to.0, to.1, Actions::Push)?;
        let listed = self.within(to.0, home.referrers(image)).await?;
        referrers.retain(|one| listed.iter().all(|listed| listed.digest != one.digest));
        if referrers.is_empty() {
            return Ok(());
        }
        let tag = format!("sha256-{}", image.hex());
        let there = optional(self.within(to.0, home.manifest(&tag, None)).await)?;
        let there = there.map(|there| Manifest::parse(there.media_type.as_deref(), &there.bytes));
        let mut manifests = match there {
            None => Vec::new(),
            Some(Ok(Manifest::Index { manifests, .. })) => manifests,
            Some(_) => {
                let text = format!(
                    "what is under its tag `{tag}` is no list of referrers; nothing was changed there"
                );
                return Err(home.error(RegistryErrorKind::Protocol(text)));
            }
        };
        manifests.extend(referrers);
        let index = Index {
            schema_version: 2,
            media_type: media::INDEX,
            manifests,
        };
        // Strings and numbers are always JSON.
        let index = serde_json::to_vec(&index).unwrap_or_default().into();
        let put = home.put_manifest(&tag, media::INDEX, &index);
        self.within(to.0, put).await.map(|_| ())
    }
}

impl Images {
    /// Whether an image in its registry meets what is demanded of it. Its component is not pulled.
    ///
    /// # Errors
    /// When it does not, or cannot be looked at.
    pub async fn verify_remote(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Verified, ImageError> {
        let resolved = self.registries().resolve(reference, access).await?;
        let signatures = Asked::new(self.registries(), None, reference, access);
        Ok(self
            .verify_asked(reference, resolved.digest, &signatures)
            .await?)
    }
}
