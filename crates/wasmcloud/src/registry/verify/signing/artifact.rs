//! What is put beside an image to sign it.

use bytes::Bytes;
use serde_json::{Value, json};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::workload::{Digest, Reference};

use super::super::candidate::{MOST, tag};
use super::super::simple::{PAYLOAD, Payload, SIGNATURE};
use super::SigningKey;

/// The media type of the manifest, and that of the configuration which cosign gives it.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// The signatures of an image, with a new one among them: two blobs, and a manifest to put under a tag of the image's repository.
#[derive(Clone, Debug)]
pub struct SignatureArtifact {
    /// The tag.
    pub tag: String,
    /// What was signed: a blob to upload.
    pub payload: Bytes,
    /// The configuration: a blob to upload.
    pub config: Bytes,
    /// The manifest. It refers to the two, and to the payloads of earlier signatures, which the repository has.
    pub manifest: Bytes,
    /// The media type of the manifest.
    pub media_type: &'static str,
    /// Whether there is anything to upload: not if the key has signed the image before.
    pub is_new: bool,
}

/// An image that could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// What is under the tag cannot be added to.
    #[error(
        "the tag `{tag}` has something that is no list of signatures: {problem}; nothing was changed, remove the tag if it is of no use"
    )]
    Existing {
        /// The tag.
        tag: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There are too many signatures.
    #[error(
        "the tag `{tag}` has {found} signatures already, and no more than {MOST} are looked at"
    )]
    Full {
        /// The tag.
        tag: String,
        /// How many there are.
        found: usize,
    },
    /// There are no random numbers.
    #[error("the system gives no random numbers to sign with")]
    Random,
}

impl SigningKey {
    /// Signs an image by the digest of its manifest. `existing` is the manifest that is under the tag of its signatures now, if there
    /// is one: see [`SignatureArtifact::tag_of`].
    ///
    /// # Errors
    /// When what is there cannot be added to.
    pub fn sign(
        &self,
        image: &Reference,
        manifest: Digest,
        existing: Option<&[u8]>,
    ) -> Result<SignatureArtifact, SignError> {
        let tag = tag(manifest);
        let wrong = |problem: String| SignError::Existing {
            tag: tag.clone(),
            problem,
        };
        let text = serde_json::to_vec(&Payload::new(image, manifest))
            .map_err(|error| wrong(error.to_string()))?;
        let payload = Bytes::from(text);
        let mut layers = existing
            .map_or_else(|| Ok(Vec::new()), layers)
            .map_err(wrong)?;
        let is_new = !layers.iter().any(|layer| self.has_made(layer, &payload));
        if is_new {
            if layers.len() >= MOST {
                let found = layers.len();
                return Err(SignError::Full { tag, found });
            }
            let signature = self.sign_bytes(&payload).ok_or(SignError::Random)?;
            layers.push(json!({
                "mediaType": PAYLOAD,
                "size": payload.len(),
                "digest": Digest::of(&payload).to_string(),
                "annotations": { SIGNATURE: STANDARD.encode(signature) },
            }));
        }
        let (config, manifest) = listed(&layers);
        Ok(SignatureArtifact {
            tag,
            payload,
            config,
            manifest,
            media_type: MANIFEST,
            is_new,
        })
    }

    /// Whether a layer is the signature that would be made now.
    fn has_made(&self, layer: &Value, payload: &[u8]) -> bool {
        let digest = layer.get("digest").and_then(Value::as_str);
        let signature = layer
            .get("annotations")
            .and_then(|annotations| annotations.get(SIGNATURE));
        let signature = signature
            .and_then(Value::as_str)
            .and_then(|text| STANDARD.decode(text).ok());
        digest == Some(Digest::of(payload).to_string().as_str())
            && signature.is_some_and(|signature| self.public().has_signed(payload, &signature))
    }
}

impl SignatureArtifact {
    /// The tag that the signatures of an image are under.
    #[must_use]
    pub fn tag_of(manifest: Digest) -> String {
        tag(manifest)
    }
}

/// The signatures of two lists: a blob to upload, and a manifest of [`JoinedSignatures::MEDIA_TYPE`]. It refers to the blob, and to the
/// payloads of both lists.
#[derive(Clone, Debug)]
pub(in crate::registry) struct JoinedSignatures {
    pub(in crate::registry) config: Bytes,
    pub(in crate::registry) manifest: Bytes,
}

impl JoinedSignatures {
    pub(in crate::registry) const MEDIA_TYPE: &'static str = MANIFEST;

    /// Adds to what is under a tag what another manifest has. Nothing, if there is nothing new.
    pub(in crate::registry) fn new(
        tag: &str,
        existing: &[u8],
        more: &[u8],
    ) -> Result<Option<Self>, SignError> {
        let wrong = |problem: String| SignError::Existing {
            tag: tag.to_owned(),
            problem,
        };
        let mut all = layers(existing).map_err(wrong)?;
        let found = all.len();
        for layer in layers(more).map_err(wrong)? {
            let is_same = |other: &Value| same(other, &layer);
            if !all.iter().any(is_same) {
                all.push(layer);
            }
        }
        if all.len() > MOST {
            let tag = tag.to_owned();
            return Err(SignError::Full { tag, found });
        }
        let is_new = all.len() > found;
        Ok(is_new.then(|| {
            let (config, manifest) = listed(&all);
            Self { config, manifest }
        }))
    }
}

/// Whether two layers are the same signature of the same.
fn same(one: &Value, other: &Value) -> bool {
    let signature = |layer: &Value| {
        let annotations = layer.get("annotations")?;
        annotations.get(SIGNATURE).cloned()
    };
    one.get("digest") == other.get("digest") && signature(one) == signature(other)
}

/// A list of signatures: its configuration, and the manifest that refers to it.
fn listed(layers: &[Value]) -> (Bytes, Bytes) {
    let config = config(layers);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG,
            "size": config.len(),
            "digest": Digest::of(&config).to_string(),
        },
        "layers": layers,
    });
    (config, manifest.to_string().into())
}

/// The signatures that are there, whole: what others have written beside them stays.
fn layers(existing: &[u8]) -> Result<Vec<Value>, String> {
    let mut manifest: Value =
        serde_json::from_slice(existing).map_err(|error| error.to_string())?;
    let layers = match manifest.get_mut("layers").map(Value::take) {
        Some(Value::Array(layers)) => layers,
        _ => return Err("its manifest has no `layers`".to_owned()),
    };
    let is_signature = |layer: &Value| {
        let digest = layer.get("digest").and_then(Value::as_str);
        layer.get("mediaType").and_then(Value::as_str) == Some(PAYLOAD)
            && digest.is_some_and(|digest| digest.parse::<Digest>().is_ok())
    };
    match layers.iter().position(|layer| !is_signature(layer)) {
        Some(at) => Err(format!("layer {} is no `{PAYLOAD}`", at + 1)),
        None => Ok(layers),
    }
}

/// The configuration that cosign would write, which says nothing but the digests of the layers.
fn config(layers: &[Value]) -> Bytes {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    let digests: Vec<&Value> = layers
        .iter()
        .filter_map(|layer| layer.get("digest"))
        .collect();
    let history: Vec<Value> = layers.iter().map(|_| json!({ "created": NEVER })).collect();
    let config = json!({
        "architecture": "",
        "created": NEVER,
        "history": history,
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": digests },
        "config": {},
    });
    config.to_string().into()
}
