//! Makes what calls the components of a workload: first those that others call over isolated links, then its entries.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use super::service::Run;
use super::start::Prepared;
use crate::engine::plan::{Member, PlannedService, Worlds};
use crate::engine::{
    Artifact, Flavour, IsolationError, LinkPlan, PrepareError, attribution, slots,
};
use crate::instance::{CalleeParts, IsolatedCallee, MemoryAccount, WorkloadRoom};
use crate::plugin::{Callee, ComponentContext, Entry, InstanceContext, Role, WorkloadContext};
use crate::workload::{Component, ComponentName, Export, Reuse, Workload};

/// A page of linear memory, in bytes.
const PAGE: u64 = 64 << 10;

/// What everything that is made of a workload shares.
pub(super) struct Making<'a> {
    pub(super) room: &'a mut WorkloadRoom,
    pub(super) workload: &'a Arc<WorkloadContext>,
    pub(super) spec: &'a Workload,
    pub(super) worlds: &'a Worlds,
    pub(super) leases: &'a TaskTracker,
    pub(super) stopping: &'a CancellationToken,
    /// What others call over isolated links, in the order of the plan.
    pub(super) made: Vec<(Arc<Artifact>, Pooled)>,
}

/// Something with instances of its own.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    /// The component that is called.
    pub(super) component: ComponentName,
    /// Through which export; none where siblings call it, or whoever has the host in hand.
    pub(super) export: Option<Export>,
    pub(super) callee: Callee,
}

/// A service that can be started.
pub(super) struct MadeService {
    pub(super) callee: Callee,
    pub(super) run: Option<Run>,
}

/// Everything that a plan asks for, ready to be started and called.
pub(super) struct Made<'a> {
    pub(super) service: Option<MadeService>,
    /// The entries, each with the plugin that calls it.
    pub(super) entries: Vec<(&'a str, Entry)>,
    /// What others call over isolated links.
    pub(super) isolated: Vec<(Arc<Artifact>, Pooled)>,
}

/// Everything that has instances.
pub(super) fn pools(
    entries: &[(&str, Entry)],
    isolated: &[(Arc<Artifact>, Pooled)],
) -> Vec<Pooled> {
    let entries = entries.iter().map(|(_, entry)| Pooled {
        component: entry.component.clone(),
        export: Some(entry.export.clone()),
        callee: entry.callee.clone(),
    });
    let isolated = isolated.iter().map(|(_, pooled)| pooled.clone());
    entries.chain(isolated).collect()
}

