//! A library that we chose is in the tree once: two majors of it are two sets of types that do not
//! fit together, and twice the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Finding, Rule};

/// Libraries of `[workspace.dependencies]` that `Cargo.lock` holds in more than one major.
pub(super) fn check(manifest: &str, lock: &str) -> Vec<Finding> {
    let locked = locked(lock);
    let mut findings = Vec::new();
    for name in chosen(manifest) {
        let Some(versions) = locked.get(&name) else {
            continue;
        };
        let majors: BTreeSet<_> = versions.iter().map(|version| major(version)).collect();
        if majors.len() > 1 {
            let versions: Vec<_> = versions.iter().map(String::as_str).collect();
            let versions = versions.join(" and ");
            let message = format!(
                "{name} is in the tree as {versions}: agree on one (`cargo tree --invert {name}@…` says who brings which)"
            );
            findings.push(Finding {
                rule: Rule::Majors,
                path: PathBuf::from("Cargo.lock"),
                line: 0,
                key: name,
                message,
            });
        }
    }
    findings
}

/// The names in the table `[workspace.dependencies]`.
fn chosen(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            inside = header == "workspace.dependencies";
            names.extend(
                header
                    .strip_prefix("workspace.dependencies.")
                    .map(str::to_owned),
            );
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            names.extend(
                line.split_once('=')
                    .map(|(name, value)| package(name, value)),
            );
        }
    }
    names
}

/// The package behind a dependency: its own name, unless `package = "…"` says another.
fn package(name: &str, value: &str) -> String {
    let renamed = value
        .split_once("package = \"")
        .and_then(|(_, rest)| rest.split('"').next());
    renamed.unwrap_or_else(|| name.trim()).to_owned()
}

/// Every package of the lock file with its versions.
fn locked(lock: &str) -> BTreeMap<String, BTreeSet<String>> {
    let value = |line: &str, key: &str| {
        line.strip_prefix(key)?
            .strip_prefix(" = \"")?
            .strip_suffix('"')
            .map(str::to_owned)
    };
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut name = None;
    for line in lock.lines() {
        if let Some(found) = value(line, "name") {
            name = Some(found);
        } else if let Some(version) = value(line, "version")
            && let Some(name) = name.take()
        {
            packages.entry(name).or_default().insert(version);
        }
    }
    packages
}

/// What semantic versioning holds compatible: `1`, `0.12`, `0.0.3`.
fn major(version: &str) -> String {
    let mut parts = Vec::new();
    for part in version.split(['.', '-', '+']) {
        parts.push(part);
        if part != "0" {
            break;
        }
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace]\nmembers = []\n\n[workspace.dependencies]\nhyper = { version = \"1\", features = [\n    \"server\",\n] }\nyaml = { package = \"serde-yaml\", version = \"0.9\" }\n\n[profile.dev]\ndebug = 1\n";

    fn lock(packages: &[(&str, &str)]) -> String {
        let package = |(name, version): &(&str, &str)| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [\n \"name 1\",\n]\n"
            )
        };
        format!(
            "version = 4\n\n{}",
            packages.iter().map(package).collect::<String>()
        )
    }

    fn doubled(packages: &[(&str, &str)]) -> Vec<String> {
        check(MANIFEST, &lock(packages))
            .into_iter()
            .map(|finding| finding.key)
            .collect()
    }

    #[test]
    fn a_library_of_ours_in_two_majors_is_found() {
        assert_eq!(
            doubled(&[("hyper", "0.14.1"), ("hyper", "1.12.0")]),
            ["hyper"]
        );
        assert_eq!(
            doubled(&[("serde-yaml", "0.8.0"), ("serde-yaml", "0.9.1")]),
            ["serde-yaml"]
        );
    }

    #[test]
    fn one_major_or_a_library_of_others_is_fine() {
        assert!(doubled(&[("hyper", "1.11.0"), ("hyper", "1.12.0")]).is_empty());
        assert!(doubled(&[("syn", "1.0.0"), ("syn", "2.0.0"), ("hyper", "1.12.0")]).is_empty());
    }

    #[test]
    fn majors_follow_semantic_versioning() {
        let majors = ["1.2.3", "0.12.0", "0.0.3", "2.0.0-rc.1"].map(major);
        assert_eq!(majors, ["1", "0.12", "0.0.3", "2"]);
    }
}
