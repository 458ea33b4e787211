//! Signing an image as cosign does, with a key.

mod artifact;
mod key;
mod sealed;

pub(in crate::registry) use artifact::JoinedSignatures;
pub use artifact::{SignError, SignatureArtifact};
pub use key::SigningKey;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::key::{KeyError, LARGEST_FILE};

/// A PEM file (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, letter) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

/// The first thing in a PEM file that has to do with a private key: its label and its bytes.
fn private_part(text: &str) -> Result<(&str, Zeroizing<Vec<u8>>), KeyError> {
    const BEGIN: &str = "-----BEGIN ";
    let missing = KeyError::NotPem {
        wanted: "PRIVATE KEY",
    };
    if text.len() > LARGEST_FILE {
        return Err(KeyError::Large { found: text.len() });
    }
    let mut rest = text;
    while let Some((_, from_label)) = rest.split_once(BEGIN) {
        let (label, body) = from_label.split_once("-----").ok_or(missing.clone())?;
        // `openssl ecparam -genkey` writes what curve it is before the key.
        if label.ends_with("PRIVATE KEY") {
            let (body, _) = body.split_once("-----END ").ok_or(missing.clone())?;
            let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
            let bytes = STANDARD.decode(body.as_bytes());
            // The error would tell a letter of the key.
            let bytes = bytes
                .map_err(|_| KeyError::Damaged("between its marks is no base64".to_owned()))?;
            return Ok((label, Zeroizing::new(bytes)));
        }
        if label == "PUBLIC KEY" || label == "CERTIFICATE" {
            return Err(KeyError::Label {
                wanted: "PRIVATE KEY",
                found: "a public key or certificate",
            });
        }
        rest = body;
    }
    Err(missing)
}
