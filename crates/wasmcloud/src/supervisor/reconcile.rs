//! What to do so that what runs becomes what the files say. Pure: it takes what was seen and what is known and gives actions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::look::Version;
use crate::workload::WorkloadId;

/// A workload that a file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its id, which follows from its namespace and name.
    pub id: WorkloadId,
    /// The file that asks.
    pub file: PathBuf,
    /// What it consists of: manifest and components.
    pub version: Version,
}

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// What they ask for, in their order.
    pub wanted: Vec<Wanted>,
    /// Files and folders that cannot be read or understood: whatever they asked for last stays.
    pub broken: BTreeSet<PathBuf>,
    /// Files that were there a moment ago: nothing is stopped yet because of that.
    pub missing: BTreeSet<PathBuf>,
}

/// What is known of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What runs of it.
    pub running: Option<Running>,
    /// What did not start of it, since it last did.
    pub failed: Option<Failed>,
}

/// A version that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The file that asked for it.
    pub file: PathBuf,
    /// What it consists of.
    pub version: Version,
}

/// A version that did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What it consists of.
    pub version: Version,
    /// Whether things have changed so that it might start now.
    pub again: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stop what nobody asks for any more.
    Stop(WorkloadId),
    /// Start what nobody runs yet.
    Start(WorkloadId),
    /// Start a version in the place of another, which runs on if that fails.
    Replace {
        /// What to start.
        id: WorkloadId,
        /// Whose place it takes: its own earlier version, or one of the same file that was renamed.
        before: WorkloadId,
    },
}

/// Two files ask for the same workload; one of them counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// What both ask for.
    pub id: WorkloadId,
    /// The file that does not count.
    pub file: PathBuf,
    /// The file that does.
    pub other: PathBuf,
}

impl Desired {
    /// What counts where several files ask for the same workload: the one whose workload runs, else the first.
    #[must_use]
    pub fn chosen(&self, known: &BTreeMap<WorkloadId, Known>) -> (Vec<&Wanted>, Vec<Twin>) {
        let asked: BTreeSet<(&WorkloadId, &Path)> = self
            .wanted
            .iter()
            .map(|wanted| (&wanted.id, wanted.file.as_path()))
            .collect();
        let mut holders: BTreeMap<&WorkloadId, &Path> = BTreeMap::new();
        for (id, running) in running(known) {
            if self.is_broken(&running.file) || asked.contains(&(id, running.file.as_path())) {
                holders.insert(id, &running.file);
            }
        }
        let (mut chosen, mut twins) = (Vec::new(), Vec::new());
        for wanted in &self.wanted {
            let holder = *holders.entry(&wanted.id).or_insert(&wanted.file);
            if holder == wanted.file {
                chosen.push(wanted);
            } else {
                twins.push(Twin {
                    id: wanted.id.clone(),
                    file: wanted.file.clone(),
                    other: holder.to_owned(),
                });
            }
        }
        (chosen, twins)
    }

    fn is_broken(&self, file: &Path) -> bool {
        let folder = file.parent();
        self.broken.contains(file) || folder.is_some_and(|folder| self.broken.contains(folder))
    }

    /// Whether it is unclear what a file asks for.
    fn holds(&self, file: &Path) -> bool {
        self.is_broken(file) || self.missing.contains(file)
    }
}

fn running(known: &BTreeMap<WorkloadId, Known>) -> impl Iterator<Item = (&WorkloadId, &Running)> {
    known
        .iter()
        .filter_map(|(id, known)| Some((id, known.running.as_ref()?)))
}

/// The steps from what is known to what is desired, in order: what stops makes room for what starts.
///
/// What runs as desired is left alone, what failed is tried again only when it changed, and what cannot be judged stays.
#[must_use]
pub fn reconcile(desired: &Desired, known: &BTreeMap<WorkloadId, Known>) -> Vec<Action> {
    let (chosen, twins) = desired.chosen(known);
    let wanted: BTreeSet<&WorkloadId> = chosen.iter().map(|wanted| &wanted.id).collect();
    let kept: BTreeSet<&WorkloadId> = twins.iter().map(|twin| &twin.id).collect();
    let mut leaving: Vec<(&WorkloadId, &Running)> = running(known)
        .filter(|(id, running)| {
            !wanted.contains(id) && !kept.contains(id) && !desired.holds(&running.file)
        })
        .collect();
    let mut starts = Vec::new();
    for wanted in chosen {
        let known = known.get(&wanted.id);
        let running = known.and_then(|known| known.running.as_ref());
        if running.is_some_and(|running| running.version == wanted.version) {
            continue;
        }
        let before = match running {
            Some(_) => Some(wanted.id.clone()),
            None => renamed(&mut leaving, &wanted.file),
        };
        let failed = known.and_then(|known| known.failed.as_ref());
        if failed.is_some_and(|failed| failed.version == wanted.version && !failed.again) {
            continue;
        }
        let id = wanted.id.clone();
        starts.push(match before {
            Some(before) => Action::Replace { id, before },
            None => Action::Start(id),
        });
    }
    let stops = leaving.into_iter().map(|(id, _)| Action::Stop(id.clone()));
    stops.chain(starts).collect()
}

