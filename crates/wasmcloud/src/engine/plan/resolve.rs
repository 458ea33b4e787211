//! Finds who answers each import: an explicit link, else the one sibling that exports it, else a plugin of the host.

use std::collections::{BTreeMap, HashMap};

use super::{Answer, Offers, PlannedKind, PlannedLink, Problem, Worlds};
use crate::engine::inspect::{Confined, Extern, ExternKind};
use crate::plugin::Grant;
use crate::workload::{
    ComponentName, HostInterface, Interface, Link, LinkKind, LinkTarget, Workload, nearest,
};

/// Who answers one import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// A sibling, through the export of this name.
    Sibling {
        to: ComponentName,
        export: String,
        over: Over,
        /// What keeps the two in one store although they would be apart otherwise.
        confined: Option<Confined>,
    },
    /// A plugin.
    Host {
        plugin: &'static str,
        identity: bool,
    },
}

/// How a sibling is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// As part of the same compiled component.
    Fused,
    /// In a store of its own.
    Isolated,
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
        exports: exports(worlds),
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
                Err(problem) => problems.push(*problem),
            }
        }
    }
    resolved
}

impl Over {
    fn kind(self) -> PlannedKind {
        match self {
            Self::Fused => PlannedKind::Fused,
            Self::Isolated => PlannedKind::Isolated,
        }
    }
}

pub(super) fn links(resolved: &Resolved) -> Vec<PlannedLink> {
    let link = |from: &ComponentName, import: &String, resolution: &Resolution| {
        let (to, kind, confined) = match resolution {
            Resolution::Sibling {
                to, over, confined, ..
            } => (to.to_string(), over.kind(), confined.as_ref()),
            Resolution::Host { plugin, .. } => ((*plugin).to_owned(), PlannedKind::Host, None),
        };
        PlannedLink {
            from: from.clone(),
            import: import.clone(),
            to,
            kind,
            because: confined.map(|confined| {
                format!("{confined}, so the instance lives as long as the service")
            }),
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

/// Who exports an interface, by its name without the version. Components are in the order of their names.
type Exports<'a> = HashMap<(&'a str, &'a str, &'a str), Vec<(&'a ComponentName, &'a Extern)>>;

fn exports(worlds: &Worlds) -> Exports<'_> {
    let mut exports = Exports::new();
    for (name, world) in worlds {
        for export in &world.exports {
            if let Some(interface) = export.interface() {
                let exporters = exports.entry(unversioned(interface)).or_default();
                exporters.push((name, export));
            }
        }
    }
    exports
}

fn unversioned(interface: &Interface) -> (&str, &str, &str) {
    (&interface.namespace, &interface.package, &interface.name)
}

struct Resolver<'a> {
    workload: &'a Workload,
    worlds: &'a Worlds,
    offers: &'a Offers,
    exports: Exports<'a>,
}

