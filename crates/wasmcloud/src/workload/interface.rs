//! Ids of WIT interfaces (`wasi:http/types@0.2.6`) and which versions of one may stand in for another.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::diagnostic::quoted;

/// The id of a WIT interface: `namespace:package/name`, with an optional `@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface {
    /// Who publishes the package, such as `wasi`.
    pub namespace: String,
    /// The package, such as `http`.
    pub package: String,
    /// The interface in the package, such as `types`.
    pub name: String,
    /// The version of the package; without one, any version fits.
    pub version: Option<Version>,
}

impl Interface {
    /// Whether both ids name the same interface, whatever their versions.
    #[must_use]
    pub fn same_name(&self, other: &Self) -> bool {
        self.namespace == other.namespace
            && self.package == other.package
            && self.name == other.name
    }

    /// Whether an offered interface may answer where this one is wanted.
    ///
    /// The names must be the same and the versions compatible: a missing version fits every other, a
    /// pre-release fits only itself, and the rest follow Cargo's rule (same major; for `0.x` the same
    /// minor; for `0.0.x` the same patch). The relation is symmetric: 0.2.0 and 0.2.6 fit both ways.
    #[must_use]
    pub fn accepts(&self, offered: &Self) -> bool {
        self.same_name(offered) && compatible(self.version.as_ref(), offered.version.as_ref())
    }

    /// A stable key for the interface and its range of compatible versions: `wasi:http/types@0.2`.
    ///
    /// Two ids with versions accept each other exactly when their tracks are equal.
    #[must_use]
    pub fn track(&self) -> String {
        let Self {
            namespace,
            package,
            name,
            version,
        } = self;
        match version {
            None => format!("{namespace}:{package}/{name}"),
            Some(version) => format!("{namespace}:{package}/{name}@{}", track_of(version)),
        }
    }
}

/// Whether two optional versions may stand in for each other.
pub(super) fn compatible(one: Option<&Version>, other: Option<&Version>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => track_of(one) == track_of(other),
        _ => true,
    }
}

fn track_of(version: &Version) -> String {
    let Version {
        major,
        minor,
        patch,
        pre,
        ..
    } = version;
    match (major, minor) {
        _ if !pre.is_empty() => version.to_string(),
        (0, 0) => format!("0.0.{patch}"),
        (0, _) => format!("0.{minor}"),
        _ => major.to_string(),
    }
}

/// Text that is no interface id. The message says what was found and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no interface id: {problem}; wanted `namespace:package/name` or `namespace:package/name@1.2.3`", quoted(.found))]
pub struct InterfaceError {
    found: String,
    problem: String,
}

impl InterfaceError {
    pub(super) fn new(found: &str, problem: impl Into<String>) -> Self {
        Self {
            found: found.to_owned(),
            problem: problem.into(),
        }
    }
}

impl FromStr for Interface {
    type Err = InterfaceError;

    fn from_str(text: &str) -> Result<Self, InterfaceError> {
        let (namespace, package, name, version) = split(text)?;
        check_words(
            text,
            &[
                ("namespace", namespace),
                ("package", package),
                ("interface", name),
            ],
        )?;
        Ok(Self {
            namespace: namespace.to_owned(),
            package: package.to_owned(),
            name: name.to_owned(),
            version,
        })
    }
}

/// The four parts of `namespace:package/rest@version`; the words are not checked yet.
pub(super) fn split(text: &str) -> Result<(&str, &str, &str, Option<Version>), InterfaceError> {
    let fail = |problem: &str| InterfaceError::new(text, problem);
    let (path, version) = match text.split_once('@') {
        None => (text, None),
        Some((path, version)) => (path, Some(version)),
    };
    let (namespace, rest) = path.split_once(':').ok_or_else(|| fail("it has no `:`"))?;
    let (package, name) = rest.split_once('/').ok_or_else(|| fail("it has no `/`"))?;
    let version = version.map(parse_version).transpose();
    let version = version.map_err(|problem| fail(&problem))?;
    Ok((namespace, package, name, version))
}

/// A version as WIT packages have it. The error is half a sentence.
pub(super) fn parse_version(text: &str) -> Result<Version, String> {
    Version::parse(text).map_err(|_| {
        format!(
            "{} is no version of three numbers like `1.2.3`",
            quoted(text)
        )
    })
}

/// Checks that each part is a WIT identifier; `parts` are pairs of what it is and its text.
pub(super) fn check_words(text: &str, parts: &[(&str, &str)]) -> Result<(), InterfaceError> {
    let wrong = parts.iter().find(|(_, word)| !is_wit_word(word));
    match wrong {
        None => Ok(()),
        Some((what, "")) => Err(InterfaceError::new(text, format!("its {what} is empty"))),
        Some((what, word)) => {
            let problem = format!("its {what} {} is not in kebab-case", quoted(word));
            Err(InterfaceError::new(text, problem))
        }
    }
}

