//! Images with signatures of all kinds, good and bad, in a registry that is a map.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

pub(in crate::registry) mod authority;
pub(in crate::registry) mod bundles;
mod cosign;
mod keyless;
mod keys;
mod memory;
mod sign;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};

use crate::workload::{Digest, Reference};

use self::memory::Memory;
use super::*;

/// The manifest of the image that is signed.
const IMAGE: &[u8] = br#"{"schemaVersion":2,"layers":[]}"#;

fn image() -> Digest {
    Digest::of(IMAGE)
}

fn reference() -> Reference {
    "registry.example:5000/acme/shop:1.0".parse().unwrap()
}

fn p256() -> SigningKey {
    let secret =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    from_der(secret.unwrap().as_ref())
}

fn p384() -> SigningKey {
    let secret =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &SystemRandom::new());
    from_der(secret.unwrap().as_ref())
}

fn ed25519() -> SigningKey {
    from_der(
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .unwrap()
            .as_ref(),
    )
}

fn from_der(der: &[u8]) -> SigningKey {
    SigningKey::from_pem(&signing::pem("PRIVATE KEY", der), None).unwrap()
}

fn by(keys: &[&SigningKey]) -> Demand {
    let keys = keys.iter().map(|key| key.public().clone()).collect();
    Demand::Signed { keys }
}

async fn verify(demand: Demand, source: &Memory) -> Result<Proof, VerifyError> {
    verify_image(demand, image(), source).await
}

async fn verify_image(
    demand: Demand,
    image: Digest,
    source: &Memory,
) -> Result<Proof, VerifyError> {
    let pattern = "registry.example:5000/acme/*".parse().unwrap();
    let policy = VerifyPolicy {
        rules: vec![Rule { pattern, demand }],
        otherwise: Demand::Deny,
    };
    let verified = policy.verify(&reference(), image, source).await?;
    assert_eq!(verified.manifest, image);
    Ok(verified.by)
}

/// Why the only signature there is will not do.
async fn why(demand: Demand, source: &Memory) -> Rejection {
    match verify(demand, source).await.unwrap_err().kind {
        VerifyErrorKind::Rejected { mut rejected } if rejected.len() == 1 => rejected.remove(0).why,
        other => panic!("{other:?}"),
    }
}
