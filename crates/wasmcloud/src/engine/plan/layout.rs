//! Lays out what becomes one compiled component each: every entry and every isolated callee, with everything fused behind it.

use std::collections::{HashMap, HashSet};

use super::entries::Root;
use super::graph::reach;
use super::resolve::{Over, Resolution, Resolved};
use super::service::Service;
use super::{
    FusedImport, IsolatedImport, Member, PlannedCallee, PlannedEntry, PlannedService, Worlds,
};
use crate::engine::config::Flavour;
use crate::workload::ComponentName;

/// The entries, the service, and the callees that they reach over isolated links, directly or through other callees. Each callee
/// stands behind those that it calls itself.
pub(super) fn lay_out(
    roots: Vec<Root>,
    service: Option<Service<'_>>,
    worlds: &Worlds,
    resolved: &Resolved,
) -> (
    Vec<PlannedEntry>,
    Option<PlannedService>,
    Vec<PlannedCallee>,
) {
    let mut layout = Layout {
        worlds,
        resolved,
        places: HashMap::new(),
        found: Vec::new(),
    };
    let entry = |layout: &mut Layout<'_>, root: Root| {
        let (flavour, members) = layout.behind(&root.component);
        PlannedEntry {
            plugin: root.plugin.to_owned(),
            export: root.export,
            schedule: root.schedule,
            flavour,
            members,
        }
    };
    let mut entries: Vec<PlannedEntry> = roots
        .into_iter()
        .map(|root| entry(&mut layout, root))
        .collect();
    let mut service = service.map(|service| {
        let (flavour, members) = layout.behind(service.name);
        PlannedService {
            run: service.run,
            flavour,
            members,
        }
    });
    let members = entries.iter_mut().flat_map(|entry| &mut entry.members);
    let members = members.chain(service.iter_mut().flat_map(|service| &mut service.members));
    let callees = layout.callees(members.collect());
    (entries, service, callees)
}

/// Something that is called, with everything fused behind it.
type Called = (Flavour, Vec<Member>);

/// One component that is called, and the callees that it reaches over isolated links.
pub(super) fn lay_out_call(
    root: &ComponentName,
    worlds: &Worlds,
    resolved: &Resolved,
) -> (Called, Vec<PlannedCallee>) {
    let mut layout = Layout {
        worlds,
        resolved,
        places: HashMap::new(),
        found: Vec::new(),
    };
    let (flavour, mut members) = layout.behind(root);
    let callees = layout.callees(members.iter_mut().collect());
    ((flavour, members), callees)
}

/// Puts callees behind those that they call, and tells everybody where they are now.
fn in_order(mut callees: Vec<PlannedCallee>, members: Vec<&mut Member>) -> Vec<PlannedCallee> {
    let order = called_first(&callees);
    let mut places = vec![0; order.len()];
    for (place, callee) in order.iter().enumerate() {
        if let Some(known) = places.get_mut(*callee) {
            *known = place;
        }
    }
    let called = callees.iter_mut().flat_map(|callee| &mut callee.members);
    let all = members.into_iter().chain(called);
    for link in all.flat_map(|it| &mut it.isolated) {
        link.callee = places.get(link.callee).copied().unwrap_or_default();
    }
    let callees = order.iter().filter_map(|callee| callees.get(*callee));
    callees.cloned().collect()
}

/// The places of callees in an order in which each stands behind those that it calls. Without recursion, as a chain may be long;
/// there are no circles.
fn called_first(callees: &[PlannedCallee]) -> Vec<usize> {
    let calls = |callee: usize| {
        let members = callees.get(callee).into_iter();
        let links = members
            .flat_map(|it| &it.members)
            .flat_map(|it| &it.isolated);
        links
            .map(|link| link.callee)
            .collect::<Vec<_>>()
            .into_iter()
    };
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    for start in 0..callees.len() {
        let mut path = Vec::new();
        if seen.insert(start) {
            path.push((start, calls(start)));
        }
        while let Some((callee, open)) = path.last_mut() {
            match open.next() {
                Some(next) if seen.insert(next) => path.push((next, calls(next))),
                Some(_) => {}
                None => {
                    order.push(*callee);
                    path.pop();
                }
            }
        }
    }
    order
}

struct Layout<'a> {
    worlds: &'a Worlds,
    resolved: &'a Resolved,
    /// Where in `found` each callee is.
    places: HashMap<&'a ComponentName, usize>,
    /// The roots of the callees.
    found: Vec<&'a ComponentName>,
}

impl<'a> Layout<'a> {
    /// Everything that was found to be called over isolated links, and what that calls.
    fn callees(mut self, members: Vec<&mut Member>) -> Vec<PlannedCallee> {
        let mut callees = Vec::new();
        while let Some(root) = self.found.get(callees.len()).copied() {
            let (flavour, members) = self.behind(root);
            callees.push(PlannedCallee { flavour, members });
        }
        in_order(callees, members)
    }

    /// The root first, then everything it reaches through fused links.
    fn behind(&mut self, root: &ComponentName) -> (Flavour, Vec<Member>) {
        let resolved = self.resolved;
        let order = reach(root, resolved);
        let positions: HashMap<&ComponentName, usize> = order
            .iter()
            .enumerate()
            .map(|(position, component)| (*component, position))
            .collect();
        let members = order
            .iter()
            .map(|component| self.member(component, &positions))
            .collect();
        let concurrent = order.iter().any(|component| {
            let world = self.worlds.get(*component);
            world.is_some_and(|world| world.concurrent)
        });
        let flavour = if concurrent {
            Flavour::Concurrent
        } else {
            Flavour::Plain
        };
        (flavour, members)
    }

    fn member(
        &mut self,
        component: &ComponentName,
        positions: &HashMap<&ComponentName, usize>,
    ) -> Member {
        let mut member = Member {
            component: component.clone(),
            fused: Vec::new(),
            isolated: Vec::new(),
            apart: Vec::new(),
        };
        let resolved = self.resolved;
        for (import, resolution) in resolved.get(component).into_iter().flatten() {
            let import = import.clone();
            match resolution {
                Resolution::Sibling {
                    to, export, over, ..
                } => {
                    let export = export.clone();
                    match over {
                        Over::Fused => member.fused.push(FusedImport {
                            import,
                            to: positions.get(to).copied().unwrap_or_default(),
                            export,
                        }),
                        Over::Isolated => member.isolated.push(IsolatedImport {
                            import,
                            callee: self.found(to),
                            export,
                        }),
                    }
                }
                Resolution::Host { identity: true, .. } => member.apart.push(import),
                Resolution::Host { .. } => {}
            }
        }
        member
    }

    fn found(&mut self, callee: &'a ComponentName) -> usize {
        let found = &mut self.found;
        *self.places.entry(callee).or_insert_with(|| {
            found.push(callee);
            found.len() - 1
        })
    }
}