/// Kebab-case as WIT has it: words of letters and digits joined with `-`, beginning with a letter.
pub(super) fn is_wit_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.package, self.name)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Interface {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Interface {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> Interface {
        text.parse().unwrap()
    }

    fn fits(one: &str, other: &str) -> bool {
        let (one, other) = (id(&format!("a:b/c@{one}")), id(&format!("a:b/c@{other}")));
        assert_eq!(
            one.accepts(&other),
            other.accepts(&one),
            "the relation is symmetric"
        );
        one.accepts(&other)
    }

    #[test]
    fn versions_fit_as_cargo_has_it() {
        assert!(fits("0.2.0", "0.2.6"));
        assert!(fits("1.0.0", "1.9.3"));
        assert!(fits("0.0.3", "0.0.3"));
        assert!(!fits("0.2.0", "0.3.0"));
        assert!(!fits("1.0.0", "2.0.0"));
        assert!(!fits("0.0.3", "0.0.4"));
        assert!(!fits("0.1.0", "1.1.0"));
    }

    #[test]
    fn a_pre_release_fits_only_itself() {
        assert!(fits("0.2.0-rc.1", "0.2.0-rc.1"));
        assert!(!fits("0.2.0-rc.1", "0.2.0-rc.2"));
        assert!(!fits("0.2.0-draft", "0.2.0"));
    }

    #[test]
    fn a_missing_version_fits_every_version_of_the_same_interface() {
        assert!(id("a:b/c").accepts(&id("a:b/c@0.2.0-draft")));
        assert!(id("a:b/c@1.0.0").accepts(&id("a:b/c")));
        assert!(!id("a:b/c").accepts(&id("a:b/d")));
    }

    #[test]
    fn a_track_names_the_range() {
        assert_eq!(id("wasi:http/types@0.2.6").track(), "wasi:http/types@0.2");
        assert_eq!(id("demo:x/y@1.4.0").track(), "demo:x/y@1");
        assert_eq!(id("demo:x/y@0.0.7").track(), "demo:x/y@0.0.7");
        assert_eq!(
            id("wasi:config/store@0.2.0-rc.1").track(),
            "wasi:config/store@0.2.0-rc.1"
        );
        assert_eq!(id("demo:x/y").track(), "demo:x/y");
    }

    #[test]
    fn an_error_says_which_part_is_wrong() {
        let error = |text: &str| text.parse::<Interface>().unwrap_err().to_string();
        insta::assert_snapshot!(error("http/types"), @"`http/types` is no interface id: it has no `:`; wanted `namespace:package/name` or `namespace:package/name@1.2.3`");
        insta::assert_snapshot!(error("wasi:http"), @"`wasi:http` is no interface id: it has no `/`; wanted `namespace:package/name` or `namespace:package/name@1.2.3`");
        insta::assert_snapshot!(error("wasi:http/types@2"), @"`wasi:http/types@2` is no interface id: `2` is no version of three numbers like `1.2.3`; wanted `namespace:package/name` or `namespace:package/name@1.2.3`");
        insta::assert_snapshot!(error("wasi:http/my_types"), @"`wasi:http/my_types` is no interface id: its interface `my_types` is not in kebab-case; wanted `namespace:package/name` or `namespace:package/name@1.2.3`");
        insta::assert_snapshot!(error("wasi:/x"), @"`wasi:/x` is no interface id: its package is empty; wanted `namespace:package/name` or `namespace:package/name@1.2.3`");
    }

    fn versions() -> impl Strategy<Value = String> {
        let pre = prop_oneof![Just(""), Just("-rc.1"), Just("-draft"), Just("+build")];
        (0u64..3, 0u64..3, 0u64..3, pre).prop_map(|(a, b, c, pre)| format!("{a}.{b}.{c}{pre}"))
    }

    fn words() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4}){0,2}"
    }

    proptest! {
        #[test]
        fn equal_tracks_mean_that_versions_fit(one in versions(), other in versions()) {
            let (one, other) = (id(&format!("a:b/c@{one}")), id(&format!("a:b/c@{other}")));
            prop_assert_eq!(one.track() == other.track(), one.accepts(&other));
        }

        #[test]
        fn an_id_reads_back_as_printed(
            namespace in words(), package in words(), name in words(),
            version in proptest::option::of(versions()),
        ) {
            let version = version.map(|v| Version::parse(&v).unwrap());
            let before = Interface { namespace, package, name, version };
            prop_assert_eq!(before.to_string().parse::<Interface>().unwrap(), before);
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in any::<String>()) {
            if let Err(error) = text.parse::<Interface>() {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
