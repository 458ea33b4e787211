//! Credentials for registries, which no log and no message shows.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::workload::Digest;

/// A text that is shown to nobody, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl<'de> serde::Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a registry lets somebody in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing: what everybody may do.
    Anonymous,
    /// A name and a password, or what a registry takes for one.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretText,
    },
    /// A token of a login, for which the token server of a registry gives others that last a while
    /// (<https://distribution.github.io/distribution/spec/auth/oauth/>).
    Identity(SecretText),
    /// A token that the registry takes as it is.
    Bearer(SecretText),
}

impl Credentials {
    /// Tells credentials apart without being them. The same ones have the same mark with the same salt.
    ///
    /// Whoever has the mark and the salt can try passwords until one fits: keep them where others cannot read.
    #[must_use]
    pub fn mark(&self, salt: &[u8]) -> Digest {
        let (kind, parts): (u8, [&str; 2]) = match self {
            Self::Anonymous => (0, ["", ""]),
            Self::Basic { username, password } => (1, [username, password.expose()]),
            Self::Identity(token) => (2, [token.expose(), ""]),
            Self::Bearer(token) => (3, [token.expose(), ""]),
        };
        let mut hash = Sha256::new();
        // With their lengths, so that no two lists of parts are the same bytes.
        for part in [salt, &[kind], parts[0].as_bytes(), parts[1].as_bytes()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        Digest::from_bytes(hash.finalize().into())
    }
}
