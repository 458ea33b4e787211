//! Follows workload files: looks, decides, and has the host do it, so that nothing that works is given up for something that does
//! not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::look::{Look, Sources, Versioned};
use super::news::{News, Summary};
use super::places::places;
use super::reconcile::{Action, Desired, Failed, Known, Running, reconcile};
use super::watch::Watch;
use crate::artifact::Digest;
use crate::host::{Host, StartError, StartRequest};
use crate::workload::{Diagnostic, Diagnostics, WorkloadId};

/// How often everything is looked at though nothing was noticed: not every file system tells of changes.
const ROUND: Duration = Duration::from_secs(30);
/// How soon is looked again when a file is away for a moment, or changes while it is read.
const SOON: Duration = Duration::from_millis(550);

/// A workload on the host.
#[derive(Debug, Default)]
struct Entry {
    known: Known,
    /// The id under which the host runs it.
    host_id: Option<WorkloadId>,
    compiled: bool,
    /// What was said about its last failure.
    said: Option<String>,
    /// How often it was started, for ids that were never used.
    starts: u64,
}

type Tell = Box<dyn Fn(News) + Send + Sync>;

/// Has a host run what some files say, now and whenever they change.
pub struct Follower {
    host: Arc<dyn Host>,
    sources: Arc<Mutex<Sources>>,
    tell: Tell,
    entries: BTreeMap<WorkloadId, Entry>,
    /// What was said about files and folders.
    said: BTreeMap<PathBuf, String>,
    watch: Option<Watch>,
    stops: JoinSet<WorkloadId>,
    /// When to look again whatever happens.
    next: Instant,
}

impl Follower {
    /// Begins to follow; [`Follower::pass`] does the first steps. `tell` hears of everything that happens.
    #[must_use]
    pub fn new(
        host: Arc<dyn Host>,
        sources: Sources,
        tell: impl Fn(News) + Send + Sync + 'static,
    ) -> Self {
        let watch = Watch::new().inspect_err(|error| {
            tracing::warn!(%error, "changes of files will be noticed late: they are looked at twice a minute");
        });
        Self {
            host,
            sources: Arc::new(Mutex::new(sources)),
            tell: Box::new(tell),
            entries: BTreeMap::new(),
            said: BTreeMap::new(),
            watch: watch.ok(),
            stops: JoinSet::new(),
            next: Instant::now() + ROUND,
        }
    }

    /// Waits until there is a reason for a [`Follower::pass`].
    pub async fn changed(&mut self) {
        let Self { watch, stops, .. } = self;
        let stopped = tokio::select! {
            () = changed(watch.as_ref()) => None,
            () = tokio::time::sleep_until(self.next) => None,
            Some(stopped) = stops.join_next() => stopped.ok(),
        };
        if let Some(workload) = stopped {
            self.try_again();
            (self.tell)(News::Stopped { workload });
        }
    }

    /// Looks at the files and does what follows. What fails is told, and tried again when it changed.
    pub async fn pass(&mut self) {
        self.next = Instant::now() + ROUND;
        let look = self.look().await;
        if !look.missing.is_empty() {
            self.soon();
        }
        let desired = look.desired();
        self.tell_files(&look, &desired);
        // Each success may make room for what failed before; one that fails twice in a row does not count as news.
        while self.act(&look, &desired).await {
            self.try_again();
        }
    }

