//! The form of the file: eight bytes that name it, the nonce, and what is sealed. Inside it is JSON, with values in hexadecimal
//! digits.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead as _, AeadCore as _, KeyInit as _, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Content, Key, from_hex, to_hex};
use crate::capability::secrets::Secret;

/// What it begins with; the last digit is the version of the form.
const NAME: &[u8; 8] = b"WCSECR01";
/// The bytes of a nonce. At this length random ones do not meet.
const NONCE: usize = 24;

/// Opens what [`seal`] made.
///
/// # Errors
/// When it is something else, was changed, or was sealed with another key; in words, without anything of its content.
pub(super) fn open(bytes: &[u8], key: &Key) -> Result<Content, String> {
    let rest = bytes.strip_prefix(NAME);
    let (nonce, sealed) = rest
        .and_then(|rest| rest.split_at_checked(NONCE))
        .ok_or("it is no encrypted store of this version")?;
    let payload = Payload {
        msg: sealed,
        aad: NAME,
    };
    let plain = XChaCha20Poly1305::new((&**key).into())
        .decrypt(XNonce::from_slice(nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_| "it was sealed with another key, or has been damaged")?;
    let odd = || "what was sealed in it is not what this version seals".to_owned();
    let texts: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(&plain).map_err(|_| odd())?;
    let mut content = Content::new();
    for (owner, own) in texts {
        let mut secrets = BTreeMap::new();
        for (name, mut text) in own {
            let bytes = from_hex(&text).ok_or_else(odd);
            text.zeroize();
            secrets.insert(name, Secret::new(bytes?.to_vec()));
        }
        content.insert(owner, secrets);
    }
    Ok(content)
}

/// Seals it under a new nonce.
///
/// # Errors
/// When the system has no randomness or memory left.
pub(super) fn seal(content: &Content, key: &Key) -> Result<Vec<u8>, String> {
    let own = |(name, secret): (&String, &Secret)| (name.clone(), to_hex(secret.bytes()));
    let texts: BTreeMap<&String, BTreeMap<String, Zeroizing<String>>> = content
        .iter()
        .map(|(owner, secrets)| (owner, secrets.iter().map(own).collect()))
        .collect();
    let shown: BTreeMap<_, BTreeMap<_, &str>> = texts
        .iter()
        .map(|(owner, own)| {
            let own = own.iter().map(|(name, text)| (name, text.as_str()));
            (owner, own.collect())
        })
        .collect();
    let plain = serde_json::to_vec(&shown).map(Zeroizing::new);
    let plain = plain.map_err(|_| "it cannot be written down")?;
    let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
    let payload = Payload {
        msg: &plain,
        aad: NAME,
    };
    let sealed = XChaCha20Poly1305::new((&**key).into())
        .encrypt(&nonce, payload)
        .map_err(|_| "it cannot be sealed")?;
    Ok([NAME.as_slice(), nonce.as_slice(), &sealed].concat())
}
