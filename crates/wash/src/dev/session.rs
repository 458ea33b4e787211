//! The loop of `wash dev`: what changed decides whether to build, and what was built is served.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::{Duration, Instant};
use wasmcloud::artifact::Fetch;
use wasmcloud::workload::Image;

use super::events::{Event, Reporter, Stage, plans};
use super::grants;
use super::serving::Serving;
use super::watch::{Changes, Watch};
use crate::build::{self, OUTPUT};
use crate::failure::Failure;
use crate::project::{self, Built, Project, Recipe, ToRun};
use crate::ui::{Ui, duration};

/// How often the same files may change during one build after the other before they are taken for its output.
const ECHOES: u32 = 5;

/// How late the news of a change may come.
const LAG: Duration = Duration::from_millis(100);

/// Files that changed while a build ran, and during how many builds in a row.
#[derive(Debug, Default)]
struct Echo {
    files: BTreeSet<PathBuf>,
    times: u32,
}

impl Echo {
    /// Counts, and says whether the files belong to the build: then building again would never end.
    fn is_output(&mut self, changes: &Changes, build_ended: Instant) -> bool {
        if changes.since > build_ended + LAG {
            *self = Self::default();
            return false;
        }
        if self.files == changes.files {
            self.times += 1;
        } else {
            *self = Self {
                files: changes.files.clone(),
                times: 1,
            };
        }
        self.times >= ECHOES
    }
}

/// A project that is served while it is worked on.
pub(super) struct Session {
    project: Project,
    recipe: Recipe,
    profile: String,
    ui: Ui,
    reporter: Reporter,
    serving: Serving,
    /// Where components come from that the configuration names.
    source: Arc<dyn Fetch>,
    watch: Watch,
    http: SocketAddr,
    /// What the last good build made.
    built: Option<Vec<Built>>,
    /// Whether everything has run once.
    ready: bool,
    /// The plans that were printed last.
    plans: String,
    /// When the last build ended, and what changed while builds ran.
    build_ended: Instant,
    echo: Echo,
    /// What a workload without a manifest was granted when it was printed.
    printed: Option<String>,
}

