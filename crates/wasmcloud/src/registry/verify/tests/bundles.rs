//! Signatures by identities with all that cosign puts into them, in either format. A test may change each of their parts.

use serde_json::{Value, json};

use super::authority::{Authority, BEGIN, Leaf, RELEASE, Who, b64};
use super::memory::BUNDLE;
use super::*;

/// The annotation with the entry of a log.
pub(super) const ENTRY: &str = "dev.sigstore.cosign/bundle";
/// What a statement says that is a signature.
pub(in crate::registry) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

pub(super) fn payload(digest: Digest) -> Vec<u8> {
    p256()
        .sign(&reference(), digest, None)
        .unwrap()
        .payload
        .to_vec()
}

/// What a log writes down about a signature.
pub(super) fn body(leaf: &Leaf, message: &[u8], signature: &[u8]) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": Digest::of(message).hex() } },
            "signature": { "content": b64(signature), "publicKey": { "content": b64(&leaf.pem) } },
        },
    })
}

/// A signature of the simple format.
pub(in crate::registry) struct Simple {
    pub(in crate::registry) payload: Vec<u8>,
    pub(in crate::registry) annotations: Value,
}

impl Simple {
    pub(in crate::registry) fn new(
        authority: &Authority,
        who: &Who,
        digest: Digest,
        time: i64,
    ) -> Self {
        let leaf = authority.certify(who);
        let payload = payload(digest);
        let signature = leaf.sign(&payload);
        let entry = authority
            .signatures
            .entry(&body(&leaf, &payload, &signature), time);
        let annotations = json!({
            simple::SIGNATURE: b64(&signature),
            "dev.sigstore.cosign/certificate": leaf.pem,
            ENTRY: entry,
        });
        Self {
            payload,
            annotations,
        }
    }

    pub(super) fn good(authority: &Authority) -> Self {
        Self::new(authority, &RELEASE, image(), BEGIN + 5)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.annotations[name] = value.into();
        self
    }

    pub(super) fn kept(&self) -> Memory {
        let mut memory = Memory::new();
        memory.put_simple(&self.payload, &self.annotations);
        memory
    }
}

/// A bundle with something signed, and what the log wrote down about it at that time.
fn bundle(
    authority: &Authority,
    leaf: &Leaf,
    content: (&str, Value),
    body: &Value,
    time: i64,
) -> Value {
    let (name, content) = content;
    let mut bundle = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {
            "certificate": { "rawBytes": b64(&leaf.der) },
            "tlogEntries": [authority.signatures.proven_entry(body, time)],
        },
    });
    bundle[name] = content;
    bundle
}

/// A bundle for the bytes of the image.
pub(super) fn plain(authority: &Authority, leaf: &Leaf) -> Value {
    let signature = leaf.sign(IMAGE);
    let content = json!({
        "messageDigest": { "algorithm": "SHA2_256", "digest": b64(image().as_bytes()) },
        "signature": b64(&signature),
    });
    let content = ("messageSignature", content);
    let body = body(leaf, IMAGE, &signature);
    bundle(authority, leaf, content, &body, BEGIN + 5)
}

/// A bundle with a statement about an image.
pub(super) fn enveloped(
    authority: &Authority,
    leaf: &Leaf,
    predicate: &str,
    digest: Digest,
) -> Value {
    enveloped_at(authority, leaf, predicate, digest, BEGIN + 5)
}

/// The same at another time.
pub(in crate::registry) fn enveloped_at(
    authority: &Authority,
    leaf: &Leaf,
    predicate: &str,
    digest: Digest,
    time: i64,
) -> Value {
    let kind = "application/vnd.in-toto+json";
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "", "digest": { "sha256": digest.hex() } }],
        "predicateType": predicate,
        "predicate": {},
    })
    .to_string();
    let signature = leaf.sign(
        format!(
            "DSSEv1 {} {kind} {} {statement}",
            kind.len(),
            statement.len()
        )
        .as_bytes(),
    );
    let content = json!({
        "payload": b64(&statement),
        "payloadType": kind,
        "signatures": [{ "sig": b64(&signature) }],
    });
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": { "algorithm": "sha256", "value": Digest::of(content.to_string().as_bytes()).hex() },
            "payloadHash": { "algorithm": "sha256", "value": Digest::of(statement.as_bytes()).hex() },
            "signatures": [{ "signature": b64(&signature), "verifier": b64(&leaf.pem) }],
        },
    });
    bundle(authority, leaf, ("dsseEnvelope", content), &body, time)
}
