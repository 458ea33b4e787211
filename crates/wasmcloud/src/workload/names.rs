//! Names and ids as types: once one exists, its text is known to be well formed.
//!
//! Names follow DNS labels (RFC 1123) because clusters, host names and file names all accept those.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::diagnostic::quoted;

/// What a kind of name may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// One DNS label.
    Label,
    /// DNS labels joined with dots.
    Labels,
    /// An opaque id that somebody else chose.
    Id,
}

impl Rule {
    const fn limit(self) -> usize {
        match self {
            Self::Label => 63,
            Self::Labels => 253,
            Self::Id => 128,
        }
    }

    fn allows(self, text: &str) -> bool {
        let length = (1..=self.limit()).contains(&text.len());
        length
            && match self {
                Self::Label => is_label(text),
                Self::Labels => text.split('.').all(is_label),
                Self::Id => is_id(text),
            }
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `.` and `..` are left out because ids end up in file names.
fn is_id(text: &str) -> bool {
    !matches!(text, "." | "..")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
}

/// A name or id that breaks its rule. The message says what was found, what was wanted, and the limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NameError {
    what: &'static str,
    found: String,
    rule: Rule,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.rule.limit();
        if self.found.is_empty() {
            write!(f, "the {} is empty", self.what)?;
        } else if self.found.len() > limit {
            let length = self.found.len();
            write!(f, "the {} has {length} characters", self.what)?;
        } else {
            write!(f, "{} is no {}", quoted(&self.found), self.what)?;
        }
        let wanted = match self.rule {
            Rule::Label => "lower-case letters, digits and `-`, with no `-` at either end",
            Rule::Labels => {
                "lower-case letters, digits, `-` and `.`, with no `-` or `.` at either end"
            }
            Rule::Id => "letters, digits, `.`, `_`, `:` and `-`",
        };
        write!(f, "; wanted 1 to {limit} {wanted}")
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $rule.allows(text) {
                    return Ok(Self(text.into()));
                }
                Err(NameError { what: $what, found: text.to_owned(), rule: $rule })
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name_type!(
    /// The tenant a workload belongs to: DNS labels joined with dots, at most 253 characters.
    Namespace,
    "namespace",
    Rule::Labels
);
name_type!(
    /// The name of a workload inside its namespace: DNS labels joined with dots, at most 253 characters.
    WorkloadName,
    "workload name",
    Rule::Labels
);
name_type!(
    /// The name of a component inside its workload: one DNS label, at most 63 characters.
    ComponentName,
    "component name",
    Rule::Label
);

/// What the service of a workload is called among its components.
const SERVICE: &str = "service";

impl ComponentName {
    /// The name by which the service of a workload goes.
    #[must_use]
    pub fn service() -> Self {
        Self(SERVICE.into())
    }
}
name_type!(
    /// The name of a schedule inside its workload: one DNS label, at most 63 characters.
    ScheduleName,
    "schedule name",
    Rule::Label
);
name_type!(
    /// The id under which a host runs a workload, chosen by whoever starts it: at most 128 characters.
    WorkloadId,
    "workload id",
    Rule::Id
);
name_type!(
    /// The id of a host: at most 128 characters.
    HostId,
    "host id",
    Rule::Id
);

impl Default for Namespace {
    /// The namespace of a manifest that names none: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

impl HostId {
    /// A new id that no other host has: 128 random bits in hexadecimal.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)).into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_component_name_is_one_dns_label() {
        for good in ["a", "0", "api", "api-2", &"a".repeat(63)] {
            assert_eq!(good.parse::<ComponentName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "é",
            "a b",
            "a\n",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<ComponentName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn workloads_and_namespaces_may_have_dots() {
        assert!("team-a.eu".parse::<Namespace>().is_ok());
        assert!("shop.v2".parse::<WorkloadName>().is_ok());
        for bad in [".", "..", "a.", ".a", "a..b", &"a".repeat(254)] {
            assert!(bad.parse::<WorkloadName>().is_err(), "{bad:?}");
        }
        assert_eq!(Namespace::default().as_str(), "default");
    }

    #[test]
    fn ids_may_be_uuids_or_keys_but_never_path_steps() {
        for good in ["2f1c9f6e-1b1e-4c5e-9d63-7a6d", "NABC_1:x", &"x".repeat(128)] {
            assert!(good.parse::<WorkloadId>().is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "a/b", "a b", &"x".repeat(129)] {
            assert!(bad.parse::<HostId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_says_found_wanted_and_limit() {
        let error = |text: &str| text.parse::<ComponentName>().unwrap_err().to_string();
        insta::assert_snapshot!(error("My_Api"), @"`My_Api` is no component name; wanted 1 to 63 lower-case letters, digits and `-`, with no `-` at either end");
        insta::assert_snapshot!(error(""), @"the component name is empty; wanted 1 to 63 lower-case letters, digits and `-`, with no `-` at either end");
        insta::assert_snapshot!(error(&"a".repeat(70)), @"the component name has 70 characters; wanted 1 to 63 lower-case letters, digits and `-`, with no `-` at either end");
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_an_error(text in any::<String>()) {
            if let Ok(name) = text.parse::<ComponentName>() {
                prop_assert_eq!(name.as_str(), &text);
            }
            if let Err(error) = text.parse::<WorkloadId>() {
                prop_assert!(!error.to_string().is_empty());
            }
            let _ = Namespace::try_from(text);
        }
    }
}
