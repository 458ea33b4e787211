//! What is to run, and where it was written down.

use std::fs;
use std::path::{Path, PathBuf};

use wasmcloud::engine::plan::{PlanErrors, Problem};
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
            .map(|problem| {
                let hint = self.choose(problem).or_else(|| problem.hint());
                self.problem(&problem.path(), problem.to_string(), hint)
            })
            .collect()
    }

    /// How to choose between components where there is no manifest to do so in.
    fn choose(&self, problem: &Problem) -> Option<String> {
        let ambiguous = matches!(
            problem,
            Problem::Ambiguous { .. } | Problem::AmbiguousEntry { .. }
        );
        let hint = problem
            .hint()
            .filter(|_| ambiguous && self.locations.is_none())?;
        Some(format!(
            "write a workload.yaml, which says what runs and who answers whom. There, {hint}"
        ))
    }

    /// Why it did not start, at the places to blame.
    pub(crate) fn start_problems(&self, error: &StartError) -> Vec<Diagnostic> {
        if let StartError::Plan(errors) = error {
            return self.plan_problems(errors);
        }
        let places = error.places();
        if places.is_empty() {
            return vec![Diagnostic::new(error.to_string())];
        }
        let problems = places.into_iter().map(|place| {
            let hint =
                hint_for(error).or_else(|| place.hint.map(|hint| allowing(&place.path, hint)));
            self.problem(&place.path, place.message, hint)
        });
        problems.collect()
    }
}

/// What the library cannot know: how components come into being.
fn hint_for(error: &StartError) -> Option<String> {
    use wasmcloud::artifact::FetchErrorKind::NotFound;
    match error {
        StartError::Fetch { source, .. } if matches!(source.kind, NotFound) => {
            Some(MISSING.to_owned())
        }
        _ => None,
    }
}

/// What to do about a folder, with how it is allowed here.
fn allowing(path: &str, hint: String) -> String {
    if path.ends_with(".hostPath.path") {
        format!("{hint} (`wash dev` allows folders with `--allow-folder`)")
    } else {
        hint
    }
}

/// What to do when the file of a component is not there.
pub(crate) const MISSING: &str = "paths begin at the folder of the manifest; `wash build` puts components into its folder `build`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_manifest_one_is_to_be_written_to_choose() {
        let text = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: shop}\n\
                    spec: {components: [{name: a, image: ./a.wasm}, {name: b, image: ./b.wasm}]}\n";
        let parsed = manifest::parse(text, Path::new("w.yaml"))
            .unwrap()
            .remove(0);
        let mut to_run = ToRun {
            workload: parsed.workload,
            base: PathBuf::new(),
            locations: Some(parsed.locations),
        };
        let export: wasmcloud::workload::Interface =
            "wasi:http/incoming-handler@0.2.2".parse().unwrap();
        let errors = PlanErrors(vec![Problem::AmbiguousEntry {
            exports: vec![export.clone()],
            candidates: ["a", "b"]
                .map(|name| (name.parse().unwrap(), export.clone()))
                .to_vec(),
        }]);
        let hint = |to_run: &ToRun| to_run.plan_problems(&errors).remove(0).hint.unwrap();
        assert!(hint(&to_run).starts_with("say under `links:`"));
        to_run.locations = None;
        let hint = hint(&to_run);
        assert!(
            hint.starts_with("write a workload.yaml") && hint.contains("links:"),
            "{hint}"
        );
    }
}
