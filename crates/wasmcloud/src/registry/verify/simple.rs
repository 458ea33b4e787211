//! Signatures of the simple format: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>. A payload that names the
//! digest of the image, and beside it, in annotations, the signature of the payload and what goes with it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigstore_verify::types::{Bundle, DerCertificate};

use crate::registry::layout::shown;
use crate::workload::{Digest, Reference};

use super::bundle;
use super::error::Rejection;
use super::key::PublicKey;
use super::policy::Proof;

/// The media type of a payload.
pub(super) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with the signature.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// What a payload says it is.
const TYPE: &str = "cosign container image signature";

/// What is signed.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    critical: Critical,
    optional: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference", default)]
    reference: String,
}

#[derive(Serialize, Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl Payload {
    /// For an image, with the name of its repository.
    pub(super) fn new(image: &Reference, manifest: Digest) -> Self {
        Self {
            critical: Critical {
                identity: Identity {
                    reference: format!("{}/{}", image.registry(), image.repository()),
                },
                image: Image {
                    digest: manifest.to_string(),
                },
                kind: TYPE.to_owned(),
            },
            optional: None,
        }
    }
}

/// A signature with its payload.
pub(super) struct Simple {
    payload: Bytes,
    signature: Vec<u8>,
    certificates: Vec<DerCertificate>,
    entry: Option<Entry>,
    timestamp: Option<String>,
}

/// An entry of a log, as an annotation has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    signed_entry_timestamp: String,
    payload: EntryPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

/// Of what kind an entry is, as its body says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryKind {
    kind: String,
    api_version: String,
}

impl Simple {
    /// Of a payload and the annotations beside it.
    pub(super) fn read(
        payload: Bytes,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Rejection> {
        let text = |name: &str| {
            annotations
                .get(name)
                .map(String::as_str)
                .filter(|text| !text.is_empty())
        };
        let signature = text(SIGNATURE).ok_or_else(|| {
            Rejection::damaged(
                "signature",
                format_args!("there is no annotation `{SIGNATURE}`"),
            )
        })?;
        let mut certificates = Vec::new();
        for name in [CERTIFICATE, CHAIN] {
            certificates.extend(all_certificates(text(name).unwrap_or_default())?);
        }
        let entry = text(ENTRY).map(serde_json::from_str).transpose();
        let timestamp = text(TIMESTAMP)
            .map(serde_json::from_str::<Timestamp>)
            .transpose();
        let timestamp = timestamp.map_err(|error| Rejection::damaged("timestamp", error))?;
        Ok(Self {
            payload,
            signature: STANDARD
                .decode(signature)
                .map_err(|error| Rejection::damaged("signature", error))?,
            certificates,
            entry: entry.map_err(|error| Rejection::damaged("entry of a log", error))?,
            timestamp: timestamp.map(|timestamp| timestamp.token),
        })
    }

    /// What was signed.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether one of the keys has signed it for this image.
    pub(super) fn by_key(&self, keys: &[PublicKey], image: Digest) -> Result<Proof, Rejection> {
        let signer = keys
            .iter()
            .find(|key| key.has_signed(&self.payload, &self.signature));
        let signer = signer.ok_or_else(|| Rejection::OtherKey {
            found: self.certificates.first().and_then(bundle::certified_key),
        })?;
        self.is_for(image)?;
        Ok(Proof::Key {
            fingerprint: signer.fingerprint(),
        })
    }

    /// Whether the payload is for this image. The name in it counts for nothing: an image that is copied keeps its signatures.
    pub(super) fn is_for(&self, image: Digest) -> Result<(), Rejection> {
        let payload: Payload = serde_json::from_slice(&self.payload)
            .map_err(|error| Rejection::damaged("payload", error))?;
        let Critical {
            image: signed,
            kind,
            ..
        } = payload.critical;
        if kind != TYPE {
            return Err(Rejection::OtherStatement {
                found: shown(&kind),
            });
        }
        match signed.digest.parse() {
            Ok(found) if image == found => Ok(()),
            _ => Err(Rejection::OtherImage {
                found: shown(&signed.digest),
            }),
        }
    }

    /// The same as a bundle of the first version, which is the one that goes without a proof of inclusion.
    pub(super) fn to_bundle(&self) -> Result<Bundle, Rejection> {
        if self.certificates.is_empty() {
            return Err(Rejection::NoCertificate);
        }
        let entry = self.entry.as_ref().ok_or(Rejection::NoLogEntry)?;
        let certificates: Vec<Value> = self
            .certificates
            .iter()
            .map(|certificate| json!({ "rawBytes": certificate.to_base64() }))
            .collect();
        let timestamps: Vec<Value> = self
            .timestamp
            .iter()
            .map(|token| json!({ "signedTimestamp": token }))
            .collect();
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
            "verificationMaterial": {
                "x509CertificateChain": { "certificates": certificates },
                "tlogEntries": [entry.to_json()?],
                "timestampVerificationData": { "rfc3161Timestamps": timestamps },
            },
            "messageSignature": {
                "messageDigest": {
                    "algorithm": "SHA2_256",
                    "digest": STANDARD.encode(Digest::of(&self.payload).as_bytes()),
                },
                "signature": STANDARD.encode(&self.signature),
            },
        });
        bundle::read(bundle.to_string().as_bytes())
    }
}

impl Entry {
    fn to_json(&self) -> Result<Value, Rejection> {
        let damaged = |problem: String| Rejection::damaged("entry of a log", problem);
        let EntryPayload {
            body,
            integrated_time,
            log_index,
            log_id,
        } = &self.payload;
        let log_id: Digest = format!("sha256:{log_id}")
            .parse()
            .map_err(|_| damaged(format!("the id of the log is `{log_id}`")))?;
        let content = STANDARD
            .decode(body)
            .map_err(|error| damaged(error.to_string()))?;
        let kind: EntryKind =
            serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        Ok(json!({
            "logIndex": log_index.to_string(),
            "logId": { "keyId": STANDARD.encode(log_id.as_bytes()) },
            "kindVersion": { "kind": kind.kind, "version": kind.api_version },
            "integratedTime": integrated_time.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": self.signed_entry_timestamp },
            "canonicalizedBody": body,
        }))
    }
}

fn all_certificates(pem: &str) -> Result<Vec<DerCertificate>, Rejection> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|found| match found {
            Ok(found) => Ok(DerCertificate::from_bytes(&found)),
            Err(error) => Err(Rejection::damaged("certificate", error)),
        })
        .collect()
}
