//! Where a registry keeps packages: its address, and the folder before their names.

use std::fmt;

use wasm_pkg_common::registry::Registry;

/// A registry, and the part of its repositories' names that stands before namespace and package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Name or address, and port if it has one.
    pub(super) host: Registry,
    /// Empty, or like `acme/wit/`.
    pub(super) prefix: String,
    /// Whether it is asked without TLS; only known if it was written with a scheme.
    pub(super) plain: Option<bool>,
}

impl Place {
    /// Reads `[https://|http://]HOST[:PORT][/PREFIX]`. The error says what is wrong.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (plain, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Some(false), rest),
            Some(("http", rest)) => (Some(true), rest),
            Some((scheme, _)) => return Err(format!("`{scheme}` is no way to ask a registry")),
            None => (None, text),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            // What stands before it may be a password.
            return Err("a name or password does not belong into an address".to_owned());
        }
        let host = host
            .parse()
            .map_err(|_| format!("`{host}` is no name of a registry"))?;
        let prefix = prefix.trim_end_matches('/');
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
        let good = |part: &str| begins(part) && part.chars().all(allowed);
        if !prefix.is_empty() && !prefix.split('/').all(good) {
            return Err(format!("`{prefix}` is no part of a repository's name"));
        }
        Ok(Self {
            host,
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
            plain,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.prefix.trim_end_matches('/');
        if prefix.is_empty() {
            write!(f, "{}", self.host)
        } else {
            write!(f, "{}/{prefix}", self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_or_none_and_a_prefix_or_none() {
        let place = Place::read("http://127.0.0.1:5000/").unwrap();
        assert_eq!(
            (place.to_string().as_str(), place.plain),
            ("127.0.0.1:5000", Some(true))
        );
        let place = Place::read("ghcr.io/acme/wit").unwrap();
        assert_eq!((place.prefix.as_str(), place.plain), ("acme/wit/", None));
    }

    #[test]
    fn what_is_no_address_says_so_and_tells_no_password() {
        for text in ["", "ftp://x", "https://", "x y", "h/../x", "h//x", "h/UP"] {
            assert!(Place::read(text).is_err(), "{text}");
        }
        let error = Place::read("https://ann:s3cret@h").unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