impl Resolver<'_> {
    fn import(
        &self,
        component: &ComponentName,
        import: &Extern,
    ) -> Result<Option<Resolution>, Box<Problem>> {
        let ExternKind::Interface {
            interface,
            types_only,
            ..
        } = &import.kind
        else {
            return Err(Box::new(Problem::NotAnInterface {
                component: component.clone(),
                import: import.name.clone(),
            }));
        };
        if let Some((index, link)) = self.explicit(component, interface) {
            return self.linked(component, import, index, link);
        }
        // Plain types are the same wherever they come from: a sibling's would only tie the two together, perhaps into a circle.
        if !types_only {
            let siblings = self.exporters(component, interface);
            match siblings.as_slice() {
                [(to, export)] => {
                    return Ok(Some(self.by_default(component, import, to, export)));
                }
                [] => {}
                several => {
                    return Err(Box::new(Problem::Ambiguous {
                        component: component.clone(),
                        import: interface.clone(),
                        candidates: several.iter().map(|(name, _)| (*name).clone()).collect(),
                    }));
                }
            }
        }
        if let Some(answer) = self.offers.answer(interface) {
            return self.granted(component, import, answer).map(Some);
        }
        if *types_only {
            return Ok(None);
        }
        Err(Box::new(Problem::Unmet {
            component: component.clone(),
            import: interface.clone(),
            nearest: self.nearest_offer(component, interface),
        }))
    }

    /// Over what a sibling is reached where no link says. A component stays stateless although the service that calls it lives for
    /// days, unless what crosses between them cannot be copied.
    fn by_default(
        &self,
        component: &ComponentName,
        import: &Extern,
        to: &ComponentName,
        export: &str,
    ) -> Resolution {
        let is_service = self.workload.is_service(component);
        let confined = import.confined().filter(|_| is_service).cloned();
        let over = match (is_service, &confined) {
            (true, None) => Over::Isolated,
            _ => Over::Fused,
        };
        Resolution::Sibling {
            to: to.clone(),
            export: export.to_owned(),
            over,
            confined,
        }
    }

    /// The link for an import; where several fit, the one that names its version best.
    fn explicit(&self, component: &ComponentName, import: &Interface) -> Option<(usize, &Link)> {
        let links = self.workload.links.iter().enumerate();
        links
            .filter(|(_, link)| {
                link.from.as_ref() == Some(component) && link.import.accepts(import)
            })
            .min_by_key(|(_, link)| (link.import != *import, link.import.version.is_none()))
    }

    /// The answer that a link chooses. It must fit the import's own version, which the link may leave open.
    fn linked(
        &self,
        component: &ComponentName,
        import: &Extern,
        index: usize,
        link: &Link,
    ) -> Result<Option<Resolution>, Box<Problem>> {
        let Some(interface) = import.interface() else {
            return Ok(None);
        };
        let over = match link.kind {
            LinkKind::Isolated => Over::Isolated,
            LinkKind::Fused | LinkKind::Host | LinkKind::Remote => Over::Fused,
        };
        let resolution = match &link.to {
            LinkTarget::Component(to) => self
                .export_of(to, interface)
                .map(|export| sibling(to, export, over)),
            LinkTarget::Host => match self.offers.answer(interface) {
                Some(answer) => Some(self.granted(component, import, answer)?),
                None => None,
            },
        };
        // A link whose target answers nothing of the kind was reported with the links.
        if resolution.is_none() && self.is_answered(link) {
            return Err(Box::new(Problem::LinkWithoutExport {
                index,
                import: interface.clone(),
                to: link.to.clone(),
            }));
        }
        match import.confined() {
            Some(confined) if over == Over::Isolated && resolution.is_some() => {
                Err(Box::new(Problem::Confined {
                    index,
                    component: component.clone(),
                    import: interface.clone(),
                    confined: confined.clone(),
                }))
            }
            _ => Ok(resolution),
        }
    }

    fn exporters(
        &self,
        component: &ComponentName,
        import: &Interface,
    ) -> Vec<(&ComponentName, &str)> {
        let exports = self.exports.get(&unversioned(import));
        let mut found: Vec<(&ComponentName, &str)> = exports
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != component && !self.workload.is_service(name))
            .filter(|(_, export)| export.interface().is_some_and(|it| import.accepts(it)))
            .map(|(name, export)| (*name, export.name.as_str()))
            .collect();
        found.dedup_by_key(|(name, _)| *name);
        found
    }

    fn export_of(&self, component: &ComponentName, import: &Interface) -> Option<&str> {
        Some(self.worlds.get(component)?.exporting(import)?.name.as_str())
    }

    fn granted(
        &self,
        component: &ComponentName,
        import: &Extern,
        answer: &Answer,
    ) -> Result<Resolution, Box<Problem>> {
        let label = import.is_label().then_some(import.name.as_str());
        let covered = |interface| {
            let mut entries = self.workload.host_interfaces.iter();
            entries.any(|entry| entry.covers(interface) && self.label_of(entry) == label)
        };
        match &import.kind {
            // Plain types reach nothing, so there is nothing to grant.
            ExternKind::Interface {
                interface,
                types_only: false,
                ..
            } if answer.offer.grant == Grant::Listed && !covered(interface) => {
                Err(Box::new(Problem::NotGranted {
                    component: component.clone(),
                    import: interface.clone(),
                    label: label.map(str::to_owned),
                }))
            }
            _ => Ok(Resolution::Host {
                plugin: answer.plugin,
                identity: answer.offer.identity || import.is_label(),
            }),
        }
    }

    /// The label of the imports that an entry is for. The id of a plugin is none: it says who should answer.
    fn label_of<'b>(&self, entry: &'b HostInterface) -> Option<&'b str> {
        let is_plugin = |name: &&str| self.offers.answers.iter().any(|it| it.plugin == *name);
        entry.name.as_deref().filter(|name| !is_plugin(name))
    }

    /// Every label that an entry names must be one that a component gave to an import of that interface.
    fn check_label(&self, index: usize, entry: &HostInterface) -> Option<Problem> {
        let label = self.label_of(entry)?;
        let imports = self.worlds.values().flat_map(|world| &world.imports);
        let labels = imports
            .filter(|import| import.is_label())
            .filter(|import| import.interface().is_some_and(|it| entry.covers(it)));
        let labels: Vec<&str> = labels.map(|import| import.name.as_str()).collect();
        if labels.contains(&label) {
            return None;
        }
        Some(Problem::UnusedLabel {
            index,
            label: label.to_owned(),
            nearest: nearest(label, labels.iter().copied()).map(str::to_owned),
        })
    }

    fn is_answered(&self, link: &Link) -> bool {
        match &link.to {
            LinkTarget::Component(to) => self.export_of(to, &link.import).is_some(),
            LinkTarget::Host => self.offers.answer(&link.import).is_some(),
        }
    }

    /// Every explicit link must name an import that is there and a target that answers it.
    fn check_links(&self, problems: &mut Vec<Problem>) {
        for (index, link) in self.workload.links.iter().enumerate() {
            if let Some(from) = &link.from
                && !self
                    .imports_of(from)
                    .any(|import| link.import.accepts(import))
            {
                problems.push(Problem::LinkWithoutImport {
                    index,
                    component: from.clone(),
                    import: link.import.clone(),
                    nearest: self.nearest_import(from, &link.import),
                });
            }
            if link.from.is_none() && !self.is_called(&link.import) {
                problems.push(Problem::LinkWithoutCaller {
                    index,
                    import: link.import.clone(),
                });
            }
            if !self.is_answered(link) {
                problems.push(Problem::LinkWithoutExport {
                    index,
                    import: link.import.clone(),
                    to: link.to.clone(),
                });
            }
        }
    }

    /// Versions count only where the link names one: against a name without one they are mere distance.
    fn nearest_import(&self, component: &ComponentName, wanted: &Interface) -> Option<String> {
        let compared = |import: &Interface| {
            let mut import = import.clone();
            import.version = import.version.filter(|_| wanted.version.is_some());
            import.to_string()
        };
        let known: BTreeMap<String, String> = self
            .imports_of(component)
            .map(|import| (compared(import), import.to_string()))
            .collect();
        let near = nearest(&wanted.to_string(), known.keys().map(String::as_str))?;
        known.get(near).cloned()
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
            let before = problems.len();
            let interfaces: Vec<Interface> = interfaces(entry).collect();
            for interface in &interfaces {
                if self.offers.answer(interface).is_none() && !self.is_called(interface) {
                    problems.push(Problem::UnknownInterface {
                        index,
                        nearest: self.nearest_known(interface),
                        interface: interface.clone(),
                    });
                }
            }
            let configurable = |interface: &Interface| {
                self.is_called(interface) || self.is_configurable(interface)
            };
            if problems.len() == before {
                problems.extend(self.check_label(index, entry));
            }
            if problems.len() == before
                && !entry.config.is_empty()
                && !interfaces.iter().any(configurable)
                && let Some(interface) = interfaces.into_iter().next()
            {
                problems.push(Problem::NotConfigurable { index, interface });
            }
        }
    }

    /// Whether a plugin calls it.
    fn is_called(&self, interface: &Interface) -> bool {
        let mut exports = self.offers.calls.iter().flat_map(|calls| &calls.exports);
        exports.any(|export| interface.accepts(export))
    }

    fn is_configurable(&self, interface: &Interface) -> bool {
        self.offers
            .answers
            .iter()
            .any(|answer| answer.offer.configurable && interface.accepts(&answer.offer.interface))
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

fn sibling(to: &ComponentName, export: &str, over: Over) -> Resolution {
    Resolution::Sibling {
        to: to.clone(),
        export: export.to_owned(),
        over,
        confined: None,
    }
}

/// The interfaces of an entry, one by one.
fn interfaces(entry: &HostInterface) -> impl Iterator<Item = Interface> {
    entry.interfaces.iter().map(|name| Interface {
        namespace: entry.namespace.clone(),
        package: entry.package.clone(),
        name: name.clone(),
        version: entry.version.clone(),
    })
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