impl Making<'_> {
    /// Makes everything that a plan asks for from what was prepared for it.
    pub(super) fn all<'p>(
        mut self,
        plan: &'p LinkPlan,
        prepared: &Prepared,
    ) -> Result<Made<'p>, StartError> {
        for (planned, artifact) in plan.callees.iter().zip(&prepared.callees) {
            self.isolated(&planned.members, artifact)?;
        }
        let service = match plan.service.as_ref().zip(prepared.service.as_ref()) {
            Some((planned, artifact)) => Some(self.service(planned, artifact)?),
            None => None,
        };
        let mut entries = Vec::new();
        for (planned, artifact) in plan.entries.iter().zip(&prepared.entries) {
            let Some(root) = planned.root() else { continue };
            // Whoever calls the service calls the one instance of it.
            let own = service.as_ref().filter(|_| self.spec.is_service(root));
            let callee = match own {
                Some(service) => service.callee.clone(),
                None => self.callee(&planned.members, artifact)?,
            };
            let entry = Entry {
                component: root.clone(),
                export: planned.export.clone(),
                schedule: planned.schedule.clone(),
                callee,
            };
            entries.push((planned.plugin.as_str(), entry));
        }
        Ok(Made {
            service,
            entries,
            isolated: self.made,
        })
    }

    /// Makes what others call over isolated links. Those that it calls itself must have been made.
    pub(super) fn isolated(
        &mut self,
        members: &[Member],
        artifact: &Arc<Artifact>,
    ) -> Result<(), StartError> {
        let callee = self.callee(members, artifact)?;
        if let Some(root) = members.first() {
            let pooled = Pooled {
                component: root.component.clone(),
                export: None,
                callee,
            };
            self.made.push((Arc::clone(artifact), pooled));
        }
        Ok(())
    }

    /// Makes the service. What it calls over isolated links must have been made.
    pub(super) fn service(
        &mut self,
        planned: &PlannedService,
        artifact: &Artifact,
    ) -> Result<MadeService, StartError> {
        let callee = self.make(&planned.members, artifact, Role::Service)?;
        let run = planned.run.as_ref().map(|run| Run::find(&callee, run));
        let run = run.transpose().map_err(|error| StartError::Service {
            reason: format!("{error:#}"),
        })?;
        Ok(MadeService { callee, run })
    }

    /// Makes a way to call the first of the members.
    pub(super) fn callee(
        &mut self,
        members: &[Member],
        artifact: &Artifact,
    ) -> Result<Callee, StartError> {
        self.make(members, artifact, Role::Component)
    }

    fn make(
        &mut self,
        members: &[Member],
        artifact: &Artifact,
        role: Role,
    ) -> Result<Callee, StartError> {
        let concurrent = artifact.flavour == Flavour::Concurrent;
        let context = self.context(members, self.answers(members, artifact)?, role);
        admit(artifact, &context)?;
        Ok(Callee::new(CalleeParts {
            pre: artifact.pre.clone(),
            context,
            concurrent,
            reuse: match role {
                Role::Component => reuse(members, self.spec, concurrent),
                Role::Service => Reuse::Fresh,
            },
            resident: role == Role::Service,
            share: self.room.share(&artifact.capacity),
            tenant: Arc::clone(&self.room.tenant),
            processors: self.room.host.processors.clone(),
            patience: self.room.host.limits.wait,
            leases: self.leases.clone(),
            stopping: self.stopping.clone(),
        }))
    }

    /// Who answers the isolated imports of the members.
    fn answers(
        &self,
        members: &[Member],
        artifact: &Artifact,
    ) -> Result<Vec<IsolatedCallee>, StartError> {
        let mut answers = Vec::new();
        for (slot, (_, member, link)) in slots(members).enumerate() {
            // The plan has everybody behind those that it calls.
            let Some((made, pooled)) = self.made.get(link.callee) else {
                continue;
            };
            let functions = artifact.connect(slot, made, &link.export);
            let functions = functions.map_err(|reason| {
                let error = IsolationError {
                    from: member.component.clone(),
                    to: pooled.component.clone(),
                    import: link.import.clone(),
                    reason,
                };
                StartError::Prepare(Arc::new(PrepareError::Isolated(error)))
            })?;
            answers.push(IsolatedCallee {
                callee: pooled.callee.clone(),
                functions,
            });
        }
        Ok(answers)
    }

    fn context(
        &self,
        members: &[Member],
        callees: Vec<IsolatedCallee>,
        role: Role,
    ) -> Arc<InstanceContext> {
        let member = |name: &ComponentName| {
            let resources = self
                .spec
                .component(name)
                .map(|component| component.local_resources.clone())
                .unwrap_or_default();
            Arc::new(ComponentContext {
                name: name.clone(),
                environment: resources.environment.into_iter().collect(),
                role: match self.spec.is_service(name) {
                    true => Role::Service,
                    false => Role::Component,
                },
                allowed_hosts: resources.allowed_hosts,
                allowed_names: resources.allowed_ip_name_lookups,
                host_ports: resources.allowed_host_loopback_ports,
                told: Default::default(),
            })
        };
        let names = || members.iter().map(|planned| &planned.component);
        let limits = names()
            .filter_map(|name| self.spec.component(name))
            .map(|component| &component.local_resources.limits);
        let worlds = names().filter_map(|name| self.worlds.get(name).cloned());
        let mut limits = self.room.host.limits.instance(limits);
        if role == Role::Service {
            // It computes for as long as it lives; its share of the processors is what limits it.
            limits.cpu = Duration::MAX;
        }
        Arc::new(InstanceContext {
            workload: Arc::clone(self.workload),
            members: names().map(member).collect(),
            attribution: attribution(worlds.collect()),
            limits,
            callees,
        })
    }
}

/// Refuses what would have no memory for its first instance.
fn admit(artifact: &Artifact, instance: &InstanceContext) -> Result<(), StartError> {
    let required = artifact.pre.component().resources_required();
    let pages = required
        .and_then(|required| required.max_initial_memory_size)
        .unwrap_or_default();
    let bytes = pages.saturating_mul(PAGE);
    let own = MemoryAccount::of_instance(instance.limits.memory);
    let room = own
        .has_room(bytes)
        .and_then(|()| instance.workload.memory.has_room(bytes));
    let (Err(source), Some(root)) = (room, instance.members.first()) else {
        return Ok(());
    };
    Err(StartError::NoMemory {
        component: root.name.clone(),
        source,
    })
}

/// Whether instances are used again: where every component in them allows that, and as far as the most careful does.
fn reuse(members: &[Member], workload: &Workload, concurrent: bool) -> Reuse {
    let members = members.iter();
    let members: Vec<&Component> = members
        .filter_map(|member| workload.component(&member.component))
        .collect();
    let Some(Reuse::Pooled { size, .. }) = members.first().map(|root| root.reuse) else {
        return Reuse::Fresh;
    };
    let (mut invocations, mut concurrency) = (None, NonZeroU32::MAX);
    for member in members {
        let Reuse::Pooled {
            max_invocations,
            max_concurrency,
            ..
        } = member.reuse
        else {
            tracing::warn!(
                component = %member.name,
                "instances are not pooled although `poolSize` asks for it: this component is fused with one that has a `poolSize`, and has none"
            );
            return Reuse::Fresh;
        };
        invocations = [invocations, max_invocations].into_iter().flatten().min();
        concurrency = concurrency.min(max_concurrency);
    }
    if !concurrent && concurrency > NonZeroU32::MIN {
        tracing::warn!(
            "instances serve one invocation at a time although `maxConcurrency` allows more: the components are of WASI 0.2"
        );
        concurrency = NonZeroU32::MIN;
    }
    Reuse::Pooled {
        size,
        max_invocations: invocations,
        max_concurrency: concurrency,
    }
}
