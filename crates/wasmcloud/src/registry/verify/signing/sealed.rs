//! The encrypted keys of cosign: JSON with PKCS #8 in a secret box of NaCl, under a key that scrypt makes of a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use scrypt::Params;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::key::KeyError;

/// What such keys are called in PEM files: today, and before 2022.
pub(super) const LABELS: [&str; 2] = [
    "ENCRYPTED SIGSTORE PRIVATE KEY",
    "ENCRYPTED COSIGN PRIVATE KEY",
];

/// The most memory that opening a key may take. Cosign asks for 64 MiB.
const MOST_MEMORY: u64 = 256 * 1024 * 1024;
const MOST_TIMES: u64 = 4;

#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Cost,
    salt: String,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The key in PKCS #8.
pub(super) fn open(json: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let sealed: Sealed =
        serde_json::from_slice(json).map_err(|error| KeyError::Damaged(error.to_string()))?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        let problem = "it is encrypted in another way than with `scrypt` and `nacl/secretbox`";
        return Err(KeyError::Damaged(problem.to_owned()));
    }
    let decode = |what: &str, text: &str| {
        STANDARD
            .decode(text)
            .map_err(|error| KeyError::Damaged(format!("its {what}: {error}")))
    };
    let salt = decode("salt", &sealed.kdf.salt)?;
    let nonce = decode("nonce", &sealed.cipher.nonce)?;
    let box_ = decode("ciphertext", &sealed.ciphertext)?;
    let nonce = <[u8; 24]>::try_from(nonce)
        .map_err(|_| KeyError::Damaged("its nonce has not 24 bytes".to_owned()))?;

    let mut key = Zeroizing::new([0; 32]);
    let params = params(&sealed.kdf.params)?;
    scrypt::scrypt(password, &salt, &params, key.as_mut_slice())
        .map_err(|error| KeyError::Damaged(error.to_string()))?;
    let cipher = XSalsa20Poly1305::new(Key::from_slice(key.as_slice()));
    cipher
        .decrypt(Nonce::from_slice(&nonce), box_.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| KeyError::Password)
}

/// A key file may come from somebody else: it does not say how long we work for it.
fn params(cost: &Cost) -> Result<Params, KeyError> {
    let &Cost { n, r, p } = cost;
    let costly = KeyError::Costly { n, r, p };
    let memory = n.checked_mul(r).and_then(|blocks| blocks.checked_mul(128));
    let is_bounded = memory.is_some_and(|memory| memory <= MOST_MEMORY) && p <= MOST_TIMES;
    if !is_bounded || !n.is_power_of_two() {
        return Err(costly);
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| costly.clone())?;
    let (Ok(r), Ok(p)) = (u32::try_from(r), u32::try_from(p)) else {
        return Err(costly);
    };
    Params::new(log_n, r, p, 32).map_err(|_| costly)
}
