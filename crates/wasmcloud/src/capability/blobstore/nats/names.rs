//! Names of tenants, containers and objects as parts of subjects and of streams, and back: the forms that other programs for NATS
//! know as well.

use sha2::{Digest as _, Sha256};

use crate::capability::tenant::Tenant;

/// The letters of six bits that stand in subjects (RFC 4648, section 5).
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// How long the name of a tenant may be in clear: streams are folders on the disk of their server.
const LONGEST_TENANT: usize = 120;

/// What the streams of a tenant are called by. The parts have no `_` and no two dots in a row, so no two tenants share one.
pub(super) fn tenant(tenant: &Tenant) -> String {
    let clear = tenant.parts().join("__").replace('.', "_");
    match clear.len() <= LONGEST_TENANT {
        true => clear,
        false => format!("{:x}", Sha256::digest(clear.as_bytes())),
    }
}

/// A text or a digest for a subject, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut written = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * place) & 63) as usize);
            let letter = letter.filter(|_| place <= three.len());
            written.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    written
}

/// The text that a part of a subject stands for.
pub(super) fn text(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let (mut bits, mut held) = (0_u32, 0);
    for letter in written.trim_end_matches('=').bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)?;
        (bits, held) = ((bits << 6 | u32::try_from(value).ok()?) & 0xffff, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use proptest::prelude::*;

    use super::super::super::settings::testing;
    use super::*;

    #[test]
    fn tenants_are_readable_and_do_not_meet() {
        assert_eq!(
            tenant(&testing::tenant("shop-1.eu")),
            "default__workload__shop-1_eu"
        );
        let long = format!("{0}.{0}", "x".repeat(63));
        assert_eq!(tenant(&testing::tenant(&long)).len(), 64);
    }

    #[test]
    fn texts_look_as_other_programs_write_them() {
        for (clear, written) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("a>?", "YT4_"),
        ] {
            assert_eq!(base64(clear.as_bytes()), written);
        }
        assert_eq!(text("*"), None);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(name in "(?s).{0,100}") {
            prop_assert_eq!(text(&base64(name.as_bytes())), Some(name));
        }
    }
}
