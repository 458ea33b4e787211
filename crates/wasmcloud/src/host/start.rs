//! Starts one workload: fetch, inspect, plan, prepare, bind, open. Everything acquired on the way is a value, so giving up at any
//! step is dropping what there is.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{PoolStatus, StartError, StartRequest, WorkloadUsage};
use crate::artifact::Fetch;
use crate::engine::plan::{PlannedEntry, PlannedKind, Worlds};
use crate::engine::{
    Artifact, Engine, Flavour, InspectError, Inspected, LinkPlan, attribution, plan,
};
use crate::instance::{CalleeParts, HostRoom, MemoryAccount, WorkloadLog, WorkloadRoom};
use crate::plugin::{
    BindRequest, Binding, Callee, ComponentContext, EndingSender, Entry, GuestOutput,
    InstanceContext, Opening, Plugin, PluginError, States, WorkloadContext,
};
use crate::policy::GuestLimits;
use crate::workload::{
    Component, ComponentName, HostInterface, Image, Interface, Reuse, Workload, unsupported,
};

/// After a workload was told to end at once, how long until that is worth a word in the log.
const ABORT_WARNING: Duration = Duration::from_secs(10);

/// How many components of a workload are fetched and looked at at once: each may be hundreds of megabytes.
const FETCHES: usize = 2;

/// A page of linear memory, in bytes.
const PAGE: u64 = 64 << 10;

/// What a start needs of its host.
pub(super) struct Starter<'a> {
    pub(super) engine: &'a Engine,
    pub(super) fetch: &'a dyn Fetch,
    pub(super) output: &'a Arc<dyn GuestOutput>,
    pub(super) room: &'a HostRoom,
    /// Held while a workload opens and goes live.
    pub(super) opening: &'a tokio::sync::Mutex<()>,
    pub(super) ending: EndingSender,
}

/// Everything that a running workload holds. Dropping it closes its ways in and ends its guests.
pub(super) struct Held {
    bindings: Vec<Box<dyn Binding>>,
    leases: TaskTracker,
    stop: DropGuard,
    entries: Vec<Entry>,
    memory: Arc<MemoryAccount>,
    _artifacts: Vec<Arc<Artifact>>,
    pub(super) components: usize,
}

impl Held {
    /// How many instances are in use.
    pub(super) fn instances(&self) -> usize {
        self.leases.len()
    }

    /// What it uses now.
    pub(super) fn usage(&self) -> WorkloadUsage {
        let pool = |entry: &Entry| PoolStatus {
            component: entry.component.clone(),
            export: entry.export.clone(),
            usage: entry.callee.usage(),
        };
        WorkloadUsage {
            invocations: self.leases.len(),
            memory_bytes: self.memory.used(),
            pools: self.entries.iter().map(pool).collect(),
        }
    }

