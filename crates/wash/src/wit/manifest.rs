//! `wkg.toml`: packages that come from elsewhere, and what a published package says about itself. The format is that of `wkg`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use wasm_pkg_common::package::{PackageRef, VersionReq};
use wasmcloud::workload::Diagnostic;

use super::files;
use super::name::Typed;
use crate::failure::Failure;

/// The name of the file, in the folder of the project.
pub(super) const MANIFEST: &str = "wkg.toml";
/// Far more than an honest file has.
const MOST_BYTES: u64 = 1 << 20;

/// What the file says; everything may be missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Manifest {
    /// Packages that are files of this machine, relative to the project.
    pub(super) paths: BTreeMap<PackageRef, PathBuf>,
    /// Which versions of a package may be used.
    pub(super) versions: BTreeMap<PackageRef, VersionReq>,
    /// What is told about the project's own package.
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    workspace: Option<Spanned<toml::Value>>,
    #[serde(default)]
    overrides: BTreeMap<String, Spanned<RawOverride>>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOverride {
    path: Option<PathBuf>,
    version: Option<VersionReq>,
}

/// What is told about a package.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metadata {
    #[serde(alias = "author")]
    pub(super) authors: Option<String>,
    pub(super) description: Option<String>,
    #[serde(alias = "license")]
    pub(super) licenses: Option<String>,
    #[serde(alias = "repository")]
    pub(super) source: Option<String>,
    pub(super) homepage: Option<String>,
    pub(super) revision: Option<String>,
}

impl Manifest {
    /// Reads the file of a project; one that is not there says nothing.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        match files::read_text(file, MOST_BYTES) {
            Ok(text) => Ok(parse(&text, file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::io("cannot read", file.display(), &error)),
        }
    }
}

fn parse(text: &str, file: &Path) -> Result<Manifest, Vec<Diagnostic>> {
    let raw: Raw =
        toml::from_str(text).map_err(|error| vec![files::toml_problem(&error, text, file)])?;
    let mut problems = Vec::new();
    let mut problem = |at: usize, message: String, hint: &str| {
        let before = text.get(..at).unwrap_or_default();
        let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(1);
        let problem = Diagnostic::new(message).in_file(file).with_source(text);
        problems.push(problem.at(line, 1).with_hint(hint));
    };
    if let Some(workspace) = &raw.workspace {
        let message = "`workspace` is not supported".to_owned();
        let hint = "run `wash wit` in the folder of each package, with a wkg.toml of its own";
        problem(workspace.span().start, message, hint);
    }
    let mut manifest = Manifest {
        metadata: raw.metadata,
        ..Manifest::default()
    };
    for (name, entry) in raw.overrides {
        let at = entry.span().start;
        let package = match Typed::package(&name) {
            Ok(typed) if typed.version.is_none() => typed.package,
            Ok(_) | Err(_) => {
                let message = format!("`overrides.\"{name}\"` names no package");
                problem(
                    at,
                    message,
                    "write namespace and name, such as \"wasi:http\"",
                );
                continue;
            }
        };
        match entry.into_inner() {
            RawOverride {
                path: Some(path),
                version: None,
            } => {
                manifest.paths.insert(package, path);
            }
            RawOverride {
                path: None,
                version: Some(version),
            } => {
                manifest.versions.insert(package, version);
            }
            RawOverride { path: Some(_), .. } => {
                let message = format!("`overrides.\"{name}\".version` has no effect beside `path`");
                problem(at, message, "remove one of them");
            }
            RawOverride { path: None, .. } => {
                let message = format!("`overrides.\"{name}\"` says nothing");
                problem(at, message, "give it a `path` or a `version`, or remove it");
            }
        }
    }
    if problems.is_empty() {
        Ok(manifest)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, String> {
        parse(text, Path::new(MANIFEST)).map_err(|wrong| {
            wrong
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    #[test]
    fn overrides_and_metadata_are_read() {
        let manifest = read(
            "[overrides]\n\"a:b\" = { path = \"../b\" }\n\"c:d\" = { version = \"^0.2\" }\n[metadata]\nauthor = \"Ann\"\nlicense = \"MIT\"\n",
        )
        .unwrap();
        assert_eq!(manifest.paths.len(), 1);
        assert_eq!(
            manifest.versions[&"c:d".parse().unwrap()].to_string(),
            "^0.2"
        );
        assert_eq!(manifest.metadata.authors.as_deref(), Some("Ann"));
        assert_eq!(manifest.metadata.licenses.as_deref(), Some("MIT"));
    }

    #[test]
    fn what_would_have_no_effect_is_an_error_with_a_place() {
        for (text, wanted) in [
            (
                "[workspace]\nmembers = []\n",
                "wkg.toml:1:1: `workspace` is not supported",
            ),
            (
                "\n[overrides]\n\"a:b\" = {}\n",
                "wkg.toml:3:1: `overrides.\"a:b\"` says nothing",
            ),
            (
                "[overrides]\n\"a:b\" = {path = \"x\", version = \"1\"}\n",
                "no effect beside `path`",
            ),
            ("[overrides]\nab = {path = \"x\"}\n", "names no package"),
            ("[override]\n", "wkg.toml:1:2: unknown field `override`"),
            ("[metadata]\nauthors = 1\n", "wkg.toml:2:11:"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
