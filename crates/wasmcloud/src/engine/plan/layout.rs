//! Lays out what becomes one compiled component each: every entry and every isolated callee, with everything fused behind it.

use std::collections::HashMap;

use super::entries::Root;
use super::graph::reach;
use super::resolve::{Over, Resolution, Resolved};
use super::{FusedImport, IsolatedImport, Member, PlannedCallee, PlannedEntry, Worlds};
use crate::engine::config::Flavour;
use crate::workload::ComponentName;

/// The entries, and the callees that they reach over isolated links, directly or through other callees. A callee's place is given
/// when it is first met: entries before callees, members by position, imports by name.
pub(super) fn lay_out(
    roots: Vec<Root>,
    worlds: &Worlds,
    resolved: &Resolved,
) -> (Vec<PlannedEntry>, Vec<PlannedCallee>) {
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
            flavour,
            members,
        }
    };
    let entries = roots
        .into_iter()
        .map(|root| entry(&mut layout, root))
        .collect();
    let mut callees = Vec::new();
    while let Some(root) = layout.found.get(callees.len()).copied() {
        let (flavour, members) = layout.behind(root);
        callees.push(PlannedCallee { flavour, members });
    }
    (entries, callees)
}

struct Layout<'a> {
    worlds: &'a Worlds,
    resolved: &'a Resolved,
    /// The place of each callee in `found`.
    places: HashMap<&'a ComponentName, usize>,
    /// The roots of the callees.
    found: Vec<&'a ComponentName>,
}

impl<'a> Layout<'a> {
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
                Resolution::Sibling { to, export, over } => {
                    let export = export.clone();
                    match over {
                        Over::Fused => member.fused.push(FusedImport {
                            import,
                            to: positions.get(to).copied().unwrap_or_default(),
                            export,
                        }),
                        Over::Isolated => member.isolated.push(IsolatedImport {
                            import,
                            callee: self.place(to),
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

    fn place(&mut self, callee: &'a ComponentName) -> usize {
        let found = &mut self.found;
        *self.places.entry(callee).or_insert_with(|| {
            found.push(callee);
            found.len() - 1
        })
    }
}
