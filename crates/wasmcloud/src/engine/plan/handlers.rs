//! Finds the components of a plugin that calls all who can answer, such as every handler of messages: an entry of `hostInterfaces` is
//! for the component that it names, or for all that no other entry names.

use super::entries::{Candidates, Root, links};
use super::{Calls, Problem, Worlds};
use crate::workload::{ComponentName, HostInterface, Workload, nearest};

/// The setting by which an entry names its component.
pub(super) const COMPONENT: &str = "component";

pub(super) fn chosen(
    calls: &Calls,
    workload: &Workload,
    worlds: &Worlds,
    candidates: Candidates,
    problems: &mut Vec<Problem>,
) -> Vec<Root> {
    let fronts = open_to(calls, workload, &candidates, problems);
    let mut left: Vec<Root> = candidates.into_all().collect();
    let mut roots: Vec<Root> = Vec::new();
    let mut open = None;
    for (index, entry) in entries(calls, workload) {
        let Some(name) = entry.config.get(COMPONENT) else {
            open = open.or(Some(index));
            continue;
        };
        if roots.iter().any(|root| root.component.as_str() == name) {
            continue;
        }
        match left.iter().position(|root| root.component.as_str() == name) {
            Some(at) => roots.push(left.swap_remove(at)),
            None => problems.extend(missing(index, name, calls, workload, worlds)),
        }
    }
    let Some(index) = open else {
        return in_order(roots);
    };
    let is_named = !roots.is_empty();
    left.retain(|root| fronts.contains(&root.component));
    if left.is_empty() && is_named {
        let exports = calls.exports.clone();
        problems.push(Problem::HandlersTaken { index, exports });
    } else if left.is_empty() && !is_reported(problems) {
        let exports = calls.exports.clone();
        problems.push(Problem::EntryMissing { exports });
    }
    roots.extend(left);
    in_order(roots)
}

/// The same plan, whatever the order of the entries.
fn in_order(mut roots: Vec<Root>) -> Vec<Root> {
    roots.sort_by(|one, other| one.component.cmp(&other.component));
    roots
}

/// The entries for what the plugin calls, with their indices.
fn entries<'a>(
    calls: &'a Calls,
    workload: &'a Workload,
) -> impl Iterator<Item = (usize, &'a HostInterface)> {
    let entries = workload.host_interfaces.iter().enumerate();
    entries.filter(|(_, entry)| calls.exports.iter().any(|export| entry.covers(export)))
}

/// The components for which an entry may be that names none: those that links choose, else the fronts.
fn open_to(
    calls: &Calls,
    workload: &Workload,
    candidates: &Candidates,
    problems: &[Problem],
) -> Vec<ComponentName> {
    let linked: Vec<ComponentName> = links(calls, workload).map(|(_, to)| to.clone()).collect();
    if !linked.is_empty() {
        return linked;
    }
    let in_circle = problems
        .iter()
        .any(|problem| matches!(problem, Problem::Cycle { .. }));
    match candidates.front_names() {
        // Where the circle is to be broken says which one is the front.
        _ if in_circle && candidates.all_are_called() => Vec::new(),
        fronts => fronts,
    }
}

/// Whether something is known already that explains why nobody can be called.
fn is_reported(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| {
        matches!(
            problem,
            Problem::Cycle { .. }
                | Problem::LinkWithoutExport { .. }
                | Problem::HandlerMissing { .. }
        )
    })
}

/// A component that an entry names and that cannot be called. `None`: nothing is known about it yet.
fn missing(
    index: usize,
    name: &str,
    calls: &Calls,
    workload: &Workload,
    worlds: &Worlds,
) -> Option<Problem> {
    let exporting = worlds
        .iter()
        .filter(|(_, world)| calls.exports.iter().any(|it| world.exporting(it).is_some()));
    let handlers: Vec<ComponentName> = exporting.map(|(name, _)| name.clone()).collect();
    let components = workload.components.iter().map(|it| &it.name);
    let service = workload.service.iter().map(|it| &it.component.name);
    let all: Vec<&str> = components
        .chain(service)
        .map(ComponentName::as_str)
        .collect();
    let exists = all.contains(&name);
    if exists && !worlds.keys().any(|known| known.as_str() == name) {
        return None;
    }
    Some(Problem::HandlerMissing {
        index,
        component: name.to_owned(),
        exists,
        exports: calls.exports.clone(),
        nearest: nearest(name, all.iter().copied()).map(str::to_owned),
        handlers,
    })
}
