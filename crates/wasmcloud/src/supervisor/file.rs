//! Workloads in files.

use std::path::Path;

use crate::artifact::{Digest, FetchErrorKind, Files};
use crate::host::{StartError, StartRequest};
use crate::workload::{
    Diagnostic, Diagnostics, Locations, MAX_BYTES, NameError, Workload, WorkloadId, manifest,
};

/// A workload that a file describes.
#[derive(Clone, Debug)]
pub struct FileWorkload {
    /// What to start. Its id is `NAMESPACE:NAME`, or a digest of that where it is too long for an id: a file that is read
    /// again gives the same ids.
    pub request: StartRequest,
    /// Where its parts stand in the file.
    pub locations: Locations,
}

impl FileWorkload {
    /// Points into the file for a start that failed.
    #[must_use]
    pub fn explain(&self, error: &StartError) -> Diagnostics {
        let places = error.places();
        Diagnostics(
            places
                .into_iter()
                .map(|place| {
                    self.locations
                        .diagnostic(&place.path, place.message, place.hint)
                })
                .collect(),
        )
    }
}

/// Reads the workloads of a file. Relative images in it begin at its folder.
///
/// # Errors
/// With everything that is wrong with the file.
pub(super) fn read(path: &Path) -> Result<Vec<FileWorkload>, Diagnostics> {
    let limit = MAX_BYTES as u64;
    let bytes = Files { limit }
        .read_now(path)
        .map_err(|error| unreadable(&error).in_file(path))?;
    parse(&bytes, path)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<FileWorkload>, Diagnostics> {
    let problem = |message: String| Diagnostics(vec![Diagnostic::new(message).in_file(path)]);
    let text =
        std::str::from_utf8(bytes).map_err(|_| problem("this is no text in UTF-8".to_owned()))?;
    let base = std::path::absolute(path)
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned))
        .unwrap_or_default();
    let manifests = manifest::parse(text, path)?;
    manifests
        .into_iter()
        .map(|manifest| {
            let id = id_of(&manifest.workload).map_err(|error| problem(error.to_string()))?;
            let request = StartRequest {
                id,
                workload: manifest.workload,
                base: base.clone(),
                replaces: None,
            };
            Ok(FileWorkload {
                request,
                locations: manifest.locations,
            })
        })
        .collect()
}

fn unreadable(error: &FetchErrorKind) -> Diagnostic {
    let hint = match error {
        FetchErrorKind::NotFound => "check the path; it begins at the current folder",
        FetchErrorKind::NotAFile => {
            "name a workload file, such as `./workload.yaml`, or a folder of them"
        }
        FetchErrorKind::TooLarge { .. } => "name a workload file, YAML or JSON",
        FetchErrorKind::Unsupported(_)
        | FetchErrorKind::Registry { .. }
        | FetchErrorKind::Io(_) => "check the access to it",
    };
    Diagnostic::new(format!("cannot be read: {error}")).with_hint(hint)
}

/// Names have no `:`, so no two pairs have the same id; a bare digest has none either.
fn id_of(workload: &Workload) -> Result<WorkloadId, NameError> {
    let id = format!("{}:{}", workload.namespace, workload.name);
    id.parse().or_else(|_| {
        let digest = Digest::of(id.as_bytes()).to_string();
        digest.trim_start_matches("sha256:").parse()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::collections::BTreeSet;

    use super::*;

    fn manifest(name: &str) -> String {
        format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\nspec:\n  components:\n    - {{ name: main, image: ./main.wasm }}\n"
        )
    }

    #[test]
    fn files_give_workloads_with_stable_ids_and_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        std::fs::write(
            &path,
            format!("{}---\n{}", manifest("one"), manifest("two")),
        )
        .unwrap();
        let loaded = read(&path).unwrap();
        let ids: Vec<&str> = loaded
            .iter()
            .map(|workload| workload.request.id.as_str())
            .collect();
        assert_eq!(ids, ["default:one", "default:two"]);
        assert!(
            loaded
                .iter()
                .all(|workload| workload.request.base == dir.path())
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        for (path, told) in [
            (file("c.yaml", b"\xff"), "c.yaml: this is no text in UTF-8"),
            (
                file("large.yaml", &vec![b' '; MAX_BYTES + 1]),
                "large.yaml: cannot be read: it has 1048577 bytes",
            ),
            (
                dir.path().join("none.yaml"),
                "none.yaml: cannot be read: there is no such file\nhint: check the path",
            ),
            (
                dir.path().to_owned(),
                ": cannot be read: it is not a regular file\nhint: name a workload file",
            ),
        ] {
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(told), "{told} is missing in\n{error}");
        }
    }

    #[test]
    fn different_names_have_different_ids_however_long_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let long = "x".repeat(253);
        let pairs = [("a.b", "c"), ("a", "b.c"), (&*long, "c"), ("c", &*long)];
        let texts = pairs.map(|(namespace, name)| {
            manifest(name).replace(
                "metadata: {",
                &format!("metadata: {{ namespace: {namespace},"),
            )
        });
        std::fs::write(&path, texts.join("---\n")).unwrap();
        let loaded = read(&path).unwrap();
        let ids: BTreeSet<&str> = loaded.iter().map(|it| it.request.id.as_str()).collect();
        assert_eq!(ids.len(), pairs.len(), "{ids:?}");
        assert!(ids.contains("a.b:c") && ids.contains("a:b.c"), "{ids:?}");
        let digests = ids.iter().filter(|id| id.len() == 64 && !id.contains(':'));
        assert_eq!(digests.count(), 2, "{ids:?}");
    }
}
