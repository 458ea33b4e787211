//! What is to run, and where it was written down.

use std::fs;
use std::path::{Path, PathBuf};

use wasmcloud::engine::plan::PlanErrors;
use wasmcloud::host::StartError;
use wasmcloud::workload::{Diagnostic, Locations, Workload, manifest};

use crate::failure::Failure;

/// A workload to run.
#[derive(Clone, Debug)]
pub(crate) struct ToRun {
    pub(crate) workload: Workload,
    /// Where relative image paths begin.
    pub(crate) base: PathBuf,
    /// Where its parts stand in its manifest, if it has one.
    pub(crate) locations: Option<Locations>,
}

/// The workloads of a manifest.
pub(crate) fn of_manifest(path: &Path) -> Result<Vec<ToRun>, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::io("cannot read", path.display(), &error))?;
    let base = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let manifests = manifest::parse(&text, path)?;
    let to_run = |manifest: manifest::Manifest| ToRun {
        workload: manifest.workload,
        base: base.to_owned(),
        locations: Some(manifest.locations),
    };
    Ok(manifests.into_iter().map(to_run).collect())
}

impl ToRun {
    /// A problem at a place of the manifest, with an excerpt where there is a manifest.
    pub(crate) fn problem(&self, path: &str, message: String, hint: Option<String>) -> Diagnostic {
        match &self.locations {
            Some(locations) => locations.diagnostic(path, message, hint),
            None => {
                let mut problem = Diagnostic::new(message);
                problem.hint = hint;
                problem
            }
        }
    }

    /// Why its links do not work out, at the places to blame.
    pub(crate) fn plan_problems(&self, errors: &PlanErrors) -> Vec<Diagnostic> {
        errors
            .0
            .iter()
            .map(|problem| self.problem(&problem.path(), problem.to_string(), problem.hint()))
            .collect()
    }

    /// Why it did not start, at the places to blame.
    pub(crate) fn start_problems(&self, error: &StartError) -> Failure {
        let places = error.places();
        if places.is_empty() {
            return Failure::new(error.to_string());
        }
        let problems = places.into_iter().map(|place| {
            let hint = place.hint.or_else(|| self.hint_for(error));
            self.problem(&place.path, place.message, hint)
        });
        problems.collect::<Vec<_>>().into()
    }

    /// What the library cannot know: how components come into being.
    fn hint_for(&self, error: &StartError) -> Option<String> {
        use wasmcloud::artifact::FetchErrorKind::NotFound;
        match error {
            StartError::Fetch { source, .. } if matches!(source.kind, NotFound) => {
                Some(MISSING.to_owned())
            }
            _ => None,
        }
    }
}

/// What to do when the file of a component is not there.
pub(crate) const MISSING: &str = "paths begin at the folder of the manifest; `wash build` puts components into its folder `build`";
