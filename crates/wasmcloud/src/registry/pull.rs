//! From a reference to a component: which one it is now, before anything large is fetched.

use super::access::Found;
use super::client::{Access, RawManifest, Registries, RegistryError, RegistryErrorKind};
use super::layout::Artifact;
use crate::workload::{Digest, Reference};

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The same repository, at the digest.
    pub reference: Reference,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The manifest as it is.
    pub manifest: RawManifest,
    /// The component in it.
    pub artifact: Artifact,
    /// The credentials with which it was had. None if the registry wanted none: everybody may have it.
    pub with: Option<Found>,
}

impl Registries {
    /// Asks which component a reference leads to. It is fetched with [`Registries::blob`].
    ///
    /// # Errors
    /// When there is none, it is something else, or it is larger than the settings allow.
    pub async fn resolve(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Resolved, RegistryError> {
        let doors = self.doors(reference, access)?;
        let version = reference.version();
        let asked = super::client::first(&doors, |door| {
            let manifest = door.manifest(&version, reference.digest());
            async move { Ok((manifest.await?, door.used())) }
        });
        let (manifest, with) = self.within(reference, asked).await?;
        let limit = self.settings().largest_image;
        let kind = manifest.media_type.as_deref();
        let artifact = Artifact::read(kind, &manifest.bytes, limit);
        let artifact = artifact.map_err(|problem| RegistryError {
            place: format!("{}/{}", reference.registry(), reference.repository()),
            kind: RegistryErrorKind::NotAComponent(problem),
        })?;
        Ok(Resolved {
            reference: reference.at(manifest.digest),
            digest: manifest.digest,
            manifest,
            artifact,
            with,
        })
    }
}
