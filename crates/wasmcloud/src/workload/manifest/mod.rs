//! Reads manifests: YAML or JSON in, validated workloads or diagnostics out, and back to JSON.
//!
//! The shape is that of the Kubernetes resource `Workload` in `runtime.wasmcloud.dev/v1alpha1`, with
//! `spec.links` beside it. What a host could only ignore is refused.

mod checker;
mod components;
mod document;
mod interfaces;
mod links;
mod ports;
mod print;
mod raw;
mod schedules;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::model::Workload;
use super::support::unsupported;
use super::yaml;

/// The only API version that is read.
pub const API_VERSION: &str = "runtime.wasmcloud.dev/v1alpha1";

/// How many errors are told at once.
const MOST_ERRORS: usize = 100;

/// One workload of a manifest file, and where its parts stand in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The workload.
    pub workload: Workload,
    /// Where its parts stand, for errors that only show later.
    pub locations: Locations,
}

/// Where the parts of a document stand in its file.
///
/// Paths are like `spec.components.api.poolSize` (components by name), `spec.links.0`, `spec.service`.
#[derive(Clone, PartialEq, Eq)]
pub struct Locations {
    file: Arc<Path>,
    source: Arc<str>,
    places: BTreeMap<String, (u32, u32)>,
}

impl Locations {
    /// Line and column of a path, or else of the nearest part around it. Both count from 1.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<(u32, u32)> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = path.rsplit_once('.').map_or("", |(parent, _)| parent);
            if path.is_empty() {
                return self.places.get("").copied();
            }
        }
    }

    /// An error that points at a path of this file.
    #[must_use]
    pub fn diagnostic(
        &self,
        path: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Diagnostic {
        self.at(self.find(path), message.into(), hint)
    }

    /// The file, as it was named when it was read.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn at(&self, place: Option<(u32, u32)>, message: String, hint: Option<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(message)
            .in_file(Arc::clone(&self.file))
            .with_source(Arc::clone(&self.source));
        diagnostic.hint = hint;
        match place {
            Some((line, column)) => diagnostic.at(line, column),
            None => diagnostic,
        }
    }
}

impl fmt::Debug for Locations {
    /// Leaves the text of the file out: it is long, and may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locations")
            .field("file", &self.file)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// Reads every workload of a manifest: YAML or JSON, one or more documents. `file` is for messages.
///
/// # Errors
/// Everything that is wrong with the file, in its order: broken syntax, unknown fields, values that
/// cannot be, and what this version does not run yet.
pub fn parse(text: &str, file: &Path) -> Result<Vec<Manifest>, Diagnostics> {
    let (manifests, mut errors) = read(text, file);
    for manifest in &manifests {
        let missing = unsupported(&manifest.workload).into_iter();
        errors.extend(missing.map(|missing| {
            manifest
                .locations
                .diagnostic(&missing.path, missing.message, Some(missing.hint))
        }));
    }
    errors.sort_by_key(|error| (error.line, error.column));
    let more = errors.len().saturating_sub(MOST_ERRORS);
    if more > 0 {
        errors.truncate(MOST_ERRORS);
        errors.push(Diagnostic::new(format!("and {more} more errors")).in_file(file));
    }
    if errors.is_empty() {
        Ok(manifests)
    } else {
        Err(Diagnostics(errors))
    }
}

/// Reads and checks, without asking whether this version can run it.
fn read(text: &str, file: &Path) -> (Vec<Manifest>, Vec<Diagnostic>) {
    let file: Arc<Path> = file.into();
    if let Err(error) = yaml::check_size(text, &file) {
        return (Vec::new(), vec![error]);
    }
    let source = yaml::source_of(text);
    let (manifests, mut errors) = document::read_all(&file, &source);
    errors.extend(repeated(&manifests));
    if manifests.is_empty() && errors.is_empty() {
        let message = "the file holds no workload";
        let hint =
            format!("a workload begins with `apiVersion: {API_VERSION}` and `kind: Workload`");
        errors.push(Diagnostic::new(message).in_file(file).with_hint(hint));
    }
    (manifests, errors)
}

/// Two documents for the same workload: the second one is an error that names the first.
fn repeated(manifests: &[Manifest]) -> Vec<Diagnostic> {
    let mut seen = BTreeMap::new();
    let mut errors = Vec::new();
    for Manifest {
        workload,
        locations,
    } in manifests
    {
        let key = (&workload.namespace, &workload.name);
        let here = locations.find("metadata.name");
        match seen.get(&key) {
            None => drop(seen.insert(key, here)),
            Some(first) => {
                let first = first.map_or_else(String::new, |(l, c)| format!(" at {l}:{c}"));
                let (namespace, name) = key;
                let message = format!("the workload `{namespace}/{name}` is already there{first}");
                errors.push(locations.at(here, message, None));
            }
        }
    }
    errors
}
