//! A repository in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::workload::Digest;

use super::super::source::{RawManifest, Referrer, SignatureSource, SourceError};
use super::super::{SignatureArtifact, simple};

/// What it is asked for is counted.
#[derive(Default)]
pub(super) struct Memory {
    manifests: BTreeMap<String, Bytes>,
    blobs: BTreeMap<Digest, Bytes>,
    pub(super) referrers: Option<Vec<Referrer>>,
    pub(super) is_gone: bool,
    asked: AtomicUsize,
}

pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

impl Memory {
    pub(super) fn new() -> Self {
        let mut memory = Self::default();
        memory.put_manifest(&super::image().to_string(), super::IMAGE);
        memory
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn put_manifest(&mut self, version: &str, bytes: impl AsRef<[u8]>) {
        self.manifests
            .insert(version.to_owned(), Bytes::copy_from_slice(bytes.as_ref()));
    }

    pub(super) fn put_blob(&mut self, bytes: impl AsRef<[u8]>) -> Digest {
        let digest = Digest::of(bytes.as_ref());
        self.put_blob_as(digest, bytes);
        digest
    }

    pub(super) fn put_blob_as(&mut self, digest: Digest, bytes: impl AsRef<[u8]>) {
        self.blobs
            .insert(digest, Bytes::copy_from_slice(bytes.as_ref()));
    }

    pub(super) fn put(&mut self, artifact: &SignatureArtifact) {
        self.put_blob(&artifact.payload);
        self.put_blob(&artifact.config);
        self.put_manifest(&artifact.tag, &artifact.manifest);
    }

    /// A payload and the annotations beside it, as the only signature of the image.
    pub(super) fn put_simple(&mut self, payload: &[u8], annotations: &Value) {
        let digest = self.put_blob(payload);
        let layer = json!({
            "mediaType": simple::PAYLOAD,
            "digest": digest.to_string(),
            "size": payload.len(),
            "annotations": annotations,
        });
        self.put_layers(&[layer]);
    }

    pub(super) fn put_layers(&mut self, layers: &[Value]) {
        let tag = SignatureArtifact::tag_of(super::image());
        self.put_manifest(&tag, json!({ "layers": layers }).to_string());
    }

    /// A bundle that refers to the image, in a list with the given type, under the tag for such lists.
    pub(super) fn put_bundle(&mut self, bundle: &str, artifact_type: Option<&str>) -> Digest {
        let blob = self.put_blob(bundle);
        let layer =
            json!({ "mediaType": BUNDLE, "digest": blob.to_string(), "size": bundle.len() });
        let manifest = json!({ "artifactType": BUNDLE, "layers": [layer] }).to_string();
        let digest = Digest::of(manifest.as_bytes());
        self.put_manifest(&digest.to_string(), manifest);
        let listed = json!({ "digest": digest.to_string(), "artifactType": artifact_type });
        let index = json!({ "manifests": [listed] }).to_string();
        self.put_manifest(&format!("sha256-{}", super::image().hex()), index);
        digest
    }

    fn ask(&self) -> Result<(), SourceError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.is_gone {
            true => Err(SourceError::new("connection refused")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl SignatureSource for Memory {
    async fn manifest(&self, version: &str, _: u64) -> Result<Option<RawManifest>, SourceError> {
        self.ask()?;
        Ok(self.manifests.get(version).map(|bytes| RawManifest {
            bytes: bytes.clone(),
            digest: Digest::of(bytes),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        }))
    }

    async fn blob(&self, digest: Digest, _: u64) -> Result<Bytes, SourceError> {
        self.ask()?;
        let found = self.blobs.get(&digest).cloned();
        found.ok_or_else(|| SourceError::new(format!("no blob {digest}")))
    }

    async fn referrers(&self, _: Digest) -> Result<Option<Vec<Referrer>>, SourceError> {
        self.ask()?;
        Ok(self.referrers.clone())
    }
}
