//! Names of secrets, as manifests give them to components and components ask for them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The most characters that a name may have.
const LONGEST: usize = 128;

/// The name of a secret: letters, digits, `-`, `_` and `.`, beginning with a letter or digit. It does as the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct SecretName(Arc<str>);

impl SecretName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is no [`SecretName`]. It is not repeated: whoever mistakes a name for a value may have written one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no name of a secret; wanted 1 to {LONGEST} letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
)]
pub struct SecretNameError;

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let first = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        match first && text.len() <= LONGEST && text.bytes().all(inside) {
            true => Ok(Self(text.into())),
            false => Err(SecretNameError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_as_names_of_files() {
        for good in [
            "a",
            "api-key",
            "API_KEY",
            "db.password",
            "1",
            &"x".repeat(128),
        ] {
            assert!(good.parse::<SecretName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "ä",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
    }
}
