//! Bundles of Sigstore: <https://docs.sigstore.dev/about/bundle/>. What was signed is either the manifest itself or a statement of
//! in-toto about it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sigstore_verify::crypto::parse_certificate_info;
use sigstore_verify::types::bundle::{MessageSignature, VerificationMaterialContent};
use sigstore_verify::types::{
    Artifact, ArtifactDigest, Bundle, DerCertificate, DsseEnvelope, Sha256Hash, SignatureContent,
};

use crate::registry::layout::shown;
use crate::workload::Digest;

use super::check::Image;
use super::error::Rejection;
use super::key::PublicKey;
use super::keyless::Believed;
use super::policy::Proof;
use super::source::SourceError;

/// What an envelope with a statement of in-toto says it holds.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// What statements of in-toto say they are, of each version.
const STATEMENTS: &str = "https://in-toto.io/Statement/v";
/// What a statement says that is a signature and no more. Others are made by the same people about the same images, and may say that
/// it must not run.
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Bundle, Rejection> {
    let text = std::str::from_utf8(bytes).map_err(|error| Rejection::damaged("bundle", error))?;
    Bundle::from_json(text).map_err(|error| Rejection::damaged("bundle", error))
}

/// Whether one of the keys has signed it for this image.
pub(super) fn by_key(
    bundle: &Bundle,
    keys: &[PublicKey],
    image: &Image,
) -> Result<Proof, Rejection> {
    let signer = |message: &[u8], signature: &[u8]| {
        let found = keys.iter().find(|key| key.has_signed(message, signature));
        found.ok_or_else(|| Rejection::OtherKey {
            found: maker(bundle),
        })
    };
    let signer = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            let signer = signer(&envelope.pae(), envelope.signature.sig.as_bytes())?;
            is_for(envelope, image.digest)?;
            signer
        }
        SignatureContent::MessageSignature(message) => {
            says_to_be_for(message, image.digest)?;
            let bytes = image.bytes.as_deref().ok_or_else(unread)?;
            signer(bytes, message.signature.as_bytes())?
        }
        _ => return Err(Rejection::damaged("bundle", "it holds no signature")),
    };
    Ok(Proof::Key {
        fingerprint: signer.fingerprint(),
    })
}

/// Whether somebody who may do so has signed it for this image.
pub(super) fn by_identity(
    bundle: &Bundle,
    believed: &Believed,
    image: &Image,
) -> Result<Proof, Rejection> {
    if bundle.signing_certificate().is_none() {
        return Err(Rejection::NoCertificate);
    }
    match (&bundle.content, image.bytes.as_deref()) {
        (SignatureContent::DsseEnvelope(envelope), _) => {
            let digest = ArtifactDigest::from(Sha256Hash::new(*image.digest.as_bytes()));
            match believed.check(bundle, Artifact::from_digest(digest)) {
                // To the library it is the same whether the envelope or the entry of the log is for something else.
                Err(Rejection::OtherEntry { problem }) => {
                    is_for(envelope, image.digest).and(Err(Rejection::OtherEntry { problem }))
                }
                decided => decided.and_then(|proof| is_for(envelope, image.digest).map(|()| proof)),
            }
        }
        (SignatureContent::MessageSignature(message), bytes) => {
            says_to_be_for(message, image.digest)?;
            believed.check(bundle, bytes.ok_or_else(unread)?)
        }
        _ => Err(Rejection::damaged("bundle", "it holds no signature")),
    }
}

/// A signature of the manifest cannot be checked without it: no bytes are not the same as none that were asked for.
fn unread() -> Rejection {
    Rejection::Unreadable(SourceError::new(
        "the manifest of the image has not been read",
    ))
}

/// What a signature says it is for is no proof, but makes the better message when it is something else.
fn says_to_be_for(message: &MessageSignature, image: Digest) -> Result<(), Rejection> {
    let said = message
        .message_digest
        .as_ref()
        .map(|digest| digest.digest.as_bytes());
    match said.map(<[u8; 32]>::try_from) {
        Some(Ok(said)) if said != *image.as_bytes() => Err(Rejection::OtherImage {
            found: Digest::from_bytes(said).to_string(),
        }),
        // None, or one of another kind, which comes to light when the signature is checked.
        _ => Ok(()),
    }
}

/// Whether an envelope holds the statement that this image is signed.
fn is_for(envelope: &DsseEnvelope, image: Digest) -> Result<(), Rejection> {
    if envelope.payload_type != STATEMENT {
        return Err(Rejection::OtherStatement {
            found: shown(&envelope.payload_type),
        });
    }
    let statement: Statement = serde_json::from_slice(envelope.payload.as_bytes())
        .map_err(|error| Rejection::damaged("statement", error))?;
    if !statement.kind.starts_with(STATEMENTS) || statement.predicate_type != SIGNATURE {
        return Err(Rejection::OtherStatement {
            found: shown(&statement.predicate_type),
        });
    }
    let mut digests = statement
        .subject
        .iter()
        .filter_map(|subject| subject.digest.get("sha256"));
    let wanted = image.hex();
    match digests.clone().any(|found| *found == wanted) {
        true => Ok(()),
        false => Err(Rejection::OtherImage {
            found: digests.next().map_or_else(
                || "it names none".to_owned(),
                |found| format!("sha256:{}", shown(found)),
            ),
        }),
    }
}

/// The key that the bundle says has made it.
fn maker(bundle: &Bundle) -> Option<Digest> {
    match &bundle.verification_material.content {
        VerificationMaterialContent::PublicKey(key) => {
            let digest = STANDARD.decode(&key.hint).ok()?;
            Some(Digest::from_bytes(digest.try_into().ok()?))
        }
        _ => bundle.signing_certificate().and_then(certified_key),
    }
}

/// The fingerprint of the key of a certificate.
pub(super) fn certified_key(certificate: &DerCertificate) -> Option<Digest> {
    let found = parse_certificate_info(certificate).ok()?;
    Some(Digest::of(found.public_key.as_bytes()))
}
