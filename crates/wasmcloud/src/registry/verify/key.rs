//! Public keys: ECDSA on P-256 and P-384, and Ed25519.

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha512};

use crate::workload::Digest;

/// A file of keys has no reason to be larger.
pub(super) const LARGEST_FILE: usize = 64 * 1024;

/// What a key is for. The encodings of all keys of a kind begin alike and are of one length, as DER leaves no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    Ed25519,
}

const KINDS: [Kind; 3] = [Kind::P256, Kind::P384, Kind::Ed25519];

impl Kind {
    /// What stands before the point in a `SubjectPublicKeyInfo` (RFC 5480, RFC 8410), and the length of the point.
    fn shape(self) -> (&'static [u8], usize) {
        match self {
            Self::P256 => (
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
                65,
            ),
            Self::P384 => (
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
                97,
            ),
            Self::Ed25519 => (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 32),
        }
    }

    /// Clients differ in which hash goes with which curve, and either is good for both.
    fn algorithms(self) -> Vec<&'static dyn VerificationAlgorithm> {
        match self {
            Self::P256 => vec![&ECDSA_P256_SHA256_ASN1, &ECDSA_P256_SHA384_ASN1],
            Self::P384 => vec![&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1],
            Self::Ed25519 => vec![&ED25519],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// A key that signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    point: Vec<u8>,
    fingerprint: Digest,
}

impl PublicKey {
    /// Of a PEM file with one `PUBLIC KEY` in it.
    ///
    /// # Errors
    /// When there is none or another thing in it, or the key is of another kind.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.len() > LARGEST_FILE {
            return Err(KeyError::Large { found: text.len() });
        }
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Label {
                wanted: "PUBLIC KEY",
                found: "a private key",
            });
        }
        let mut found = SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes());
        let first = found
            .next()
            .ok_or(KeyError::NotPem {
                wanted: "PUBLIC KEY",
            })?
            .map_err(|error| KeyError::Damaged(error.to_string()))?;
        match found.next() {
            None => Self::from_der(&first),
            Some(_) => Err(KeyError::Several),
        }
    }

    /// Of a `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// When it is of another kind, or damaged.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        KINDS
            .into_iter()
            .find_map(|kind| {
                let (prefix, length) = kind.shape();
                let point = der.strip_prefix(prefix)?;
                (point.len() == length).then(|| Self::new(kind, point))
            })
            .ok_or(KeyError::Algorithm)
    }

    pub(super) fn new(kind: Kind, point: &[u8]) -> Self {
        let der = [kind.shape().0, point].concat();
        Self {
            kind,
            point: point.to_vec(),
            fingerprint: Digest::of(&der),
        }
    }

    /// The SHA-256 of the key in DER, which is what bundles name keys by.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// The key as a PEM file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let der = [self.kind.shape().0, &self.point].concat();
        super::signing::pem("PUBLIC KEY", &der)
    }

    /// Whether the signature is that of the message by this key.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let mut algorithms = self.kind.algorithms().into_iter();
        algorithms.any(|algorithm| {
            UnparsedPublicKey::new(algorithm, &self.point)
                .verify(message, signature)
                .is_ok()
        }) || (self.kind == Kind::Ed25519 && self.has_signed_prehashed(message, signature))
    }

    /// Cosign makes bundles with Ed25519ph (RFC 8032, section 5.1), which *ring* does not have.
    fn has_signed_prehashed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(point) = <[u8; 32]>::try_from(self.point.as_slice()) else {
            return false;
        };
        let (Ok(key), Ok(signature)) = (
            ed25519_dalek::VerifyingKey::from_bytes(&point),
            ed25519_dalek::Signature::from_slice(signature),
        ) else {
            return false;
        };
        let message = Sha512::new().chain_update(message);
        key.verify_prehashed_strict(message, None, &signature)
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, self.fingerprint)
    }
}

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no PEM.
    #[error("it has no `-----BEGIN {wanted}-----`; wanted a PEM file with one key")]
    NotPem {
        /// The label that was looked for.
        wanted: &'static str,
    },
    /// There are several.
    #[error("it holds several keys; wanted one in each file")]
    Several,
    /// It is something else.
    #[error("it holds {found}; wanted a `{wanted}`")]
    Label {
        /// The label that was looked for.
        wanted: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// It is too large to be a key.
    #[error("it has {found} bytes, more than any file with a key; the limit is {LARGEST_FILE}")]
    Large {
        /// Its size in bytes.
        found: usize,
    },
    /// It is of a kind that is not supported.
    #[error(
        "it is no key of ECDSA on P-256 or P-384, nor of Ed25519; other kinds are not supported"
    )]
    Algorithm,
    /// It does not read as what it says it is.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is encrypted, and no password was given.
    #[error("it is encrypted, and there is no password for it")]
    Sealed,
    /// The password is not that of the key.
    #[error("the password is wrong, or the key is damaged")]
    Password,
    /// Opening it would take more memory or time than a key may.
    #[error("opening it is made too costly: scrypt with N = {n}, r = {r}, p = {p}")]
    Costly {
        /// Rounds.
        n: u64,
        /// Size of a block.
        r: u64,
        /// How often.
        p: u64,
    },
}