    /// How things are.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for (id, entry) in &self.entries {
            match &entry.known {
                Known {
                    running: Some(_), ..
                } => {
                    summary.running.push(id.clone());
                    summary.compiled += usize::from(entry.compiled);
                }
                Known {
                    failed: Some(_), ..
                } => summary.failed.push(id.clone()),
                Known { .. } => {}
            }
        }
        summary
    }

    /// Looks at everything, and watches the places of what it saw.
    async fn look(&mut self) -> Look {
        loop {
            let sources = Arc::clone(&self.sources);
            let looked = tokio::task::spawn_blocking(move || {
                let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
                let look = sources.look();
                let places = places(&sources, &look);
                (look, places)
            });
            let Ok((look, places)) = looked.await else {
                tracing::error!("looking at workload files crashed; this is a bug worth reporting");
                return self.unchanged();
            };
            // What changed in a place before it was watched shows at another look, and only there.
            let new = self.watch.as_mut().is_some_and(|watch| watch.set(places));
            if !new {
                return look;
            }
        }
    }

    /// As if nothing could be read: nothing changes.
    fn unchanged(&self) -> Look {
        let running = self
            .entries
            .values()
            .filter_map(|entry| entry.known.running.as_ref());
        Look {
            missing: running.map(|running| running.file.clone()).collect(),
            ..Look::default()
        }
    }

    fn soon(&mut self) {
        self.next = self.next.min(Instant::now() + SOON);
    }

    /// Things have changed: what failed may start now.
    fn try_again(&mut self) {
        for entry in self.entries.values_mut() {
            if let Some(failed) = &mut entry.known.failed {
                failed.again = true;
            }
        }
        self.soon();
    }

    fn known(&self) -> BTreeMap<WorkloadId, Known> {
        let entries = self.entries.iter();
        entries
            .map(|(id, entry)| (id.clone(), entry.known.clone()))
            .collect()
    }

    /// Does what there is to do. Says whether something came of it that could help others.
    async fn act(&mut self, look: &Look, desired: &Desired) -> bool {
        let known = self.known();
        let actions = reconcile(desired, &known);
        self.settle(desired, &known);
        let (chosen, _) = desired.chosen(&known);
        let files: BTreeMap<&WorkloadId, &Path> = chosen
            .iter()
            .map(|wanted| (&wanted.id, wanted.file.as_path()))
            .collect();
        let workloads: BTreeMap<(&Path, &WorkloadId), &Versioned> = look
            .workloads()
            .map(|(file, it)| ((file, &it.workload.request.id), it))
            .collect();
        let mut progress = false;
        for action in actions {
            let (id, before) = match action {
                Action::Stop(id) => {
                    self.stop(&id);
                    continue;
                }
                Action::Start(id) => (id, None),
                Action::Replace { id, before } => (id, Some(before)),
            };
            if let Some(file) = files.get(&id).copied()
                && let Some(versioned) = workloads.get(&(file, &id))
            {
                progress |= self.start(&id, file, versioned, before).await;
            }
        }
        progress
            && self
                .entries
                .values()
                .any(|entry| entry.known.failed.is_some())
    }

    /// What runs as desired has nothing wrong with it any more, wherever it is asked for now; what nobody asks for is forgotten.
    fn settle(&mut self, desired: &Desired, known: &BTreeMap<WorkloadId, Known>) {
        let (chosen, _) = desired.chosen(known);
        for wanted in &chosen {
            let Some(entry) = self.entries.get_mut(&wanted.id) else {
                continue;
            };
            if let Some(running) = &mut entry.known.running
                && running.version == wanted.version
            {
                running.file.clone_from(&wanted.file);
                entry.known.failed = None;
                entry.said = None;
            }
        }
        let asked: BTreeSet<&WorkloadId> = chosen.iter().map(|wanted| &wanted.id).collect();
        for (id, entry) in &mut self.entries {
            if !asked.contains(id) {
                entry.known.failed = None;
                entry.said = None;
            }
        }
    }

    fn stop(&mut self, id: &WorkloadId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        entry.known = Known::default();
        if let Some(host_id) = entry.host_id.take() {
            let (host, id) = (Arc::clone(&self.host), id.clone());
            self.stops.spawn(async move {
                // Not being there any more is what was wanted.
                let _ = host.stop(&host_id).await;
                id
            });
        }
    }

    /// Starts a version, in the place of another if there is one. Says whether it runs.
    async fn start(
        &mut self,
        id: &WorkloadId,
        file: &Path,
        versioned: &Versioned,
        before: Option<WorkloadId>,
    ) -> bool {
        let replaces = before
            .as_ref()
            .and_then(|before| self.entries.get(before)?.host_id.clone());
        let entry = self.entries.entry(id.clone()).or_default();
        entry.starts += 1;
        let host_id = match host_id(id, entry.starts) {
            Ok(host_id) => host_id,
            Err(errors) => {
                self.failed(id, versioned, errors, before);
                return false;
            }
        };
        let request = StartRequest {
            id: host_id.clone(),
            replaces,
            ..versioned.workload.request.clone()
        };
        match self.host.start(request).await {
            Ok(status) => {
                let compiled = status.compiled.unwrap_or_default();
                self.took_over(id, before.as_ref(), compiled);
                let entry = self.entries.entry(id.clone()).or_default();
                *entry = Entry {
                    known: Known {
                        running: Some(Running {
                            file: file.to_owned(),
                            version: versioned.version,
                        }),
                        failed: None,
                    },
                    host_id: Some(host_id),
                    compiled,
                    said: None,
                    starts: entry.starts,
                };
                true
            }
            Err(error) => {
                // The host remembers the failure under its id, which is not used again.
                let _ = self.host.stop(&host_id).await;
                self.explain(id, versioned, &error, before).await;
                false
            }
        }
    }

    fn took_over(&mut self, id: &WorkloadId, before: Option<&WorkloadId>, compiled: bool) {
        let workload = id.clone();
        let Some(before) = before else {
            return (self.tell)(News::Started { workload, compiled });
        };
        if let Some(entry) = self.entries.get_mut(before) {
            entry.known = Known::default();
            entry.host_id = None;
        }
        (self.tell)(News::Replaced {
            workload,
            renamed: (before != id).then(|| before.clone()),
            compiled,
        });
    }

    /// Notes a failure. One that comes from files that changed meanwhile says nothing: they are looked at again soon.
    async fn explain(
        &mut self,
        id: &WorkloadId,
        versioned: &Versioned,
        error: &StartError,
        before: Option<WorkloadId>,
    ) {
        let (sources, workload) = (Arc::clone(&self.sources), versioned.workload.clone());
        let now = tokio::task::spawn_blocking(move || {
            let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
            sources.version(&workload)
        });
        if now.await.is_ok_and(|now| now != versioned.version) {
            return self.soon();
        }
        self.failed(id, versioned, versioned.workload.explain(error), before);
    }

    fn failed(
        &mut self,
        id: &WorkloadId,
        versioned: &Versioned,
        errors: Diagnostics,
        before: Option<WorkloadId>,
    ) {
        let text = errors.to_string();
        let entry = self.entries.entry(id.clone()).or_default();
        let new = entry.said.as_ref() != Some(&text);
        entry.said = Some(text);
        entry.known.failed = Some(Failed {
            version: versioned.version,
            again: false,
        });
        if new {
            (self.tell)(News::Failed {
                workload: id.clone(),
                errors,
                running: before,
            });
        }
    }

    /// Tells what is wrong with files and folders, once, and what is not any more.
    fn tell_files(&mut self, look: &Look, desired: &Desired) {
        let (_, twins) = desired.chosen(&self.known());
        let mut wrong: BTreeMap<&Path, Diagnostics> = BTreeMap::new();
        for seen in &look.seen {
            if let Err(errors) = &seen.found {
                wrong.insert(&seen.path, errors.clone());
            }
        }
        for twin in &twins {
            wrong
                .entry(&twin.file)
                .or_default()
                .0
                .push(look.explain(twin));
        }
        let fine: Vec<PathBuf> = self
            .said
            .keys()
            .filter(|path| !wrong.contains_key(path.as_path()))
            .cloned()
            .collect();
        for path in fine {
            self.said.remove(&path);
            // What is away is not fine, but nothing is wrong with it either.
            if path.exists() {
                (self.tell)(News::Usable { path });
            }
        }
        for (path, errors) in wrong {
            let text = errors.to_string();
            if self.said.get(path) != Some(&text) {
                self.said.insert(path.to_owned(), text);
                let running = self.asked_by(path);
                (self.tell)(News::Unusable { errors, running });
            }
        }
    }

    /// What runs because a file, or a file of a folder, asked for it.
    fn asked_by(&self, path: &Path) -> Vec<WorkloadId> {
        let asked = self.entries.iter().filter(|(_, entry)| {
            let running = entry.known.running.as_ref();
            running.is_some_and(|it| it.file == path || it.file.parent() == Some(path))
        });
        asked.map(|(id, _)| id.clone()).collect()
    }
}

async fn changed(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// An id for the host. A version gets another one than the version before, which may still be finishing what it is answering.
/// Names have no `_`, so no two workloads get the same.
fn host_id(id: &WorkloadId, start: u64) -> Result<WorkloadId, Diagnostics> {
    if start == 1 {
        return Ok(id.clone());
    }
    let parsed = format!("{id}_{start}").parse().or_else(|_| {
        let digest = Digest::of(id.as_str().as_bytes()).to_string();
        format!("{}_{start}", digest.trim_start_matches("sha256:")).parse()
    });
    parsed.map_err(|error: crate::workload::NameError| Diagnostic::new(error.to_string()).into())
}
