//! Decides who answers each import and what is fused into what, before anything runs. Pure: the same workload, worlds and offers
//! give the same plan, in whatever order the manifest lists the components.

mod early;
mod entries;
mod graph;
mod handlers;
mod layout;
mod problem;
mod resolve;
mod schedules;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

pub use early::plan_early;
pub use problem::{PlanErrors, Problem};
pub use service::runs;

use super::config::Flavour;
use super::inspect::World;
use crate::plugin::{Offer, Plugin};
use crate::workload::{ComponentName, Export, Interface, ScheduleName, Workload};

/// The worlds of a workload's components.
pub type Worlds = BTreeMap<ComponentName, Arc<World>>;

/// What the host can answer and whom it can call.
#[derive(Clone, Debug, Default)]
pub struct Offers {
    /// Imports that plugins answer, in the order of the plugins.
    pub answers: Vec<Answer>,
    /// Exports that plugins call, in the order of the plugins.
    pub calls: Vec<Calls>,
    /// The plugin that calls what schedules name, if there is one.
    pub scheduler: Option<&'static str>,
    /// Whether nobody calls from outside but whoever has the host in hand: then nothing needs to be an entry.
    pub closed: bool,
}

/// An import that a plugin answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The plugin's id.
    pub plugin: &'static str,
    /// What it offers.
    pub offer: Offer,
}

/// Exports that a plugin calls; alternatives, most wanted first.
#[derive(Clone, Debug)]
pub struct Calls {
    /// The plugin's id.
    pub plugin: &'static str,
    /// The exports.
    pub exports: Vec<Interface>,
    /// Whether every component that has one is called, and not the one in front of the others.
    pub every: bool,
}

impl Offers {
    /// What the given plugins offer.
    #[must_use]
    pub fn of(plugins: &[Arc<dyn Plugin>]) -> Self {
        let answers = plugins
            .iter()
            .flat_map(|plugin| {
                plugin.offers().into_iter().map(|offer| Answer {
                    plugin: plugin.id(),
                    offer,
                })
            })
            .collect();
        let calls = plugins
            .iter()
            .map(|plugin| Calls {
                plugin: plugin.id(),
                exports: plugin.handles(),
                every: plugin.handles_every(),
            })
            .filter(|calls| !calls.exports.is_empty())
            .collect();
        let mut schedulers = plugins.iter().filter(|plugin| plugin.runs_schedules());
        Self {
            answers,
            calls,
            scheduler: schedulers.next().map(|plugin| plugin.id()),
            closed: false,
        }
    }

    /// Who answers an import; the first plugin that can.
    #[must_use]
    pub fn answer(&self, import: &Interface) -> Option<&Answer> {
        self.answers
            .iter()
            .find(|answer| import.accepts(&answer.offer.interface))
    }
}

/// Who answers each import of a workload, and what is called from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkPlan {
    /// All links, by component and import.
    pub links: Vec<PlannedLink>,
    /// What is called from outside, by plugin and component.
    pub entries: Vec<PlannedEntry>,
    /// The service, where the workload has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<PlannedService>,
    /// What components call over isolated links; each behind those that it calls itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callees: Vec<PlannedCallee>,
    /// Components that nothing reaches: they are neither called from outside nor by a component that is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<ComponentName>,
}

impl LinkPlan {
    /// What is compiled: the entries, then the callees, then the service.
    pub fn units(&self) -> impl Iterator<Item = (Flavour, &[Member])> {
        let entries = self.entries.iter().map(|it| (it.flavour, &it.members[..]));
        let callees = self.callees.iter().map(|it| (it.flavour, &it.members[..]));
        let service = self.service.iter().map(|it| (it.flavour, &it.members[..]));
        entries.chain(callees).chain(service)
    }
}

/// Who answers one import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedLink {
    /// The component that imports.
    pub from: ComponentName,
    /// The import as the component names it.
    pub import: String,
    /// The component or plugin that answers.
    pub to: String,
    /// Over what.
    pub kind: PlannedKind,
    /// Why not over what would be usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Over what a link goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlannedKind {
    /// Component to component, compiled into one.
    Fused,
    /// Component to component, each in a store of its own.
    Isolated,
    /// A plugin of the host answers.
    Host,
}

/// A component that is called from outside, with everything fused behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedEntry {
    /// The plugin that calls it.
    pub plugin: String,
    /// The export that is called.
    pub export: Export,
    /// The schedule that it is for, if it is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// Which engine runs it.
    pub flavour: Flavour,
    /// The root, at position 0, and every component it reaches through fused links.
    pub members: Vec<Member>,
}

