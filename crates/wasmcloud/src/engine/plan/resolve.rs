//! Finds who answers each import: an explicit link, else the one sibling that exports it, else a plugin of the host.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Offers, PlannedKind, PlannedLink, Problem, Worlds};
use crate::engine::inspect::{Extern, ExternKind};
use crate::plugin::Grant;
use crate::workload::{
    ComponentName, HostInterface, Interface, Link, LinkTarget, Workload, nearest,
};

/// Who answers one import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// A sibling, through the export of this name.
    Sibling { to: ComponentName, export: String },
    /// A plugin.
    Host {
        plugin: &'static str,
        identity: bool,
    },
}

/// The answers to the imports of every component, by component and import name.
pub(super) type Resolved = BTreeMap<ComponentName, BTreeMap<String, Resolution>>;

pub(super) fn resolve(
    workload: &Workload,
    worlds: &Worlds,
    offers: &Offers,
    problems: &mut Vec<Problem>,
) -> Resolved {
    let resolver = Resolver {
        workload,
        worlds,
        offers,
    };
    resolver.check_links(problems);
    resolver.check_interfaces(problems);
    let mut resolved = Resolved::new();
    for (component, world) in worlds {
        let answers = resolved.entry(component.clone()).or_default();
        for import in &world.imports {
            match resolver.import(component, import) {
                Ok(Some(resolution)) => {
                    answers.insert(import.name.clone(), resolution);
                }
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
    }
    resolved
}

pub(super) fn links(resolved: &Resolved) -> Vec<PlannedLink> {
    let link = |from: &ComponentName, import: &String, resolution: &Resolution| {
        let (to, kind) = match resolution {
            Resolution::Sibling { to, .. } => (to.to_string(), PlannedKind::Fused),
            Resolution::Host { plugin, .. } => ((*plugin).to_owned(), PlannedKind::Host),
        };
        PlannedLink {
            from: from.clone(),
            import: import.clone(),
            to,
            kind,
        }
    };
    resolved
        .iter()
        .flat_map(|(from, answers)| {
            answers
                .iter()
                .map(move |(import, answer)| link(from, import, answer))
        })
        .collect()
}

struct Resolver<'a> {
    workload: &'a Workload,
    worlds: &'a Worlds,
    offers: &'a Offers,
}

impl Resolver<'_> {
    fn import(
        &self,
        component: &ComponentName,
        import: &Extern,
    ) -> Result<Option<Resolution>, Problem> {
        let interface = match &import.kind {
            ExternKind::Interface { interface, .. } => interface,
            ExternKind::Function | ExternKind::Other => {
                return Err(Problem::NotAnInterface {
                    component: component.clone(),
                    import: import.name.clone(),
                });
            }
        };
        if let Some(target) = self.explicit(component, interface) {
            // A link that does not fit was reported with the links.
            return Ok(match target {
                LinkTarget::Component(to) => self
                    .export_of(to, interface)
                    .map(|export| sibling(to, export)),
                LinkTarget::Host => self.offers.answer(interface).map(host),
            });
        }
        let siblings = self.exporters(component, interface);
        match siblings.as_slice() {
            [(to, export)] => return Ok(Some(sibling(to, export))),
            [] => {}
            several => {
                return Err(Problem::Ambiguous {
                    component: component.clone(),
                    import: interface.clone(),
                    candidates: several.iter().map(|(name, _)| (*name).clone()).collect(),
                });
            }
        }
        if let Some(answer) = self.offers.answer(interface) {
            self.check_grant(component, interface, answer)?;
            return Ok(Some(Resolution::Host {
                plugin: answer.plugin,
                identity: answer.offer.identity || import.is_label(),
            }));
        }
        if matches!(
            import.kind,
            ExternKind::Interface {
                types_only: true,
                ..
            }
        ) {
            return Ok(None);
        }
        Err(Problem::Unmet {
            component: component.clone(),
            import: interface.clone(),
            nearest: self.nearest_offer(component, interface),
        })
    }

    fn explicit(&self, component: &ComponentName, import: &Interface) -> Option<&LinkTarget> {
        let fits =
            |link: &&Link| link.from.as_ref() == Some(component) && link.import.accepts(import);
        self.workload.links.iter().find(fits).map(|link| &link.to)
    }

    fn exporters(
        &self,
        component: &ComponentName,
        import: &Interface,
    ) -> Vec<(&ComponentName, &str)> {
        self.worlds
            .iter()
            .filter(|(name, _)| *name != component)
            .filter_map(|(name, world)| Some((name, world.exporting(import)?.name.as_str())))
            .collect()
    }

    fn export_of(&self, component: &ComponentName, import: &Interface) -> Option<&str> {
        Some(self.worlds.get(component)?.exporting(import)?.name.as_str())
    }

    fn check_grant(
        &self,
        component: &ComponentName,
        import: &Interface,
        answer: &Answer,
    ) -> Result<(), Problem> {
        let granted = |entry: &HostInterface| entry.covers(import);
        if answer.offer.grant == Grant::Free || self.workload.host_interfaces.iter().any(granted) {
            return Ok(());
        }
        Err(Problem::NotGranted {
            component: component.clone(),
            import: import.clone(),
        })
    }

    /// Every explicit link must name an import that is there and a target that answers it.
    fn check_links(&self, problems: &mut Vec<Problem>) {
        for (index, link) in self.workload.links.iter().enumerate() {
            if let Some(from) = &link.from
                && !self
                    .imports_of(from)
                    .any(|import| link.import.accepts(import))
            {
                let known: Vec<String> = self.imports_of(from).map(ToString::to_string).collect();
                problems.push(Problem::LinkWithoutImport {
                    index,
                    component: from.clone(),
                    import: link.import.clone(),
                    nearest: nearest(&link.import.to_string(), known.iter().map(String::as_str))
                        .map(ToOwned::to_owned),
                });
            }
            let answered = match &link.to {
                LinkTarget::Component(to) => self.export_of(to, &link.import).is_some(),
                LinkTarget::Host => self.offers.answer(&link.import).is_some(),
            };
            if !answered {
                problems.push(Problem::LinkWithoutExport {
                    index,
                    import: link.import.clone(),
                    to: link.to.clone(),
                });
            }
        }
    }

    fn imports_of(&self, component: &ComponentName) -> impl Iterator<Item = &Interface> {
        self.worlds
            .get(component)
            .into_iter()
            .flat_map(|world| world.imports.iter().filter_map(Extern::interface))
    }

    /// Every interface that the manifest lists must be one that this host knows, and be configured only where that has a meaning.
    fn check_interfaces(&self, problems: &mut Vec<Problem>) {
        for (index, entry) in self.workload.host_interfaces.iter().enumerate() {
            for name in &entry.interfaces {
                let interface = Interface {
                    namespace: entry.namespace.clone(),
                    package: entry.package.clone(),
                    name: name.clone(),
                    version: entry.version.clone(),
                };
                let answer = self.offers.answer(&interface);
                let called = self
                    .offers
                    .calls
                    .iter()
                    .any(|calls| calls.exports.iter().any(|export| interface.accepts(export)));
                if answer.is_none() && !called {
                    let nearest = self.nearest_known(&interface);
                    problems.push(Problem::UnknownInterface {
                        index,
                        interface,
                        nearest,
                    });
                } else if !called
                    && !entry.config.is_empty()
                    && answer.is_some_and(|answer| !answer.offer.configurable)
                    && entry.interfaces.len() == 1
                {
                    problems.push(Problem::NotConfigurable { index, interface });
                }
            }
        }
    }

    fn nearest_known(&self, wanted: &Interface) -> Option<String> {
        let exports = self.offers.calls.iter().flat_map(|calls| &calls.exports);
        let known: Vec<&Interface> = self
            .offers
            .answers
            .iter()
            .map(|answer| &answer.offer.interface)
            .chain(exports)
            .collect();
        nearest_interface(wanted, &known)
    }

    fn nearest_offer(&self, component: &ComponentName, wanted: &Interface) -> Option<String> {
        let siblings = self.worlds.iter().filter(|(name, _)| *name != component);
        let exports =
            siblings.flat_map(|(_, world)| world.exports.iter().filter_map(Extern::interface));
        let known: Vec<&Interface> = self
            .offers
            .answers
            .iter()
            .map(|answer| &answer.offer.interface)
            .chain(exports)
            .collect();
        nearest_interface(wanted, &known)
    }
}

