//! Finds what is called from outside, and lays out everything that is fused behind it.

use std::collections::BTreeMap;

use super::resolve::{Resolution, Resolved};
use super::{Calls, FusedImport, Member, Offers, PlannedEntry, Problem, Worlds};
use crate::engine::config::Flavour;
use crate::workload::{ComponentName, Interface, LinkTarget, Workload};

/// The component that a plugin calls, and through which export.
pub(super) struct Root {
    plugin: &'static str,
    component: ComponentName,
    export: Interface,
}

pub(super) fn roots(
    workload: &Workload,
    worlds: &Worlds,
    offers: &Offers,
    resolved: &Resolved,
    problems: &mut Vec<Problem>,
) -> Vec<Root> {
    let mut roots = Vec::new();
    let mut ungranted = Vec::new();
    for calls in &offers.calls {
        let candidates = candidates(calls, worlds, resolved);
        if !is_granted(calls, workload) {
            ungranted.extend(
                candidates
                    .into_iter()
                    .map(|root| (root.component, root.export)),
            );
            continue;
        }
        match chosen(calls, workload, candidates) {
            Ok(root) => roots.push(root),
            Err(problem) => problems.push(problem),
        }
    }
    if roots.is_empty() && problems.is_empty() {
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

/// Components that export what the plugin calls and that no sibling calls: the front of a chain of middleware, not its end.
fn candidates(calls: &Calls, worlds: &Worlds, resolved: &Resolved) -> Vec<Root> {
    let called_by_sibling = |component: &ComponentName, export: &str| {
        resolved.values().flat_map(BTreeMap::values).any(
            |resolution| matches!(resolution, Resolution::Sibling { to, export: called } if to == component && called == export),
        )
    };
    let mut found = Vec::new();
    for (component, world) in worlds {
        let wanted = calls
            .exports
            .iter()
            .find_map(|wanted| world.exporting(wanted));
        if let Some(export) = wanted
            && let Some(interface) = export.interface()
            && !called_by_sibling(component, &export.name)
        {
            found.push(Root {
                plugin: calls.plugin,
                component: component.clone(),
                export: interface.clone(),
            });
        }
    }
    found
}

/// Listing any of the exports grants them all: they are dialects of one capability.
fn is_granted(calls: &Calls, workload: &Workload) -> bool {
    workload
        .host_interfaces
        .iter()
        .any(|entry| calls.exports.iter().any(|export| entry.covers(export)))
}

fn chosen(calls: &Calls, workload: &Workload, mut candidates: Vec<Root>) -> Result<Root, Problem> {
    let link = workload.links.iter().find(|link| {
        link.from.is_none()
            && calls
                .exports
                .iter()
                .any(|export| link.import.accepts(export))
    });
    if let Some(link) = link
        && let LinkTarget::Component(to) = &link.to
    {
        candidates.retain(|root| root.component == *to);
    }
    if candidates.len() > 1 {
        return Err(Problem::AmbiguousEntry {
            exports: calls.exports.clone(),
            candidates: candidates.into_iter().map(|root| root.component).collect(),
        });
    }
    candidates.pop().ok_or_else(|| Problem::EntryMissing {
        exports: calls.exports.clone(),
    })
}

/// Lays out an entry: the root first, then everything it reaches, depth first in the order of import names. Names of components
/// play no part in the order.
pub(super) fn entry(root: Root, worlds: &Worlds, resolved: &Resolved) -> PlannedEntry {
    let mut order = Vec::new();
    reach(&root.component, resolved, &mut order);
    let position = |component: &ComponentName| {
        order
            .iter()
            .position(|member| *member == component)
            .unwrap_or_default()
    };
    let members: Vec<Member> = order
        .iter()
        .map(|component| {
            let mut member = Member {
                component: (*component).clone(),
                fused: Vec::new(),
                apart: Vec::new(),
            };
            for (import, resolution) in resolved.get(*component).into_iter().flatten() {
                match resolution {
                    Resolution::Sibling { to, export } => {
                        member.fused.push(FusedImport {
                            import: import.clone(),
                            to: position(to),
                            export: export.clone(),
                        });
                    }
                    Resolution::Host { identity: true, .. } => member.apart.push(import.clone()),
                    Resolution::Host { .. } => {}
                }
            }
            member
        })
        .collect();
    let concurrent = order
        .iter()
        .any(|component| worlds.get(*component).is_some_and(|world| world.concurrent));
    let flavour = if concurrent {
        Flavour::Concurrent
    } else {
        Flavour::Plain
    };
    PlannedEntry {
        plugin: root.plugin.to_owned(),
        export: root.export,
        flavour,
        members,
    }
}

fn reach<'a>(
    component: &'a ComponentName,
    resolved: &'a Resolved,
    order: &mut Vec<&'a ComponentName>,
) {
    if order.contains(&component) {
        return;
    }
    order.push(component);
    for resolution in resolved
        .get(component)
        .into_iter()
        .flat_map(BTreeMap::values)
    {
        if let Resolution::Sibling { to, .. } = resolution {
            reach(to, resolved, order);
        }
    }
}
