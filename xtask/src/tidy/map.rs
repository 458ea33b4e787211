//! Every crate and every top module of the library has a line in `ARCHITECTURE.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Finding, Rule};

/// The page with the map.
pub(super) const PAGE: &str = "ARCHITECTURE.md";

const SRC: &str = "crates/wasmcloud/src";

/// Places that the page does not show.
pub(super) fn check(page: &str, files: &BTreeSet<PathBuf>) -> Vec<Finding> {
    let missing = places(files)
        .into_iter()
        .filter(|place| !shows(page, place));
    missing
        .map(|place| {
            let place = place.display().to_string();
            let message =
                format!("`{place}` is not on the map: give it a line that says what it is for");
            Finding {
                rule: Rule::Map,
                path: PathBuf::from(PAGE),
                line: 0,
                key: place,
                message,
            }
        })
        .collect()
}

/// What the map must show: crates of the workspace, and top modules of the library.
fn places(files: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let mut places = BTreeSet::new();
    for file in files {
        let is_manifest = file.file_name().is_some_and(|name| name == "Cargo.toml");
        let folder = file.parent().unwrap_or(Path::new(""));
        let is_ours = folder.starts_with("xtask") || folder.parent() == Some(Path::new("crates"));
        if is_manifest && is_ours {
            places.insert(folder.to_owned());
        }
        let top = file
            .strip_prefix(SRC)
            .ok()
            .and_then(|inside| inside.iter().next());
        if let Some(top) = top.filter(|top| *top != "lib.rs") {
            places.insert(Path::new(SRC).join(top));
        }
    }
    places
}

/// Whether the page names the place in backticks, a folder with its slash or without.
fn shows(page: &str, place: &Path) -> bool {
    let place = place.display();
    page.contains(&format!("`{place}`")) || page.contains(&format!("`{place}/`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(page: &str) -> Vec<String> {
        let files = [
            "Cargo.toml",
            "crates/wash/Cargo.toml",
            "crates/wasmcloud/src/engine/plan.rs",
            "crates/wasmcloud/src/lib.rs",
            "crates/wasmcloud/src/main.rs",
            "crates/wasmcloud/tests/guests/hello/Cargo.toml",
            "xtask/bench/Cargo.toml",
        ];
        let files = files.iter().map(PathBuf::from).collect();
        check(page, &files)
            .into_iter()
            .map(|finding| finding.key)
            .collect()
    }

    #[test]
    fn what_is_not_on_the_map_is_found() {
        let page = "`crates/wash/` `crates/wasmcloud/src/main.rs`";
        assert_eq!(
            missing(page),
            ["crates/wasmcloud/src/engine", "xtask/bench"]
        );
    }

    #[test]
    fn a_full_map_is_fine() {
        let page = "`crates/wash` `crates/wasmcloud/src/engine/` `crates/wasmcloud/src/main.rs` `xtask/bench/`";
        assert!(missing(page).is_empty());
    }
}
