//! Starts one workload: fetch, inspect, plan, prepare, bind, open. Everything acquired on the way is a value, so giving up at any
//! step is dropping what there is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{StartError, StartRequest};
use crate::artifact::Fetch;
use crate::engine::plan::{PlannedEntry, PlannedKind, Worlds};
use crate::engine::{Artifact, Engine, Flavour, Inspected, LinkPlan, attribution, plan};
use crate::plugin::{
    BindRequest, Binding, Callee, ComponentContext, EndingSender, Entry, GuestOutput,
    InstanceContext, Opening, Plugin, States, WorkloadContext,
};
use crate::workload::{Component, ComponentName, HostInterface, Interface, Workload, unsupported};

/// After a workload was told to end at once, how long until that is worth a word in the log.
const ABORT_WARNING: Duration = Duration::from_secs(10);

/// What a start needs of its host.
pub(super) struct Starter<'a> {
    pub(super) engine: &'a Engine,
    pub(super) fetch: &'a dyn Fetch,
    pub(super) output: &'a Arc<dyn GuestOutput>,
    /// Held while a workload opens and goes live.
    pub(super) opening: &'a tokio::sync::Mutex<()>,
    pub(super) ending: EndingSender,
}

/// Everything that a running workload holds. Dropping it closes its ways in and ends its guests.
pub(super) struct Held {
    bindings: Vec<Box<dyn Binding>>,
    leases: TaskTracker,
    stop: DropGuard,
    _artifacts: Vec<Arc<Artifact>>,
    pub(super) components: usize,
}

impl Held {
    /// How many instances are in use.
    pub(super) fn instances(&self) -> usize {
        self.leases.len()
    }

    /// Closes the ways in and lets guests finish within the patience; then ends them.
    pub(super) async fn release(self, patience: &Patience) {
        drop(self.bindings);
        self.leases.close();
        if !patience.outlasts(self.leases.wait()).await {
            drop(self.stop);
            let ended = || tokio::time::timeout(ABORT_WARNING, self.leases.wait());
            while ended().await.is_err() {
                tracing::warn!(
                    guests = self.leases.len(),
                    "guests of a stopped workload have not ended yet"
                );
            }
        }
    }
}

/// How long guests may go on.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// At first.
    pub(super) grace: Duration,
    /// Cancelled when somebody waits for their end.
    pub(super) hurry: CancellationToken,
    /// From then on.
    pub(super) hurried: Duration,
}

impl Patience {
    /// Whether the work comes to its end in time.
    async fn outlasts(&self, work: impl Future<Output = ()>) -> bool {
        let late = async {
            tokio::select! {
                () = tokio::time::sleep(self.grace) => {}
                () = async {
                    self.hurry.cancelled().await;
                    tokio::time::sleep(self.hurried).await;
                } => {}
            }
        };
        tokio::select! {
            biased;
            () = work => true,
            () = late => false,
        }
    }
}

/// A workload that runs.
pub(super) struct Started {
    pub(super) held: Held,
    pub(super) plan: Arc<LinkPlan>,
}

