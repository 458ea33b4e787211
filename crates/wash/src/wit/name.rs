//! The names of packages, as WIT and people write them.

use std::fmt;

use wasm_pkg_common::package::{PackageRef, Version, VersionReq};
use wit_parser::PackageName;

use crate::failure::Failure;

/// A package as WIT names it: `wasi:http@0.2.3`, or without a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Named {
    pub(super) package: PackageRef,
    pub(super) version: Option<Version>,
}

impl Named {
    /// The same name as the parser has it; none if no registry could have a package of that name.
    pub(super) fn of(name: &PackageName) -> Option<Self> {
        Some(Self {
            package: PackageRef::new(name.namespace.parse().ok()?, name.name.parse().ok()?),
            version: name.version.clone(),
        })
    }

    /// What a lock file calls the wish for it.
    pub(super) fn requirement(&self) -> VersionReq {
        let exact = self.version.as_ref();
        let exact = exact.and_then(|version| format!("={version}").parse().ok());
        exact.unwrap_or(VersionReq::STAR)
    }

    /// The name of its folder in `wit/deps`, which `wkg` gives it as well.
    pub(super) fn folder(&self) -> String {
        self.to_string().replace([':', '@'], "-")
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.package)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

/// What was typed: `namespace:package[/item][@version]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) package: PackageRef,
    /// An interface or world of it.
    pub(super) item: Option<String>,
    pub(super) version: Option<Version>,
}

const EXAMPLE: &str =
    "write it like wasi:keyvalue, wasi:keyvalue@0.2.0 or wasi:keyvalue/store@0.2.0";

impl Typed {
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let wrong =
            |what: &dyn fmt::Display| Failure::usage(format!("`{text}` names no package: {what}"));
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let (package, item) = match name.split_once('/') {
            Some((package, item)) => (package, Some(item)),
            None => (name, None),
        };
        let package = package
            .parse()
            .map_err(|error| wrong(&error).hint(EXAMPLE))?;
        if let Some(item) = item
            && let Err(error) = wit_parser::validate_id(item)
        {
            return Err(wrong(&format!("{error:#}")).hint(EXAMPLE));
        }
        let version = version.map(str::parse).transpose();
        let version = version.map_err(|error| {
            wrong(&format!("its version is none: {error}"))
                .hint("a version has three numbers, such as 0.2.0")
        })?;
        Ok(Self {
            package,
            item: item.map(str::to_owned),
            version,
        })
    }

    /// The same where only a package makes sense.
    pub(super) fn package(text: &str) -> Result<Self, Failure> {
        let typed = Self::read(text)?;
        match &typed.item {
            None => Ok(typed),
            Some(item) => {
                let message = format!("`{text}` names `{item}` of a package, not a package");
                Err(Failure::usage(message).hint(format!("write {}", typed.package)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_package_an_item_of_it_and_a_version() {
        let typed = Typed::read("wasi:keyvalue/store@0.2.0-draft").unwrap();
        assert_eq!(typed.package.to_string(), "wasi:keyvalue");
        assert_eq!(typed.item.as_deref(), Some("store"));
        assert_eq!(typed.version.unwrap().to_string(), "0.2.0-draft");
        assert!(Typed::package("a:b").is_ok());
    }

    #[test]
    fn what_is_no_package_is_typed_wrong() {
        for text in [
            "", "a", "a:", ":b", "a:b/", "a:b@", "a:b@1", "a:b/c/d", "A_:b", "a:b/C D", "../x:y",
        ] {
            let failure = Typed::read(text).expect_err(text);
            assert_eq!(failure.exit(), 2, "{text}");
            assert!(failure.message().contains("names no package"), "{text}");
        }
        assert_eq!(Typed::package("a:b/c").unwrap_err().exit(), 2);
    }

    #[test]
    fn a_folder_is_named_as_wkg_does() {
        let name = PackageName {
            namespace: "wasi".into(),
            name: "http".into(),
            version: Some("0.2.3".parse().unwrap()),
        };
        let named = Named::of(&name).unwrap();
        assert_eq!(named.folder(), "wasi-http-0.2.3");
        assert_eq!(named.requirement().to_string(), "=0.2.3");
    }
}
