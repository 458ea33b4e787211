//! Signatures by identities: the rules of Sigstore are those of its own library, what it finds is told in our words.

use std::sync::Arc;

use sigstore_verify::bundle::Error as Shape;
use sigstore_verify::crypto::parse_certificate_info;
use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{Artifact, Bundle};
use sigstore_verify::{
    CertificateError, Error, TransparencyLogError, VerificationPolicy, VerificationResult,
};

use crate::registry::layout::shown;

use super::error::Rejection;
use super::policy::{Identity, Proof};
use super::trust::TrustRoot;

/// The most entries of logs in a signature, and as many timestamps and certificates. There are one to four of each.
pub(super) const MOST: usize = 8;
/// The most signatures of a checkpoint, which a log and its witnesses make.
pub(super) const MOST_WITNESSES: usize = 32;

/// Who is believed, and who of those may sign.
pub(super) struct Believed {
    pub(super) root: Arc<TrustRoot>,
    pub(super) identities: Vec<Identity>,
}

impl Believed {
    /// Whether somebody who may do so has signed the artifact.
    ///
    /// That is: the signature is one by the key of the certificate; the certificate leads to an authority of the trust root, is for
    /// signing, is in a log of certificates, and was valid at every time that a log or an authority for timestamps vouches for; the
    /// entry of the log is for this signature, and is signed by a log of the trust root, or proven to be in it.
    pub(super) fn check<'a>(
        &self,
        bundle: &Bundle,
        artifact: impl Into<Artifact<'a>>,
    ) -> Result<Proof, Rejection> {
        is_bounded(bundle)?;
        self.knows_the_logs(bundle)?;
        let policy = VerificationPolicy::any_identity();
        let policy = match self.root.has_certificate_logs {
            true => policy,
            false => policy.skip_sct(),
        };
        let found = self
            .root
            .verifier
            .verify(artifact, bundle, &policy)
            .map_err(|error| told(bundle, error))?;
        self.may_sign(&found)
    }

    fn knows_the_logs(&self, bundle: &Bundle) -> Result<(), Rejection> {
        let entries = &bundle.verification_material.tlog_entries;
        if entries.is_empty() {
            return Err(Rejection::NoLogEntry);
        }
        let unknown = entries.iter().find(|entry| {
            let id = entry.log_id.key_id.as_bytes();
            !self.root.logs.iter().any(|known| known == id)
        });
        match unknown {
            Some(entry) => Err(Rejection::OtherLog {
                found: shown(&entry.log_id.key_id.to_string()),
            }),
            None => Ok(()),
        }
    }

    fn may_sign(&self, found: &VerificationResult) -> Result<Proof, Rejection> {
        let lacks = |what: &str| Rejection::Certificate {
            problem: format!("it has no {what} in it"),
        };
        // What the library was not asked to leave out, it has done; a verdict should not hang on remembering that.
        if !found.certificate_verified() || !found.tlog_verified() {
            return Err(lacks("proof"));
        }
        let subject = found
            .identity()
            .ok_or_else(|| lacks("address of mail or URI"))?
            .as_str();
        let issuer = found
            .issuer()
            .ok_or_else(|| lacks("issuer of the identity"))?;
        let signed = *found
            .verified_timestamps()
            .iter()
            .min()
            .ok_or_else(|| lacks("time"))?;
        let mut by_issuer = self
            .identities
            .iter()
            .filter(|wanted| wanted.issuer == issuer)
            .peekable();
        if by_issuer.peek().is_none() {
            return Err(Rejection::OtherIssuer {
                subject: shown(subject),
                found: shown(issuer),
            });
        }
        if !by_issuer.any(|wanted| wanted.subject.matches(subject)) {
            return Err(Rejection::OtherSubject {
                found: shown(subject),
                issuer: shown(issuer),
            });
        }
        Ok(Proof::Identity {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            signed,
        })
    }
}

/// Whether there is no more in a bundle than can be checked in a moment: each part of it costs work with a public key, or several.
fn is_bounded(bundle: &Bundle) -> Result<(), Rejection> {
    let material = &bundle.verification_material;
    let certificates = match &material.content {
        VerificationMaterialContent::X509CertificateChain { certificates } => certificates.len(),
        _ => 1,
    };
    let entries = &material.tlog_entries;
    let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
    let witnesses = entries.iter().filter_map(|entry| {
        let checkpoint = entry.inclusion_proof.as_ref()?.checkpoint.checkpoint()?;
        Some(checkpoint.signatures().len())
    });
    let parts = [
        ("entries of logs", entries.len(), MOST),
        ("timestamps", timestamps.len(), MOST),
        ("certificates", certificates, MOST),
        (
            "signatures of a checkpoint",
            witnesses.max().unwrap_or_default(),
            MOST_WITNESSES,
        ),
    ];
    match parts.into_iter().find(|(_, found, limit)| found > limit) {
        Some((what, found, limit)) => Err(Rejection::TooMany { what, found, limit }),
        None => Ok(()),
    }
}

/// What the library says, as a reason of ours.
fn told(bundle: &Bundle, error: Error) -> Rejection {
    let problem = shown(&error.to_string());
    match error {
        Error::Certificate(kind) => match kind {
            CertificateError::Malformed(_) => Rejection::damaged("certificate", problem),
            _ => expired(bundle).unwrap_or(Rejection::Certificate { problem }),
        },
        Error::TransparencyLog(kind) => match kind {
            TransparencyLogError::EntryMismatch(_) => Rejection::OtherEntry { problem },
            TransparencyLogError::MalformedEntry(_) => {
                Rejection::damaged("entry of a log", problem)
            }
            TransparencyLogError::IntegratedTime(_) => {
                expired(bundle).unwrap_or(Rejection::Time { problem })
            }
            _ => Rejection::NotInLog { problem },
        },
        Error::Timestamp(_) => Rejection::Time { problem },
        Error::SignatureInvalid(_) => Rejection::OtherKey {
            found: bundle
                .signing_certificate()
                .and_then(super::bundle::certified_key),
        },
        // That the signature itself is for something else is found out before and after.
        Error::ArtifactMismatch(_) => Rejection::OtherEntry { problem },
        Error::Bundle(shape) => match shape {
            Shape::MissingSigningTimeEvidence
            | Shape::MissingInclusionProof(_)
            | Shape::MissingInclusionPromise(_) => Rejection::NoLogEntry,
            Shape::MissingCheckpoint
            | Shape::LogIndexOutOfRange { .. }
            | Shape::CheckpointRootMismatch => Rejection::NotInLog { problem },
            _ => Rejection::damaged("bundle", problem),
        },
        _ => Rejection::damaged("bundle", problem),
    }
}

/// The time of a log that is outside of the certificate's own, if that is what is the matter.
fn expired(bundle: &Bundle) -> Option<Rejection> {
    let certificate = parse_certificate_info(bundle.signing_certificate()?).ok()?;
    let (from, until) = (certificate.not_before, certificate.not_after);
    let mut times = bundle
        .verification_material
        .tlog_entries
        .iter()
        .filter_map(|entry| entry.integrated_time);
    let signed = times.find(|time| *time < from || *time > until)?;
    Some(Rejection::Expired {
        signed,
        from,
        until,
    })
}