impl Session {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by the function that makes all of them"
    )]
    pub(super) fn new(
        project: Project,
        recipe: Recipe,
        profile: String,
        ui: Ui,
        reporter: Reporter,
        serving: Serving,
        source: Arc<dyn Fetch>,
        watch: Watch,
        http: SocketAddr,
    ) -> Self {
        Self {
            project,
            recipe,
            profile,
            ui,
            reporter,
            serving,
            source,
            watch,
            http,
            built: None,
            ready: false,
            plans: String::new(),
            build_ended: Instant::now(),
            echo: Echo::default(),
            printed: None,
        }
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

    async fn react(&mut self, changes: &Changes) -> Result<(), Failure> {
        let changed = &changes.files;
        if self.echo.is_output(changes, self.build_ended) {
            let names = self.names(changed).join(", ");
            self.reporter.talk(format!(
                "warning: every build writes {names}; changes there are left out from now on"
            ));
            self.watch.leave_out(changed);
            return Ok(());
        }
        let since = Instant::now();
        let manifests =
            ["workload.yaml", "workload.yml", "workload.json"].map(|name| self.inside(name));
        let settings = changed
            .iter()
            .any(|path| manifests.contains(path) || path.parent() == Some(&self.inside(".wash")));
        if settings && let Err(failure) = self.reopen() {
            self.reporter.failed(Stage::Manifest, &failure);
            return Ok(());
        }
        let images = self.images();
        if changed
            .iter()
            .all(|path| manifests.contains(path) || images.contains(path))
            && self.built.is_some()
        {
            self.serve(since).await;
            return Ok(());
        }
        let names = self.names(changed);
        let text = format!("\nchanged: {}", names.join(", "));
        self.reporter
            .event(&Event::Rebuilding { changed: names }, || Some(text));
        self.rebuild().await
    }

    /// Files the way people name them.
    fn names(&self, files: &BTreeSet<PathBuf>) -> Vec<String> {
        let root = self.inside("");
        let names = files.iter().map(|path| {
            path.strip_prefix(&root)
                .unwrap_or(path)
                .display()
                .to_string()
        });
        names.collect()
    }

    /// Reads the settings of the project again.
    fn reopen(&mut self) -> Result<(), Failure> {
        let project = Project::open(&self.project.dir)?;
        self.recipe = project.recipe(true)?;
        let (before, now) = (&self.project.config, &project.config);
        let changed = [
            ("dev.address", before.address != now.address),
            ("dev.volumes", before.volumes != now.volumes),
            ("dev.allow_egress", before.allow_egress != now.allow_egress),
            ("dev.host_plugins", before.host_plugins != now.host_plugins),
            ("dev.postgres_url", before.postgres_url != now.postgres_url),
            ("images", before.images != now.images),
        ];
        for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
            self.reporter.talk(format!(
                "warning: a new `{key}` counts when `wash dev` is started again"
            ));
        }
        self.project = project;
        Ok(())
    }

    /// Builds and serves. Fails only if no change of a source could help.
    async fn rebuild(&mut self) -> Result<(), Failure> {
        // A first build may take minutes; what is wrong with the manifest need not wait for it.
        if self.built.is_none()
            && let Some(manifest) = &self.project.manifest
            && let Err(failure) = project::of_manifest(manifest)
        {
            self.reporter.failed(Stage::Manifest, &failure);
            return Ok(());
        }
        let outcome = build::build(&self.project, &self.recipe, &self.profile, &self.ui).await;
        self.build_ended = Instant::now();
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
        let wanted = match self.wanted().await {
            Ok(wanted) => wanted,
            Err(failure) => return self.reporter.failed(Stage::Manifest, &failure),
        };
        self.watch.follow(self.images_of(&wanted));
        // Later, requests are told on the same terminal.
        let progress = (!self.ready).then(|| self.ui.progress("starting"));
        let served = self.serving.serve(&wanted).await;
        drop(progress);
        self.tell_served(served, &wanted, since);
        self.serving.follow().await;
    }

    fn tell_served(&mut self, served: Result<bool, Failure>, wanted: &[ToRun], since: Instant) {
        match served {
            Ok(_) if !self.ready => self.tell_ready(wanted),
            Ok(true) => self.tell_reloaded(since),
            Ok(false) => self.reporter.event(&Event::Unchanged, || {
                Some("nothing changed in what is served".to_owned())
            }),
            Err(failure) => self.reporter.failed(Stage::Start, &failure),
        }
    }

    /// What should run: the manifest says, or it follows from what was built.
    async fn wanted(&self) -> Result<Vec<ToRun>, Failure> {
        let project = &self.project;
        if let Some(manifest) = &project.manifest {
            return project::of_manifest(manifest);
        }
        let named = project::worlds(project, Some(self.source.as_ref())).await?;
        let built = self.built.as_deref().unwrap_or_default();
        let offers = &self.serving.offers;
        Ok(vec![project::derive(project, built, offers, &named)?])
    }

    fn tell_ready(&mut self, wanted: &[ToRun]) {
        self.ready = true;
        let ready = Event::Ready {
            http: self.http.to_string(),
            plan: plans(self.serving.plans_json()),
        };
        self.tell_grants(wanted);
        self.plans = self.serving.plans_text();
        self.reporter.event(&ready, || {
            Some(format!("{}\n\nserving http://{}/", self.plans, self.http))
        });
    }

    fn tell_reloaded(&mut self, since: Instant) {
        let taken = since.elapsed();
        let before = std::mem::replace(&mut self.plans, self.serving.plans_text());
        let millis = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
        self.reporter.event(&Event::Reloaded { millis }, || {
            let plan = if self.plans == before {
                String::new()
            } else {
                format!("{}\n\n", self.plans)
            };
            Some(format!("{plan}reloaded in {}", duration(taken)))
        });
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
        let root = self
            .project
            .dir
            .canonicalize()
            .unwrap_or_else(|_| self.project.dir.clone());
        if name.is_empty() {
            root
        } else {
            root.join(name)
        }
    }

    /// The components that are followed because no build makes them.
    fn images(&self) -> BTreeSet<PathBuf> {
        self.watch.followed().clone()
    }

    /// Components of these workloads that no build makes.
    fn images_of(&self, wanted: &[ToRun]) -> BTreeSet<PathBuf> {
        let files = wanted.iter().flat_map(|to_run| {
            to_run
                .workload
                .parts()
                .map(|component| component.image.resolve(&to_run.base))
        });
        let files = files.filter_map(|image| match image {
            Image::File(path) => Some(absolute(&path)),
            Image::Registry(_) => None,
        });
        let made: Vec<PathBuf> = self
            .built
            .iter()
            .flatten()
            .map(|one| absolute(&self.project.path(&one.path)))
            .collect();
        let output = self.inside(OUTPUT);
        let is_made = |file: &PathBuf| {
            made.contains(file) || (self.recipe == Recipe::Cargo && file.starts_with(&output))
        };
        files.filter(|file| !is_made(file)).collect()
    }
}

/// A path the way the watcher names it: its folder without links, and the file's own name.
fn absolute(path: &Path) -> PathBuf {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
