//! Packages of WIT in registries, where `wkg` has them as well (<https://github.com/bytecodealliance/wasm-pkg-tools>).
//!
//! A package `demo:greet` is the repository `[PREFIX]demo/greet`, each of its versions is a tag, and its content is the one layer of an
//! artifact that is laid out as that of a component is. What runs is told from what does not by whoever reads the content: nothing here
//! does.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use semver::Version;
use serde_json::{Map, Value};

use super::client::{Access, Registries, RegistryError, RegistryErrorKind, optional};
use super::layout::{Artifact, Descriptor, media};
use super::push::{ComponentFacts, Pushed};
use crate::workload::{Digest, Reference};

/// Where a host says in which registry its packages are, and how large what it says may be, in bytes.
const DISCOVERY: (&str, u64) = ("/.well-known/wasm-pkg/registry.json", 64 << 10);

/// A version of a package as a registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRelease {
    /// The digest of the content, by which lock files know it.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// The digest of the manifest.
    pub manifest: Digest,
}

/// A version of a package that is to be published.
#[derive(Clone, Debug)]
pub struct NewPackage {
    /// The version.
    pub version: Version,
    /// The package, as the binary form of WIT.
    pub content: Bytes,
    /// What is said about it beside its bytes; the interfaces and worlds of a package count as exports.
    pub facts: ComponentFacts,
    /// What else is said about it.
    pub annotations: BTreeMap<String, String>,
}

/// Why a package is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// What was published once stays as it is.
    #[error(
        "{place} has version {version} already, with the content {found}, and this is {wanted}"
    )]
    Taken {
        /// The registry and the repository.
        place: String,
        /// The version.
        version: Version,
        /// The digest of the content that is there.
        found: Digest,
        /// The digest of the content that was to be published.
        wanted: Digest,
    },
    /// The registry does not take it.
    #[error("{0}")]
    Registry(#[from] RegistryError),
}

impl Registries {
    /// The versions of a package, the oldest first: those tags of its repository that are versions. None if there is no such
    /// repository.
    ///
    /// # Errors
    /// When the registry does not say, or says too much.
    pub async fn package_versions(
        &self,
        package: &Reference,
        access: &Access,
    ) -> Result<Option<Vec<Version>>, RegistryError> {
        let Some(tags) = optional(self.tags(package, access).await)? else {
            return Ok(None);
        };
        // Signatures and names such as `latest` stand beside them.
        let versions = tags.iter().filter_map(|tag| Version::parse(tag).ok());
        let versions: BTreeSet<Version> = versions.collect();
        Ok(Some(versions.into_iter().collect()))
    }

    /// What a registry has as a version of a package. None if it has no such version.
    ///
    /// # Errors
    /// When the registry does not say, has something else there, or the content is larger than the settings allow an image to be.
    pub async fn package_release(
        &self,
        package: &Reference,
        version: &Version,
        access: &Access,
    ) -> Result<Option<PackageRelease>, RegistryError> {
        let at = tagged(package, version)?;
        let Some(manifest) = self.manifest(&at, access).await? else {
            return Ok(None);
        };
        let limit = self.settings().largest_image;
        let artifact = Artifact::read(manifest.media_type.as_deref(), &manifest.bytes, limit);
        let artifact =
            artifact.map_err(|error| wrong(package, RegistryErrorKind::NotAComponent(error)))?;
        Ok(Some(PackageRelease {
            digest: artifact.layer.digest,
            size: artifact.layer.size,
            manifest: manifest.digest,
        }))
    }

    /// The content of a package with this digest, which it is checked to have. A version that leads to another content by now does not
    /// matter: a registry keeps what once was there, until somebody removes it.
    ///
    /// # Errors
    /// When it cannot be had, is another one, or is larger than the settings allow an image to be.
    pub async fn package_content(
        &self,
        package: &Reference,
        digest: Digest,
        access: &Access,
    ) -> Result<Bytes, RegistryError> {
        let blob = Descriptor {
            media_type: media::WASM.to_owned(),
            digest,
            size: self.blob_size(package, digest, access).await?,
            annotations: BTreeMap::new(),
            artifact_type: None,
            platform: None,
        };
        let limit = self.settings().largest_image;
        self.small_blob(package, &blob, limit, access).await
    }

    /// Publishes a version of a package. Nothing is sent if the registry has just that version with the same content.
    ///
    /// # Errors
    /// When the registry has that version with another content, or does not take it.
    pub async fn publish_package(
        &self,
        package: &Reference,
        new: &NewPackage,
        access: &Access,
    ) -> Result<Pushed, PublishError> {
        let wanted = Digest::of(&new.content);
        match self.package_release(package, &new.version, access).await? {
            Some(there) if there.digest == wanted => Ok(Pushed {
                digest: there.manifest,
                was_there: true,
            }),
            Some(there) => Err(PublishError::Taken {
                place: place(package),
                version: new.version.clone(),
                found: there.digest,
                wanted,
            }),
            None => {
                let at = tagged(package, &new.version)?;
                let config = new.facts.config(&new.content);
                let pushed = self.push(&at, &new.content, &config, &new.annotations, access);
                Ok(pushed.await?)
            }
        }
    }

    /// What a host says about where its packages are: the JSON at `https://HOST/.well-known/wasm-pkg/registry.json`. TLS is left out
    /// where the settings leave it out for this host. None if the host has no such document.
    ///
    /// # Errors
    /// When the host cannot be asked, or its document is too large.
    pub async fn package_registry(
        &self,
        host: &str,
        access: &Access,
    ) -> Result<Option<Bytes>, RegistryError> {
        let (path, limit) = DISCOVERY;
        let host = host.to_ascii_lowercase();
        let found = self.well_known(&host, path, limit, access).await?;
        // Many a host has a page for people at every address.
        Ok(found.filter(|bytes| serde_json::from_slice::<Map<String, Value>>(bytes).is_ok()))
    }
}

fn tagged(package: &Reference, version: &Version) -> Result<Reference, RegistryError> {
    let at = package.tagged(&version.to_string());
    at.map_err(|error| wrong(package, RegistryErrorKind::Reference(error)))
}

fn place(package: &Reference) -> String {
    format!("{}/{}", package.registry(), package.repository())
}

fn wrong(package: &Reference, kind: RegistryErrorKind) -> RegistryError {
    RegistryError {
        place: place(package),
        kind,
    }
}

#[cfg(test)]
mod tests;