    /// Closes the ways in and lets guests finish within the patience; then ends them. Says whether all of them finished.
    pub(super) async fn release(self, patience: &Patience) -> bool {
        drop(self.bindings);
        let clear = || self.entries.iter().for_each(|entry| entry.callee.clear());
        clear();
        self.leases.close();
        let finished = patience.outlasts(self.leases.wait()).await;
        drop(self.stop);
        if !finished {
            let ended = || tokio::time::timeout(ABORT_WARNING, self.leases.wait());
            while ended().await.is_err() {
                tracing::warn!(
                    guests = self.leases.len(),
                    "guests of a stopped workload have not ended yet"
                );
            }
        }
        // What finished meanwhile was kept for the next one, and somebody may still hold the callee.
        clear();
        for entry in &self.entries {
            entry.callee.gone().await;
        }
        finished
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
    /// Whether some of its code was compiled by this process.
    pub(super) compiled: bool,
}

impl Starter<'_> {
    pub(super) async fn start(&self, request: &StartRequest) -> Result<Started, StartError> {
        let unsupported = unsupported(&request.workload);
        if !unsupported.is_empty() {
            return Err(StartError::Unsupported(unsupported));
        }
        check(self.engine.plugins(), &request.workload)?;
        check_limits(&self.room.limits, &request.workload)?;
        let components = self.components(&request.workload, &request.base).await?;
        let worlds: Worlds = components
            .iter()
            .map(|(name, inspected)| (name.clone(), Arc::clone(&inspected.world)))
            .collect();
        let plan = plan(&request.workload, &worlds, self.engine.offers())
            .map_err(|errors| StartError::Plan(Arc::new(errors)))?;
        let mut artifacts = Vec::new();
        for entry in &plan.entries {
            let artifact = self.engine.prepare(entry, &components).await;
            artifacts.push(artifact.map_err(|error| StartError::Prepare(Arc::new(error)))?);
        }
        let mut bound = self.bind(request, &plan).await?;
        let mut room = self.room.workload();
        let context = bound.context(request, self.output, &room);
        let leases = TaskTracker::new();
        let stopping = CancellationToken::new();
        let stop = stopping.clone().drop_guard();
        let mut entries = Vec::new();
        for (planned, artifact) in plan.entries.iter().zip(&artifacts) {
            let Some(root) = planned.root() else { continue };
            let concurrent = artifact.flavour == Flavour::Concurrent;
            let instance = context_of(self.room, planned, &context, &request.workload, &worlds);
            admit(root, artifact, &instance)?;
            let parts = CalleeParts {
                pre: artifact.pre.clone(),
                context: instance,
                concurrent,
                reuse: reuse(planned, &request.workload, concurrent),
                share: room.share(&artifact.capacity),
                tenant: Arc::clone(&room.tenant),
                processors: self.room.processors.clone(),
                patience: self.room.limits.wait,
                leases: leases.clone(),
                stopping: stopping.clone(),
            };
            let entry = Entry {
                component: root.clone(),
                export: planned.export.clone(),
                callee: Callee::new(parts),
            };
            entries.push((planned.plugin.as_str(), entry));
        }
        self.open(&mut bound, entries.clone(), request).await?;
        let components = plan
            .entries
            .iter()
            .flat_map(|entry| &entry.members)
            .map(|member| &member.component);
        let components = components.collect::<std::collections::BTreeSet<_>>().len();
        let bindings = bound.0.into_iter().map(|(_, binding)| binding).collect();
        let compiled = artifacts.iter().any(|artifact| !artifact.from_disk);
        let entries = entries.into_iter().map(|(_, entry)| entry).collect();
        Ok(Started {
            held: Held {
                bindings,
                leases,
                stop,
                entries,
                memory: room.memory,
                _artifacts: artifacts,
                components,
            },
            plan: Arc::new(plan),
            compiled,
        })
    }

    /// Fetches and looks at the components, a few at a time, and each image once.
    async fn components(
        &self,
        workload: &Workload,
        base: &Path,
    ) -> Result<BTreeMap<ComponentName, Inspected>, StartError> {
        let mut first: BTreeMap<&Image, &Component> = BTreeMap::new();
        for component in &workload.components {
            first.entry(&component.image).or_insert(component);
        }
        let fetches: Vec<_> = first
            .into_values()
            .map(|component| self.component(component, base))
            .collect();
        let inspected: Vec<(Image, Inspected)> = stream::iter(fetches)
            .buffer_unordered(FETCHES)
            .try_collect()
            .await?;
        let inspected: BTreeMap<Image, Inspected> = inspected.into_iter().collect();
        let named = workload.components.iter().filter_map(|component| {
            let inspected = inspected.get(&component.image)?.clone();
            Some((component.name.clone(), inspected))
        });
        Ok(named.collect())
    }

