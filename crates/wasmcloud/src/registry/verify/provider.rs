//! The cryptography of *ring* for the library that verifies what Sigstore makes.

use std::sync::Once;

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::digest::{Context, SHA256, SHA384, SHA512};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use sigstore_verify::crypto::{
    CryptoProvider, Error, HashContext, Result, SigningScheme, install_default_provider,
};
use sigstore_verify::types::HashAlgorithm;

/// Has to have run before the library is used: it panics without a provider. One that an embedder installed before stays.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = install_default_provider(&Ring);
    });
}

#[derive(Debug)]
struct Ring;

struct Hash(Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        let algorithm = match algorithm {
            HashAlgorithm::Sha2256 => &SHA256,
            HashAlgorithm::Sha2384 => &SHA384,
            HashAlgorithm::Sha2512 => &SHA512,
            other => return Err(Error::UnsupportedAlgorithm(format!("digests of {other}"))),
        };
        Ok(Box::new(Hash(Context::new(algorithm))))
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        data: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        UnparsedPublicKey::new(algorithm(scheme)?, key)
            .verify(data, signature)
            .map_err(|_| wrong(scheme))
    }

    /// *ring* checks no signature of a digest alone, so this goes by another library, and for the one kind of key that certificates of
    /// Sigstore are made with.
    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        match scheme {
            SigningScheme::EcdsaP256Sha256 | SigningScheme::EcdsaP256Sha384 => {
                let key =
                    p256::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| wrong(scheme))?;
                let signature =
                    p256::ecdsa::Signature::from_der(signature).map_err(|_| wrong(scheme))?;
                key.verify_prehash(digest, &signature)
                    .map_err(|_| wrong(scheme))
            }
            other => Err(unsupported(other)),
        }
    }
}

fn algorithm(scheme: SigningScheme) -> Result<&'static dyn VerificationAlgorithm> {
    Ok(match scheme {
        SigningScheme::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &ED25519,
        // Certificates of a chain may be signed so.
        SigningScheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        other => return Err(unsupported(other)),
    })
}

fn unsupported(scheme: SigningScheme) -> Error {
    Error::UnsupportedAlgorithm(format!("{} is not supported here", scheme.name()))
}

fn wrong(scheme: SigningScheme) -> Error {
    Error::Verification(format!("no such signature of {}", scheme.name()))
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;
    use crate::workload::Digest;

    #[test]
    fn a_digest_is_checked_as_its_message_is() {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let secret = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, secret.as_ref(), &random).unwrap();
        let signature = pair.sign(&random, b"hello").unwrap();
        let (key, signature) = (pair.public_key().as_ref(), signature.as_ref());
        let scheme = SigningScheme::EcdsaP256Sha256;
        let digest = Digest::of(b"hello");
        let other = Digest::of(b"other");
        assert!(Ring.verify_raw(scheme, key, b"hello", signature).is_ok());
        assert!(
            Ring.verify_prehashed(scheme, key, digest.as_bytes(), signature)
                .is_ok()
        );
        assert!(Ring.verify_raw(scheme, key, b"other", signature).is_err());
        assert!(
            Ring.verify_prehashed(scheme, key, other.as_bytes(), signature)
                .is_err()
        );
        assert!(
            Ring.verify_prehashed(scheme, key, digest.as_bytes(), b"")
                .is_err()
        );
        assert!(
            Ring.verify_prehashed(scheme, b"\x04", digest.as_bytes(), signature)
                .is_err()
        );
        assert_eq!(Ring.sha256(b"hello"), *digest.as_bytes());
    }
}
