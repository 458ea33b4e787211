//! Private keys.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};

use super::super::key::{KeyError, Kind, PublicKey};
use super::{private_part, sealed};

/// What an unencrypted key is called in a PEM file.
const PLAIN: &str = "PRIVATE KEY";

/// A key that signs. Nothing of it is ever written anywhere.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Of a PEM file: PKCS #8, or the encrypted form that `cosign generate-key-pair` writes, for which there has to be a password. To
    /// open the latter takes as long as it is made to take, which is tenths of a second.
    ///
    /// # Errors
    /// When it is neither, the password is wrong or missing, or the key is of a kind that is not supported.
    pub fn from_pem(text: &str, password: Option<&[u8]>) -> Result<Self, KeyError> {
        let (label, bytes) = private_part(text)?;
        match label {
            PLAIN => Self::from_pkcs8(&bytes),
            label if sealed::LABELS.contains(&label) => {
                let password = password.ok_or(KeyError::Sealed)?;
                Self::from_pkcs8(&sealed::open(&bytes, password)?)
            }
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::Label {
                wanted: PLAIN,
                found: "a key that OpenSSL has encrypted (`openssl pkcs8 -in KEY` decrypts it, `cosign import-key-pair` turns it into one with a password)",
            }),
            _ => Err(KeyError::Label {
                wanted: PLAIN,
                found: "a key of another format (`openssl pkcs8 -topk8 -nocrypt -in KEY` turns it into this one)",
            }),
        }
    }

    /// Whether a password is needed for a key.
    #[must_use]
    pub fn is_sealed(text: &str) -> bool {
        private_part(text).is_ok_and(|(label, _)| sealed::LABELS.contains(&label))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let kinds = [
            (Kind::P256, &ECDSA_P256_SHA256_ASN1_SIGNING),
            (Kind::P384, &ECDSA_P384_SHA384_ASN1_SIGNING),
        ];
        for (kind, algorithm) in kinds {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, der, &random) {
                let public = PublicKey::new(kind, pair.public_key().as_ref());
                let pair = Pair::Ecdsa(pair);
                return Ok(Self { pair, public });
            }
        }
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::Algorithm)?;
        let public = PublicKey::new(Kind::Ed25519, pair.public_key().as_ref());
        let pair = Pair::Ed25519(pair);
        Ok(Self { pair, public })
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// `None` when the system has no random numbers to give.
    pub(super) fn sign_bytes(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).ok()?,
            Pair::Ed25519(pair) => pair.sign(message),
        };
        Some(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

#[cfg(test)]
impl SigningKey {
    /// Signs anything.
    pub(in super::super) fn sign_bytes_for_tests(&self, message: &[u8]) -> Vec<u8> {
        self.sign_bytes(message).unwrap()
    }
}
