//! What tenants, buckets and keys are called on a server: the names there take few characters, and subjects have an end.

use sha2::{Digest as _, Sha256};

use crate::capability::tenant::Tenant;

/// How long a part of a subject may be. The line of a request holds two of them, among others, and the server takes 4096 bytes.
const LONGEST: usize = 1024;
/// How long the name of a bucket on the server may be; it takes 255 bytes for that of a stream.
const LONGEST_BUCKET: usize = 200;
/// What the token of a text begins with that is told by its digest.
const DIGEST: &str = "==";

/// A text as one part of a subject: `=` and two digits stand for each byte that may not be in a key of NATS, or parts keys.
pub(super) fn token(text: &str) -> String {
    let token = escaped(text);
    match token.len() > LONGEST {
        true => format!("{DIGEST}{}", digest(text)),
        false => token,
    }
}

/// The text of a token; `None`: it is told by its digest, or is no token.
pub(super) fn text(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    if token == "=" {
        return Some(String::new());
    }
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'=' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The text in the letters that keys of NATS may have. Nothing else is escaped to the same.
pub(super) fn escaped(text: &str) -> String {
    if text.is_empty() {
        return "=".to_owned();
    }
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'/' => token.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => token.push(char::from(byte)),
            byte => token.push_str(&format!("={byte:02X}")),
        }
    }
    token
}

/// The bucket on the server that has all buckets of a tenant. `prefix` is of letters, digits and `-`.
///
/// No part of a tenant has a `_`, and none has two `.` beside each other or one at an end, so no two are called the same.
pub(super) fn bucket(prefix: &str, tenant: &Tenant) -> String {
    let parts = tenant.parts().map(|part| part.replace('.', "_"));
    let name = format!("{prefix}__{}", parts.join("__"));
    match name.len() > LONGEST_BUCKET {
        true => format!("{prefix}__{}", digest(&name)),
        false => name,
    }
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_key(token: &str) -> bool {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/=".contains(&byte);
        !token.is_empty() && token.bytes().all(letters)
    }

    #[test]
    fn plain_keys_stay_as_they_are() {
        assert_eq!(token("cart/17_a-b"), "cart/17_a-b");
        assert_eq!(token("a.b=*"), "a=2Eb=3D=2A");
        assert_eq!(token(""), "=");
        assert_eq!(text("=2"), None);
        assert_eq!(text("=+1"), None);
    }

    #[test]
    fn long_keys_are_told_by_their_digest() {
        let plain = "k".repeat(LONGEST);
        assert_eq!(token(&plain), plain);
        let long = [plain.clone() + "k", plain + "l", "é".repeat(400)].map(|key| token(&key));
        for token in &long {
            assert!(is_key(token) && token.len() == 66, "{token}");
            assert_eq!(text(token), None);
        }
        assert_ne!(long[0], long[1]);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(key in any::<String>()) {
            let token = token(&key);
            prop_assert!(is_key(&token), "{token}");
            prop_assert_eq!(text(&token), Some(key));
        }
    }
}
