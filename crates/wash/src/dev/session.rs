//! The loop of `wash dev`: what changed decides whether to build, and what was built is served.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmcloud::workload::Image;

use super::events::{Event, Reporter, Stage, plans};
use super::grants;
use super::serving::Serving;
use super::watch::Watch;
use crate::build::{self, OUTPUT};
use crate::failure::Failure;
use crate::project::{self, Built, Project, Recipe, ToRun};
use crate::ui::{Ui, duration};

/// A project that is served while it is worked on.
pub(super) struct Session {
    project: Project,
    recipe: Recipe,
    profile: String,
    ui: Ui,
    reporter: Reporter,
    serving: Serving,
    watch: Watch,
    http: SocketAddr,
    /// What the last good build made.
    built: Option<Vec<Built>>,
    /// Whether everything has run once.
    ready: bool,
    /// What a workload without a manifest was granted when it was printed.
    printed: Option<String>,
}

impl Session {
    #[expect(clippy::too_many_arguments, reason = "called once, by the function that makes all of them")]
    pub(super) fn new(
        project: Project,
        recipe: Recipe,
        profile: String,
        ui: Ui,
        reporter: Reporter,
        serving: Serving,
        watch: Watch,
        http: SocketAddr,
    ) -> Self {
        Self { project, recipe, profile, ui, reporter, serving, watch, http, built: None, ready: false, printed: None }
    }

    /// Builds and serves until the future is dropped. Returns only when no change of a source could help.
    pub(super) async fn run(&mut self) -> Failure {
        if let Err(failure) = self.rebuild().await {
            return failure;
        }
        loop {
            let changed = self.watch.changed().await;
            if let Err(failure) = self.react(&changed).await {
                return failure;
            }
        }
    }

    async fn react(&mut self, changed: &BTreeSet<PathBuf>) -> Result<(), Failure> {
        let since = Instant::now();
        let manifests = ["workload.yaml", "workload.yml", "workload.json"].map(|name| self.inside(name));
        let settings = changed.iter().any(|path| manifests.contains(path) || path.parent() == Some(&self.inside(".wash")));
        if settings && let Err(failure) = self.reopen() {
            self.reporter.failed(Stage::Manifest, &failure);
            return Ok(());
        }
        let images = self.images();
        if changed.iter().all(|path| manifests.contains(path) || images.contains(path)) && self.built.is_some() {
            self.serve(since).await;
            return Ok(());
        }
        let root = self.inside("");
        let names = changed.iter().map(|path| path.strip_prefix(&root).unwrap_or(path).display().to_string());
        let names: Vec<String> = names.collect();
        let text = format!("\nchanged: {}", names.join(", "));
        self.reporter.event(&Event::Rebuilding { changed: names }, || Some(text));
        self.rebuild().await
    }

    /// Reads the settings of the project again.
    fn reopen(&mut self) -> Result<(), Failure> {
        let project = Project::open(&self.project.dir)?;
        self.recipe = project.recipe(true)?;
        self.project = project;
        Ok(())
    }

    /// Builds and serves. Fails only if no change of a source could help.
    async fn rebuild(&mut self) -> Result<(), Failure> {
        let outcome = build::build(&self.project, &self.recipe, &self.profile, &self.ui).await;
        // Cargo writes it, and writing it is no reason to build again.
        self.watch.accept([self.inside("Cargo.lock")].into());
        match outcome {
            Ok(outcome) => {
                self.built = Some(outcome.components);
                self.serve(outcome.compiled).await;
                Ok(())
            }
            Err(error) if error.hopeless => Err(error.failure),
            Err(error) => {
                self.reporter.failed(Stage::Build, &error.failure);
                Ok(())
            }
        }
    }

    /// Serves what was built and what the manifest says. `since` is when it was there to be served.
    async fn serve(&mut self, since: Instant) {
        let wanted = match self.wanted() {
            Ok(wanted) => wanted,
            Err(failure) => return self.reporter.failed(Stage::Manifest, &failure),
        };
        self.watch.follow(self.images_of(&wanted));
        let progress = self.ui.progress("starting");
        let served = self.serving.serve(&wanted).await;
        drop(progress);
        match served {
            Ok(()) if self.ready => self.tell_reloaded(since),
            Ok(()) => self.tell_ready(&wanted),
            Err(failure) => self.reporter.failed(Stage::Start, &failure),
        }
    }

    /// What should run: the manifest says, or it follows from what was built.
    fn wanted(&self) -> Result<Vec<ToRun>, Failure> {
        match &self.project.manifest {
            Some(manifest) => project::of_manifest(manifest),
            None => Ok(vec![project::derive(&self.project, self.built.as_deref().unwrap_or_default(), &self.serving.offers)?]),
        }
    }

    fn tell_ready(&mut self, wanted: &[ToRun]) {
        self.ready = true;
        let ready = Event::Ready { http: self.http.to_string(), plan: plans(self.serving.plans_json()) };
        self.tell_grants(wanted);
        self.reporter.event(&ready, || Some(format!("{}\n\nserving http://{}/", self.serving.plans_text(), self.http)));
    }

    fn tell_reloaded(&self, since: Instant) {
        let taken = since.elapsed();
        let millis = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
        self.reporter.event(&Event::Reloaded { millis }, || Some(format!("reloaded in {}", duration(taken))));
    }

    /// Shows what a workload without a manifest was granted.
    fn tell_grants(&mut self, wanted: &[ToRun]) {
        let derived = wanted.iter().find(|to_run| to_run.locations.is_none());
        let grants = derived.and_then(|to_run| grants::to_paste(&to_run.workload));
        if grants.is_some() && grants != self.printed {
            let text = grants.clone().unwrap_or_default();
            self.reporter.talk(format!("granted, as there is no workload.yaml; to write one, begin its `spec` with\n\n{text}\n"));
            self.printed = grants;
        }
    }

    /// A path of the project, the way the watcher names it.
    fn inside(&self, name: &str) -> PathBuf {
        let root = self.project.dir.canonicalize().unwrap_or_else(|_| self.project.dir.clone());
        if name.is_empty() { root } else { root.join(name) }
    }

    /// The components that are followed because no build makes them.
    fn images(&self) -> BTreeSet<PathBuf> {
        self.watch.followed().clone()
    }

    /// Components of these workloads that no build makes.
    fn images_of(&self, wanted: &[ToRun]) -> BTreeSet<PathBuf> {
        let files = wanted.iter().flat_map(|to_run| to_run.workload.components.iter().map(|component| component.image.resolve(&to_run.base)));
        let files = files.filter_map(|image| match image {
            Image::File(path) => Some(absolute(&path)),
            Image::Registry(_) => None,
        });
        let made: Vec<PathBuf> = self.built.iter().flatten().map(|one| absolute(&self.project.path(&one.path))).collect();
        let output = self.inside(OUTPUT);
        let is_made = |file: &PathBuf| made.contains(file) || (self.recipe == Recipe::Cargo && file.starts_with(&output));
        files.filter(|file| !is_made(file)).collect()
    }
}

/// A path the way the watcher names it: its folder without links, and the file's own name.
fn absolute(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
