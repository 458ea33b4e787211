//! Pushes a component, in the standard layout for Wasm:
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::client::{Access, Actions, Registries, RegistryError, optional, pushed_version};
use super::layout::{Descriptor, media, write};
use crate::workload::{Digest, Reference};

/// What is said about a component beside its bytes. Whoever wants the same digest for the same bytes says the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentFacts {
    /// When it was made, as RFC 3339 has it.
    pub created: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// The version of WASI that it is for.
    pub wasi: Wasi,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The world that it was made for.
    pub target: Option<String>,
}

/// A version of WASI, as the layout has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wasi {
    /// WASI 0.2, and what is not told apart from it.
    #[default]
    P2,
    /// WASI 0.3.
    P3,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest.
    pub digest: Digest,
    /// Whether it was all there before, under the same tag.
    pub was_there: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: Inside<'a>,
}

#[derive(Serialize)]
struct Inside<'a> {
    exports: &'a [String],
    imports: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
}

impl ComponentFacts {
    /// The config of an artifact with this component.
    #[must_use]
    pub fn config(&self, component: &[u8]) -> Bytes {
        let config = Config {
            created: self.created.as_deref(),
            author: self.author.as_deref(),
            architecture: "wasm",
            os: match self.wasi {
                Wasi::P2 => "wasip2",
                Wasi::P3 => "wasip3",
            },
            layer_digests: [Digest::of(component).to_string()],
            component: Inside {
                exports: &self.exports,
                imports: &self.imports,
                target: self.target.as_deref(),
            },
        };
        // Strings are always JSON.
        serde_json::to_vec(&config).unwrap_or_default().into()
    }
}

impl Registries {
    /// Pushes a component. What is there already is not sent again; the manifest goes last, so that the tag never leads to less than
    /// all of it.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn push(
        &self,
        reference: &Reference,
        component: &Bytes,
        config: &Bytes,
        annotations: &BTreeMap<String, String>,
        access: &Access,
    ) -> Result<Pushed, RegistryError> {
        let layer = Descriptor::of(media::WASM, component);
        let about = Descriptor::of(media::WASM_CONFIG, config);
        let manifest = write(
            None,
            &about,
            std::slice::from_ref(&layer),
            None,
            annotations,
        );
        let manifest = Bytes::from(manifest);
        let digest = Digest::of(&manifest);
        let door = self.home(reference, access, Actions::Push)?;
        let version = pushed_version(&door, reference, digest)?;
        let work = async {
            if optional(door.digest(&version).await)? == Some(digest) {
                let was_there = true;
                return Ok(Pushed { digest, was_there });
            }
            door.put_blob(&about, config).await?;
            door.put_blob(&layer, component).await?;
            door.put_manifest(&version, media::MANIFEST, &manifest)
                .await?;
            let was_there = false;
            Ok(Pushed { digest, was_there })
        };
        self.within(reference, work).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_config_is_as_the_layout_has_it_and_always_the_same() {
        let facts = ComponentFacts {
            author: Some("Ada".to_owned()),
            wasi: Wasi::P3,
            exports: vec!["wasi:http/handler@0.3.0".to_owned()],
            ..ComponentFacts::default()
        };
        let config = facts.config(b"wasm");
        assert_eq!(config, facts.config(b"wasm"));
        let wanted = serde_json::json!({
            "author": "Ada",
            "architecture": "wasm",
            "os": "wasip3",
            "layerDigests": [Digest::of(b"wasm").to_string()],
            "component": {"exports": ["wasi:http/handler@0.3.0"], "imports": []},
        });
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&config).unwrap(),
            wanted
        );
    }
}
