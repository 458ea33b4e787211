//! What a manifest is: a component, or what else. Pure: bytes in, a component's layer or a reason out.
//!
//! A component is laid out as the CNCF has it (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>) or as wasmCloud
//! had it before.

mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use manifest::{Descriptor, Manifest, ManifestError, Platform};
pub(crate) use manifest::{shown, write};

/// The types of media that are known by name.
pub(crate) mod media {
    pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub(crate) const DOCKER_LIST: &str =
        "application/vnd.docker.distribution.manifest.list.v2+json";
    pub(crate) const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
    pub(crate) const WASM: &str = "application/wasm";
    pub(crate) const OLD_WASM: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
}

/// A component in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The bytes of the component.
    pub layer: Descriptor,
    /// What is said about it.
    pub config: Descriptor,
    /// What else is said about it.
    pub annotations: BTreeMap<String, String>,
}

/// Why a manifest is none of a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAComponent {
    /// It is not to be understood.
    #[error("its manifest is damaged: {0}")]
    Damaged(#[from] ManifestError),
    /// It leads to other manifests.
    #[error("it is an image index of {}, not a component", list(.0))]
    Index(Vec<String>),
    /// It runs in a container.
    #[error("it is a container image, not a component")]
    ContainerImage,
    /// There is nothing in it.
    #[error("it is an empty artifact: there is no component in it")]
    Empty,
    /// There is too much in it.
    #[error("it has {} layers ({}), and a component has one", .0.len(), list(.0))]
    Several(Vec<String>),
    /// It would have to be unpacked.
    #[error("its layer is compressed ({0}), and a component is not")]
    Compressed(String),
    /// It is something else.
    #[error("it is another kind of artifact ({kind}, with a layer of {layer}), not a component")]
    Other {
        /// What it says it is.
        kind: String,
        /// The type of its layer.
        layer: String,
    },
    /// It is too large to be taken.
    #[error("its component has {found} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

/// The first few of a list. A registry may send many.
fn list(all: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut text = all
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match all.len() {
        0 => "nothing".clone_into(&mut text),
        len if len > SHOWN => text.push_str(&format!(" and {} more", len - SHOWN)),
        _ => {}
    }
    text
}

impl Artifact {
    /// The component that a manifest describes, of at most so many bytes.
    ///
    /// # Errors
    /// When it describes something else, which the error names.
    pub fn read(
        media_type: Option<&str>,
        manifest: &[u8],
        limit: u64,
    ) -> Result<Self, NotAComponent> {
        let (config, layers, annotations, kind) = match Manifest::parse(media_type, manifest)? {
            Manifest::Index { manifests, .. } => {
                let told = manifests.iter().map(Descriptor::told);
                return Err(NotAComponent::Index(told.collect()));
            }
            Manifest::Image {
                config,
                layers,
                annotations,
                artifact_type,
                ..
            } => (config, layers, annotations, artifact_type),
        };
        let is_container =
            [media::IMAGE_CONFIG, media::DOCKER_CONFIG].contains(&&*config.media_type);
        let layer = match &*layers {
            // What wasmCloud wrote in former times is taken as it was: its first layer.
            [first, ..] if first.media_type == media::OLD_WASM => first.clone(),
            [only] if only.media_type == media::WASM => only.clone(),
            _ if is_container => return Err(NotAComponent::ContainerImage),
            [] => return Err(NotAComponent::Empty),
            [only] => return Err(other(only, &config, kind)),
            several => {
                let types = several.iter().map(|layer| shown(&layer.media_type));
                return Err(NotAComponent::Several(types.collect()));
            }
        };
        match layer.size {
            0 => Err(NotAComponent::Empty),
            found if found > limit => Err(NotAComponent::TooLarge { found, limit }),
            _ => Ok(Self {
                layer,
                config,
                annotations,
            }),
        }
    }
}

fn other(layer: &Descriptor, config: &Descriptor, kind: Option<String>) -> NotAComponent {
    let is_compressed = |end: &str| layer.media_type.ends_with(end);
    if layer.media_type == media::EMPTY {
        return NotAComponent::Empty;
    }
    if ["+gzip", "+zstd", ".gzip"].into_iter().any(is_compressed) {
        return NotAComponent::Compressed(shown(&layer.media_type));
    }
    NotAComponent::Other {
        kind: shown(kind.as_deref().unwrap_or(&config.media_type)),
        layer: shown(&layer.media_type),
    }
}
