//! Workloads in files.

use std::path::{Path, PathBuf};

use crate::host::{StartError, StartRequest};
use crate::workload::{Diagnostic, Diagnostics, Locations, WorkloadId, manifest};

/// A workload that a file describes.
#[derive(Clone, Debug)]
pub struct FileWorkload {
    /// What to start. Its id is made of its namespace and name, so a file that is read again gives the same ids.
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

/// Reads the workloads of some files. Relative images in them begin at the folder of their file.
///
/// # Errors
/// With everything that is wrong with any of the files, and where two of them describe the same workload.
pub fn load(paths: &[PathBuf]) -> Result<Vec<FileWorkload>, Diagnostics> {
    let mut workloads: Vec<FileWorkload> = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match read(path) {
            Ok(read) => {
                for workload in read {
                    match twin(&workloads, &workload) {
                        Some(twin) => problems.push(twin),
                        None => workloads.push(workload),
                    }
                }
            }
            Err(Diagnostics(found)) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(workloads)
    } else {
        Err(Diagnostics(problems))
    }
}

fn read(path: &Path) -> Result<Vec<FileWorkload>, Diagnostics> {
    let problem = |message: String| Diagnostics(vec![Diagnostic::new(message).in_file(path)]);
    let bytes = std::fs::read(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let text =
        String::from_utf8(bytes).map_err(|_| problem("this is no text in UTF-8".to_owned()))?;
    let base = std::path::absolute(path)
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned))
        .unwrap_or_default();
    let manifests = manifest::parse(&text, path)?;
    manifests
        .into_iter()
        .map(|manifest| {
            let id = format!("{}.{}", manifest.workload.namespace, manifest.workload.name);
            let id: WorkloadId = id.parse().map_err(|error| problem(format!("{error}")))?;
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

fn twin(known: &[FileWorkload], workload: &FileWorkload) -> Option<Diagnostic> {
    let twin = known
        .iter()
        .find(|known| known.request.id == workload.request.id)?;
    let message = format!(
        "workload `{}` of namespace `{}` is also in {}",
        workload.request.workload.name,
        workload.request.workload.namespace,
        twin.locations.file().display()
    );
    Some(workload.locations.diagnostic(
        "metadata.name",
        message,
        Some("give one of them another name".to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
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
        let loaded = load(&[path]).unwrap();
        let ids: Vec<&str> = loaded
            .iter()
            .map(|workload| workload.request.id.as_str())
            .collect();
        assert_eq!(ids, ["default.one", "default.two"]);
        assert!(
            loaded
                .iter()
                .all(|workload| workload.request.base == dir.path())
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let paths = [
            file("a.yaml", manifest("one").as_bytes()),
            file("b.yaml", manifest("one").as_bytes()),
            file("c.yaml", b"\xff"),
            dir.path().join("none.yaml"),
        ];
        let told = load(&paths).unwrap_err().to_string();
        for part in [
            "b.yaml:3:",
            "is also in",
            "a.yaml",
            "c.yaml: this is no text",
            "none.yaml: cannot be read",
        ] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
    }
}