    async fn component(
        &self,
        component: &Component,
        base: &Path,
    ) -> Result<(Image, Inspected), StartError> {
        let engine = self.engine.clone();
        let inspect = move |bytes: &[u8]| engine.inspect(bytes);
        let (_, inspected) = look_at(self.fetch, component, base, inspect).await?;
        Ok((component.image.clone(), inspected))
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

/// Fetches a component and looks at it, on a thread that serves nobody.
pub(crate) async fn look_at(
    fetch: &dyn Fetch,
    component: &Component,
    base: &Path,
    inspect: impl FnOnce(&[u8]) -> Result<Inspected, InspectError> + Send + 'static,
) -> Result<(ComponentName, Inspected), StartError> {
    let name = component.name.clone();
    let image = component.image.resolve(base);
    let fetched = fetch.fetch(&image).await;
    let bytes = fetched.map_err(|error| StartError::Fetch {
        component: name.clone(),
        source: Arc::new(error),
    })?;
    let inspected = tokio::task::spawn_blocking(move || inspect(&bytes)).await;
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

/// Refuses a workload that asks for more than the host gives.
pub(crate) fn check_limits(limits: &GuestLimits, workload: &Workload) -> Result<(), StartError> {
    let wrong: Vec<PluginError> = workload
        .components
        .iter()
        .flat_map(|component| {
            let wrong = limits.check(&component.local_resources.limits);
            wrong.into_iter().map(|wrong| {
                let field = wrong.field;
                PluginError::new(format!("component `{}`: {wrong}", component.name))
                    .hint("ask for less, or leave it out for the host's default")
                    .at(format!(
                        "spec.components.{}.localResources.{field}",
                        component.name
                    ))
            })
        })
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
        room: &WorkloadRoom,
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
            log: Arc::new(WorkloadLog::new(
                Arc::clone(output),
                room.host.limits.log_rate,
                room.host.limits.log_burst,
            )),
            memory: Arc::clone(&room.memory),
        })
    }
}

fn refused(plugin: &'static str, error: PluginError) -> StartError {
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

/// Refuses an entry for whose first instance there is no memory.
fn admit(
    root: &ComponentName,
    artifact: &Artifact,
    instance: &InstanceContext,
) -> Result<(), StartError> {
    let required = artifact.pre.component().resources_required();
    let pages = required
        .and_then(|required| required.max_initial_memory_size)
        .unwrap_or_default();
    let bytes = pages.saturating_mul(PAGE);
    let own = MemoryAccount::of_instance(instance.limits.memory);
    let room = own
        .has_room(bytes)
        .and_then(|()| instance.workload.memory.has_room(bytes));
    room.map_err(|source| StartError::NoMemory {
        component: root.clone(),
        source,
    })
}

/// Whether instances of an entry are used again: where every component in it allows that, and as far as the most careful does.
fn reuse(entry: &PlannedEntry, workload: &Workload, concurrent: bool) -> Reuse {
    let members = entry.members.iter();
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

fn context_of(
    room: &HostRoom,
    entry: &PlannedEntry,
    workload: &Arc<WorkloadContext>,
    spec: &Workload,
    worlds: &Worlds,
) -> Arc<InstanceContext> {
    let member = |name: &ComponentName| {
        let resources = spec
            .component(name)
            .map(|component| component.local_resources.clone())
            .unwrap_or_default();
        Arc::new(ComponentContext {
            name: name.clone(),
            environment: resources.environment.into_iter().collect(),
            allowed_hosts: resources.allowed_hosts,
            told: Default::default(),
        })
    };
    let members = entry
        .members
        .iter()
        .map(|planned| member(&planned.component))
        .collect();
    let components = entry.members.iter();
    let limits = components
        .filter_map(|planned| spec.component(&planned.component))
        .map(|component| &component.local_resources.limits);
    let limits = room.limits.instance(limits);
    let worlds = entry
        .members
        .iter()
        .filter_map(|planned| worlds.get(&planned.component).cloned())
        .collect();
    Arc::new(InstanceContext {
        workload: Arc::clone(workload),
        members,
        attribution: attribution(worlds),
        limits,
        callees: Vec::new(),
    })
}