/// Takes out one that the same file asked for under another name.
fn renamed(leaving: &mut Vec<(&WorkloadId, &Running)>, file: &Path) -> Option<WorkloadId> {
    let index = leaving
        .iter()
        .position(|(_, running)| running.file == file)?;
    Some(leaving.remove(index).0.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn id(name: &str) -> WorkloadId {
        name.parse().unwrap()
    }

    /// `app@1 in a.yaml`
    fn wanted(text: &str) -> Wanted {
        let (what, file) = text.split_once(" in ").unwrap();
        let (name, version) = what.split_once('@').unwrap();
        Wanted {
            id: id(name),
            file: file.into(),
            version: Version::of(version),
        }
    }

    /// A desired state: what is wanted, `broken x`, and `missing x`.
    fn desired(parts: &[&str]) -> Desired {
        let mut desired = Desired::default();
        for part in parts {
            if let Some(path) = part.strip_prefix("broken ") {
                desired.broken.insert(path.into());
            } else if let Some(path) = part.strip_prefix("missing ") {
                desired.missing.insert(path.into());
            } else {
                desired.wanted.push(wanted(part));
            }
        }
        desired
    }

    /// What is known: `app@1 in a.yaml` runs, `failed app@2` did not start, `again app@2` might now.
    fn known(parts: &[&str]) -> BTreeMap<WorkloadId, Known> {
        let mut all: BTreeMap<WorkloadId, Known> = BTreeMap::new();
        for part in parts {
            let failed = part.strip_prefix("failed ").map(|what| (what, false));
            let failed = failed.or(part.strip_prefix("again ").map(|what| (what, true)));
            match failed {
                Some((what, again)) => {
                    let Wanted { id, version, .. } = wanted(&format!("{what} in -"));
                    all.entry(id).or_default().failed = Some(Failed { version, again });
                }
                None => {
                    let Wanted { id, file, version } = wanted(part);
                    all.entry(id).or_default().running = Some(Running { file, version });
                }
            }
        }
        all
    }

    fn told(actions: Vec<Action>) -> String {
        let told = actions.into_iter().map(|action| match action {
            Action::Stop(id) => format!("stop {id}"),
            Action::Start(id) => format!("start {id}"),
            Action::Replace { id, before } => format!("{id} replaces {before}"),
        });
        told.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_the_files_say_becomes_what_runs() {
        let table: &[(&str, &[&str], &[&str], &str)] = &[
            ("nothing", &[], &[], ""),
            ("a new file", &["app@1 in a"], &[], "start app"),
            ("the same again", &["app@1 in a"], &["app@1 in a"], ""),
            (
                "a new version",
                &["app@2 in a"],
                &["app@1 in a"],
                "app replaces app",
            ),
            ("a file that is gone", &[], &["app@1 in a"], "stop app"),
            (
                "one of two documents gone",
                &["one@1 in a"],
                &["one@1 in a", "two@1 in a"],
                "stop two",
            ),
            ("garbage", &["broken a"], &["app@1 in a"], ""),
            (
                "a folder that is gone",
                &["broken d"],
                &["app@1 in d/a"],
                "",
            ),
            (
                "garbage elsewhere",
                &["broken b"],
                &["app@1 in a"],
                "stop app",
            ),
            ("gone just now", &["missing a"], &["app@1 in a"], ""),
            (
                "a file that moved",
                &["app@1 in b", "missing a"],
                &["app@1 in a"],
                "",
            ),
            (
                "a file that moved and changed",
                &["app@2 in b", "missing a"],
                &["app@1 in a"],
                "app replaces app",
            ),
            (
                "room is made before it is taken",
                &["new@1 in b"],
                &["old@1 in a"],
                "stop old, start new",
            ),
            (
                "a workload that was renamed",
                &["new@1 in a"],
                &["old@1 in a"],
                "new replaces old",
            ),
        ];
        for (story, says, runs, does) in table {
            assert_eq!(
                told(reconcile(&desired(says), &known(runs))),
                *does,
                "{story}"
            );
        }
    }

    #[test]
    fn what_failed_is_tried_again_when_something_changed() {
        let table: &[(&str, &[&str], &[&str], &str)] = &[
            ("the same", &["app@1 in a"], &["failed app@1"], ""),
            ("another", &["app@2 in a"], &["failed app@1"], "start app"),
            (
                "room was made",
                &["app@1 in a"],
                &["again app@1"],
                "start app",
            ),
            (
                "a successor",
                &["app@2 in a"],
                &["app@1 in a", "failed app@2"],
                "",
            ),
            (
                "a better successor",
                &["app@3 in a"],
                &["app@1 in a", "failed app@2"],
                "app replaces app",
            ),
            (
                "taken back",
                &["app@1 in a"],
                &["app@1 in a", "failed app@2"],
                "",
            ),
            (
                "under a new name",
                &["new@1 in a"],
                &["old@1 in a", "failed new@1"],
                "",
            ),
            ("given up", &[], &["app@1 in a", "failed app@2"], "stop app"),
            ("never wanted again", &[], &["failed app@1"], ""),
        ];
        for (story, says, runs, does) in table {
            assert_eq!(
                told(reconcile(&desired(says), &known(runs))),
                *does,
                "{story}"
            );
        }
    }

    /// A second file that asks for the same workload neither replaces nor stops what runs.
    #[test]
    fn of_two_files_one_counts() {
        let table: &[(&[&str], &[&str], &str, &str)] = &[
            (&["app@1 in a", "app@2 in b"], &[], "start app", "b"),
            (&["app@1 in a", "app@2 in b"], &["app@2 in b"], "", "a"),
            (
                &["app@1 in a", "app@3 in b"],
                &["app@2 in b"],
                "app replaces app",
                "a",
            ),
            (&["app@2 in b", "broken a"], &["app@1 in a"], "", "b"),
        ];
        for (says, runs, does, twin) in table {
            let (desired, known) = (desired(says), known(runs));
            assert_eq!(told(reconcile(&desired, &known)), *does, "{says:?}");
            let (_, twins) = desired.chosen(&known);
            assert_eq!(twins.len(), 1);
            assert!(twins.iter().all(|found| found.file == Path::new(twin)));
        }
        let alone = desired(&["app@1 in b"]);
        assert!(alone.chosen(&known(&["app@1 in a"])).1.is_empty());
    }
}
