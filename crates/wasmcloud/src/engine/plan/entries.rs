//! Finds what is called from outside.

use std::collections::{BTreeMap, HashSet};

use super::resolve::{Resolution, Resolved};
use super::{Calls, Offers, Problem, Worlds, handlers, schedules, service};
use crate::workload::{ComponentName, Export, Interface, LinkTarget, ScheduleName, Workload};

/// The component that a plugin calls, and through which export.
pub(super) struct Root {
    pub(super) plugin: &'static str,
    pub(super) component: ComponentName,
    pub(super) export: Export,
    /// The schedule that it is for, if it is for one.
    pub(super) schedule: Option<ScheduleName>,
}

pub(super) fn roots(
    workload: &Workload,
    worlds: &Worlds,
    offers: &Offers,
    resolved: &Resolved,
    problems: &mut Vec<Problem>,
) -> Vec<Root> {
    if offers.closed {
        return Vec::new();
    }
    let called = called(resolved);
    let mut roots = schedules::roots(workload, worlds, offers, problems);
    let mut ungranted = Vec::new();
    for calls in &offers.calls {
        let candidates = Candidates::of(calls, workload, worlds, &called);
        if is_granted(calls, workload) && calls.every {
            let chosen = handlers::chosen(calls, workload, worlds, candidates, problems);
            roots.extend(chosen);
        } else if is_granted(calls, workload) {
            roots.extend(chosen(calls, workload, candidates, problems));
        } else {
            let fronts = candidates.fronts().into_iter();
            ungranted.extend(fronts.filter_map(named));
        }
    }
    if roots.is_empty() && workload.service.is_none() && problems.is_empty() {
        problems.push(Problem::NothingToRun {
            ungranted,
            callable: offers
                .calls
                .iter()
                .flat_map(|calls| calls.exports.clone())
                .collect(),
        });
    }
    roots
}

/// The component and the interface that is called.
fn named(root: Root) -> Option<(ComponentName, Interface)> {
    let interface = root.export.interface()?.clone();
    Some((root.component, interface))
}

/// What siblings call: a component and the name of its export.
type Called<'a> = HashSet<(&'a ComponentName, &'a str)>;

fn called(resolved: &Resolved) -> Called<'_> {
    let resolutions = resolved.values().flat_map(BTreeMap::values);
    resolutions
        .filter_map(|resolution| match resolution {
            Resolution::Sibling { to, export, .. } => Some((to, export.as_str())),
            Resolution::Host { .. } => None,
        })
        .collect()
}

/// Components that export what a plugin calls, in the order of their names.
#[derive(Default)]
pub(super) struct Candidates {
    /// Those that no sibling calls so: the fronts of chains of middleware.
    uncalled: Vec<Root>,
    /// The others.
    called: Vec<Root>,
}

impl Candidates {
    fn of(calls: &Calls, workload: &Workload, worlds: &Worlds, called: &Called<'_>) -> Self {
        let mut candidates = Self::default();
        for (component, world) in worlds {
            let is_service = workload.is_service(component);
            let exports = || {
                let exports = calls.exports.iter().filter_map(|it| world.exporting(it));
                exports.filter(|export| !is_service || service::answers(export))
            };
            let Some(export) = exports().find_map(|export| export.interface()) else {
                continue;
            };
            let root = Root {
                plugin: calls.plugin,
                component: component.clone(),
                export: export.clone().into(),
                schedule: None,
            };
            // The exports are dialects of one capability: who is called through one of them is no front in another.
            if exports().any(|export| called.contains(&(component, export.name.as_str()))) {
                candidates.called.push(root);
            } else {
                candidates.uncalled.push(root);
            }
        }
        candidates
    }

    /// The fronts; where siblings call every candidate, all of them.
    fn fronts(self) -> Vec<Root> {
        if self.uncalled.is_empty() {
            self.called
        } else {
            self.uncalled
        }
    }

    /// The names of the fronts.
    pub(super) fn front_names(&self) -> Vec<ComponentName> {
        let fronts = match self.uncalled.is_empty() {
            true => &self.called,
            false => &self.uncalled,
        };
        fronts.iter().map(|root| root.component.clone()).collect()
    }

    /// Whether there is none that no sibling calls.
    pub(super) fn all_are_called(&self) -> bool {
        self.uncalled.is_empty() && !self.called.is_empty()
    }

    /// All of them.
    pub(super) fn into_all(self) -> impl Iterator<Item = Root> {
        self.uncalled.into_iter().chain(self.called)
    }

    fn take(self, component: &ComponentName) -> Option<Root> {
        self.into_all().find(|root| root.component == *component)
    }
}

/// Listing any of the exports grants them all: they are dialects of one capability.
fn is_granted(calls: &Calls, workload: &Workload) -> bool {
    workload
        .host_interfaces
        .iter()
        .any(|entry| calls.exports.iter().any(|export| entry.covers(export)))
}

fn chosen(
    calls: &Calls,
    workload: &Workload,
    candidates: Candidates,
    problems: &mut Vec<Problem>,
) -> Option<Root> {
    let missing = Problem::EntryMissing {
        exports: calls.exports.clone(),
    };
    let mut links = links(calls, workload);
    if let Some((index, to)) = links.next() {
        if let Some((index, other)) = links.find(|(_, other)| *other != to) {
            problems.push(Problem::LinksDisagree {
                index,
                exports: calls.exports.clone(),
                candidates: [to.clone(), other.clone()],
            });
            return None;
        }
        let root = candidates.take(to);
        let reported = |problem: &Problem| matches!(problem, Problem::LinkWithoutExport { index: at, .. } if *at == index);
        if root.is_none() && !problems.iter().any(reported) {
            problems.push(missing);
        }
        return root;
    }
    let in_circle = candidates.all_are_called()
        && problems
            .iter()
            .any(|problem| matches!(problem, Problem::Cycle { .. }));
    if in_circle {
        // Where the circle is to be broken says which one is the front.
        return None;
    }
    let mut fronts = candidates.fronts();
    if fronts.len() > 1 {
        problems.push(Problem::AmbiguousEntry {
            exports: calls.exports.clone(),
            candidates: fronts.into_iter().filter_map(named).collect(),
        });
        return None;
    }
    let front = fronts.pop();
    if front.is_none() {
        problems.push(missing);
    }
    front
}

/// The links without `from` that choose whom a plugin calls, with their indices.
pub(super) fn links<'a>(
    calls: &Calls,
    workload: &'a Workload,
) -> impl Iterator<Item = (usize, &'a ComponentName)> {
    let links = workload.links.iter().enumerate();
    links
        .filter(|(_, link)| link.from.is_none())
        .filter(|(_, link)| calls.exports.iter().any(|it| link.import.accepts(it)))
        .filter_map(|(index, link)| match &link.to {
            LinkTarget::Component(to) => Some((index, to)),
            LinkTarget::Host => None,
        })
}