impl PlannedEntry {
    /// The component that exports the entry.
    #[must_use]
    pub fn root(&self) -> Option<&ComponentName> {
        self.members.first().map(|member| &member.component)
    }
}

/// The service of a workload, with everything fused behind it. There is one instance of it at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedService {
    /// What is called when it starts, and runs for as long as it does; none where it only answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Interface>,
    /// Which engine runs it.
    pub flavour: Flavour,
    /// The service, at position 0, and every component it reaches through fused links.
    pub members: Vec<Member>,
}

/// A component that others call over isolated links, with everything fused behind it. All of them share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedCallee {
    /// Which engine runs it.
    pub flavour: Flavour,
    /// The component that is called, at position 0, and every component it reaches through fused links.
    pub members: Vec<Member>,
}

impl PlannedCallee {
    /// The component that is called.
    #[must_use]
    pub fn root(&self) -> Option<&ComponentName> {
        self.members.first().map(|member| &member.component)
    }
}

/// A component inside a fused one. Its position is its place in [`PlannedEntry::members`] or [`PlannedCallee::members`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Which component.
    pub component: ComponentName,
    /// Its imports that another member answers, by name.
    pub fused: Vec<FusedImport>,
    /// Its imports that a callee in a store of its own answers, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub isolated: Vec<IsolatedImport>,
    /// Its imports that must stay apart from other members' because the answer depends on who asks, by name.
    #[serde(skip)]
    pub apart: Vec<String>,
}

/// An import that another member answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FusedImport {
    /// The import as the component names it.
    pub import: String,
    /// The position of the member that answers.
    pub to: usize,
    /// The export as that member names it.
    pub export: String,
}

/// An import that a callee in a store of its own answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IsolatedImport {
    /// The import as the component names it.
    pub import: String,
    /// The callee's place in [`LinkPlan::callees`].
    pub callee: usize,
    /// The export as the callee's root names it.
    pub export: String,
}

/// Plans a workload.
///
/// # Errors
/// With everything that is wrong: all unmet, ambiguous and ungranted imports, wrong links, cycles, and entries that are missing or
/// not clear.
pub fn plan(workload: &Workload, worlds: &Worlds, offers: &Offers) -> Result<LinkPlan, PlanErrors> {
    let mut problems = Vec::new();
    let resolved = resolve::resolve(workload, worlds, offers, &mut problems);
    problems.extend(graph::cycles(&resolved));
    let service = service::service(workload, worlds);
    let roots = entries::roots(workload, worlds, offers, &resolved, &mut problems);
    if let Some(service) = &service {
        let called = roots.iter().any(|root| root.component == *service.name);
        problems.extend(service::idle(service, worlds, offers).filter(|_| !called));
    }
    if !problems.is_empty() {
        return Err(PlanErrors(problems));
    }
    let (entries, service, callees) = layout::lay_out(roots, service, worlds, &resolved);
    let called = callees.iter().flat_map(|callee| &callee.members);
    let reached: BTreeSet<&ComponentName> = entries
        .iter()
        .flat_map(|entry| &entry.members)
        .chain(service.iter().flat_map(|service| &service.members))
        .chain(called)
        .map(|member| &member.component)
        .collect();
    let unreached = worlds
        .keys()
        .filter(|name| !reached.contains(name))
        .cloned()
        .collect();
    Ok(LinkPlan {
        links: resolve::links(&resolved),
        entries,
        service,
        callees,
        unreached,
    })
}

/// What it takes to call one component of a workload that nothing else may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPlan {
    /// Which engine runs it.
    pub flavour: Flavour,
    /// The component at position 0, and every component it reaches through fused links.
    pub members: Vec<Member>,
    /// What they call over isolated links; each behind those that it calls itself.
    pub callees: Vec<PlannedCallee>,
}

/// Plans a call of a component, with the links that the plan of the workload has.
///
/// # Errors
/// When the workload's links do not work out, which its own plan would have told.
pub fn plan_call(
    workload: &Workload,
    worlds: &Worlds,
    offers: &Offers,
    component: &ComponentName,
) -> Result<CallPlan, PlanErrors> {
    let mut problems = Vec::new();
    let resolved = resolve::resolve(workload, worlds, offers, &mut problems);
    problems.extend(graph::cycles(&resolved));
    if !problems.is_empty() {
        return Err(PlanErrors(problems));
    }
    let ((flavour, members), callees) = layout::lay_out_call(component, worlds, &resolved);
    Ok(CallPlan {
        flavour,
        members,
        callees,
    })
}

#[cfg(test)]
mod tests;