impl Starter<'_> {
    pub(super) async fn start(&self, request: &StartRequest) -> Result<Started, StartError> {
        let unsupported = unsupported(&request.workload);
        if !unsupported.is_empty() {
            return Err(StartError::Unsupported(unsupported));
        }
        check(self.engine.plugins(), &request.workload)?;
        let components = self.components(&request.workload, &request.base).await?;
        let worlds: Worlds = components
            .iter()
            .map(|(name, inspected)| (name.clone(), Arc::clone(&inspected.world)))
            .collect();
        let plan = plan(&request.workload, &worlds, self.engine.offers())
            .map_err(|errors| StartError::Plan(Arc::new(errors)))?;
        let mut artifacts = Vec::new();
        for entry in &plan.entries {
            let artifact = self
                .engine
                .prepare(entry.flavour, &entry.members, &components)
                .await;
            artifacts.push(artifact.map_err(|error| StartError::Prepare(Arc::new(error)))?);
        }
        let mut bound = self.bind(request, &plan).await?;
        let leases = TaskTracker::new();
        let stopping = CancellationToken::new();
        let stop = stopping.clone().drop_guard();
        let context = bound.context(request, self.output);
        let entries = plan.entries.iter().zip(&artifacts);
        let entries = entries
            .filter_map(|(planned, artifact)| {
                let instance = instance_context(planned, &context, &request.workload, &worlds);
                let callee = Callee::new(
                    artifact.pre.clone(),
                    instance,
                    artifact.flavour == Flavour::Concurrent,
                    leases.clone(),
                    stopping.clone(),
                );
                let entry = Entry {
                    component: planned.root()?.clone(),
                    export: planned.export.clone(),
                    callee,
                };
                Some((planned.plugin.as_str(), entry))
            })
            .collect();
        self.open(&mut bound, entries, request).await?;
        let components = plan
            .entries
            .iter()
            .flat_map(|entry| &entry.members)
            .map(|member| &member.component);
        let components = components.collect::<std::collections::BTreeSet<_>>().len();
        let bindings = bound.0.into_iter().map(|(_, binding)| binding).collect();
        Ok(Started {
            held: Held {
                bindings,
                leases,
                stop,
                _artifacts: artifacts,
                components,
            },
            plan: Arc::new(plan),
        })
    }

    async fn components(
        &self,
        workload: &Workload,
        base: &Path,
    ) -> Result<BTreeMap<ComponentName, Inspected>, StartError> {
        let inspected = try_join_all(
            workload
                .components
                .iter()
                .map(|component| self.component(component, base)),
        )
        .await?;
        Ok(inspected.into_iter().collect())
    }

    async fn component(
        &self,
        component: &Component,
        base: &Path,
    ) -> Result<(ComponentName, Inspected), StartError> {
        let name = component.name.clone();
        let image = component.image.resolve(base);
        let fetched = self.fetch.fetch(&image).await;
        let bytes = fetched.map_err(|error| StartError::Fetch {
            component: name.clone(),
            source: Arc::new(error),
        })?;
        let engine = self.engine.clone();
        let inspected = tokio::task::spawn_blocking(move || engine.inspect(&bytes)).await;
        let inspected = inspected.map_err(|_| {
            StartError::Host(format!(
                "looking at component `{name}` crashed; this is a bug worth reporting"
            ))
        })?;
        let inspected = inspected.map_err(|error| StartError::Inspect {
            component: name.clone(),
            image: image.to_string(),
            source: Arc::new(error),
        })?;
        Ok((name, inspected))
    }

    /// Binds the plugins that the plan uses.
    async fn bind(&self, request: &StartRequest, plan: &LinkPlan) -> Result<Bound, StartError> {
        let mut bound = Bound(Vec::new());
        for plugin in self.engine.plugins().iter() {
            let uses = uses(plugin.as_ref(), plan);
            let called = plan.entries.iter().any(|entry| entry.plugin == plugin.id());
            if uses.is_empty() && !called {
                continue;
            }
            let interfaces = interfaces(plugin.as_ref(), &request.workload);
            let bind = BindRequest {
                id: &request.id,
                workload: &request.workload,
                interfaces: &interfaces,
                uses: &uses,
            };
            let binding = plugin
                .bind(bind)
                .await
                .map_err(|error| refused(plugin.id(), error))?;
            bound.0.push((plugin.id(), binding));
        }
        Ok(bound)
    }

    /// Opens every binding, then lets the world in. Other workloads wait meanwhile, so that what one finds free stays free.
    async fn open(
        &self,
        bound: &mut Bound,
        mut entries: Vec<(&str, Entry)>,
        request: &StartRequest,
    ) -> Result<(), StartError> {
        let _alone = self.opening.lock().await;
        for (plugin, binding) in &mut bound.0 {
            let own = entries
                .extract_if(.., |(called_by, _)| called_by == plugin)
                .map(|(_, entry)| entry)
                .collect();
            let opening = Opening {
                entries: own,
                replaces: request.replaces.clone(),
                ending: self.ending.clone(),
            };
            binding
                .open(opening)
                .await
                .map_err(|error| refused(plugin, error))?;
        }
        bound
            .0
            .iter_mut()
            .for_each(|(_, binding)| binding.go_live());
        Ok(())
    }
}

/// Asks every plugin what is wrong with the settings of a workload.
pub(crate) fn check(plugins: &[Arc<dyn Plugin>], workload: &Workload) -> Result<(), StartError> {
    let wrong: Vec<_> = plugins
        .iter()
        .flat_map(|plugin| plugin.check(workload))
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(StartError::Settings(wrong.into()))
    }
}

/// Bindings with the ids of their plugins.
struct Bound(Vec<(&'static str, Box<dyn Binding>)>);

impl Bound {
    fn context(
        &self,
        request: &StartRequest,
        output: &Arc<dyn GuestOutput>,
    ) -> Arc<WorkloadContext> {
        let states: States = self
            .0
            .iter()
            .filter_map(|(_, binding)| binding.state())
            .collect();
        Arc::new(WorkloadContext {
            id: request.id.clone(),
            namespace: request.workload.namespace.clone(),
            name: request.workload.name.clone(),
            states,
            output: Arc::clone(output),
        })
    }
}

fn refused(plugin: &'static str, error: crate::plugin::PluginError) -> StartError {
    StartError::Plugin {
        plugin,
        source: Arc::new(error),
    }
}

fn uses(plugin: &dyn Plugin, plan: &LinkPlan) -> Vec<(ComponentName, Interface)> {
    let links = plan
        .links
        .iter()
        .filter(|link| link.kind == PlannedKind::Host && link.to == plugin.id());
    links
        .filter_map(|link| Some((link.from.clone(), link.import.parse().ok()?)))
        .collect()
}

fn interfaces(plugin: &dyn Plugin, workload: &Workload) -> Vec<HostInterface> {
    let offers = plugin.offers();
    let handles = plugin.handles();
    let known = || offers.iter().map(|offer| &offer.interface).chain(&handles);
    workload
        .host_interfaces
        .iter()
        .filter(|entry| known().any(|interface| entry.covers(interface)))
        .cloned()
        .collect()
}

fn instance_context(
    entry: &PlannedEntry,
    workload: &Arc<WorkloadContext>,
    spec: &Workload,
    worlds: &Worlds,
) -> Arc<InstanceContext> {
    let member = |name: &ComponentName| {
        let environment = spec
            .component(name)
            .map(|component| component.local_resources.environment.clone())
            .unwrap_or_default();
        Arc::new(ComponentContext {
            name: name.clone(),
            environment: environment.into_iter().collect(),
            denial_told: Default::default(),
        })
    };
    let members = entry
        .members
        .iter()
        .map(|planned| member(&planned.component))
        .collect();
    let worlds = entry
        .members
        .iter()
        .filter_map(|planned| worlds.get(&planned.component).cloned())
        .collect();
    Arc::new(InstanceContext {
        workload: Arc::clone(workload),
        members,
        attribution: attribution(worlds),
    })
}