fn sibling(to: &ComponentName, export: &str) -> Resolution {
    Resolution::Sibling {
        to: to.clone(),
        export: export.to_owned(),
    }
}

fn host(answer: &Answer) -> Resolution {
    Resolution::Host {
        plugin: answer.plugin,
        identity: answer.offer.identity,
    }
}

/// The same interface at another version, else one with a similar name.
fn nearest_interface(wanted: &Interface, known: &[&Interface]) -> Option<String> {
    let newest = known.iter().filter(|offer| offer.same_name(wanted)).max();
    if let Some(offer) = newest {
        return Some(offer.to_string());
    }
    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
    nearest(&wanted.to_string(), names.iter().map(String::as_str)).map(ToOwned::to_owned)
}

/// The cycles among fused links, each once, beginning at its first component by name.
pub(super) fn cycles(resolved: &Resolved) -> Vec<Problem> {
    let mut search = CycleSearch {
        resolved,
        done: BTreeSet::new(),
        path: Vec::new(),
        found: Vec::new(),
    };
    for component in resolved.keys() {
        search.visit(component);
    }
    search.found
}

struct CycleSearch<'a> {
    resolved: &'a Resolved,
    done: BTreeSet<&'a ComponentName>,
    path: Vec<&'a ComponentName>,
    found: Vec<Problem>,
}

impl<'a> CycleSearch<'a> {
    /// Depth is bounded by the number of components of a workload, which the manifest bounds.
    fn visit(&mut self, component: &'a ComponentName) {
        if self.done.contains(component) {
            return;
        }
        if let Some(start) = self.path.iter().position(|name| *name == component) {
            let round = self
                .path
                .iter()
                .skip(start)
                .map(|name| (*name).clone())
                .collect();
            self.found.push(Problem::Cycle { components: round });
            return;
        }
        self.path.push(component);
        for resolution in self
            .resolved
            .get(component)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            if let Resolution::Sibling { to, .. } = resolution {
                self.visit(to);
            }
        }
        self.path.pop();
        self.done.insert(component);
    }
}
