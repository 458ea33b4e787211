//! Starts one workload: fetch, inspect, plan, prepare, bind, open. Everything acquired on the way is a value, so giving up at any
//! step is dropping what there is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt as _;
use futures::future::{join_all, try_join_all};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::call::{Calling, Ways};
use super::fetching::{Arrived, arrived};
use super::making::{Made, MadeService, Making, Pooled, pools};
use super::service::{Keeper, Restarts, Service, ServiceStatus};
use super::{PoolStatus, StartError, StartRequest, Watched, WorkloadUsage};
use crate::artifact::{Digest, Fetch};
use crate::engine::plan::PlannedKind;
use crate::engine::{Artifact, Components, Engine, LinkPlan, plan};
use crate::instance::{Farewell, HostRoom, MemoryAccount, WorkloadLog, WorkloadRoom};
use crate::plugin::{
    BindRequest, Binding, EndingSender, Entry, GuestOutput, Opening, Plugin, PluginError, Port,
    Presence, ScheduleStatus, Scheduled, States, WorkloadContext,
};
use crate::policy::GuestLimits;
use crate::workload::{ComponentName, HostInterface, Interface, Workload, unsupported};

/// After a workload was told to end at once, how long until that is worth a word in the log.
const ABORT_WARNING: Duration = Duration::from_secs(10);

/// How long a start waits until a service listens on its published ports.
const READY: Duration = Duration::from_secs(10);

/// What a start needs of its host.
pub(super) struct Starter<'a> {
    pub(super) engine: &'a Engine,
    pub(super) fetch: &'a dyn Fetch,
    pub(super) output: &'a Arc<dyn GuestOutput>,
    pub(super) room: &'a HostRoom,
    /// Held while a workload opens and goes live.
    pub(super) opening: &'a tokio::sync::Mutex<()>,
    pub(super) restarts: Restarts,
    pub(super) reach: Reach,
    pub(super) ending: EndingSender,
}

/// Who may call a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Whoever its manifest lets in.
    World,
    /// Nobody but whoever has the host in hand: nothing of it needs to be an entry.
    Calls,
}

/// Everything that a running workload holds. Dropping it closes its ways in and ends its guests.
pub(super) struct Held {
    bindings: Vec<Box<dyn Binding>>,
    service: Option<Keeper>,
    leases: TaskTracker,
    stop: DropGuard,
    pools: Vec<Pooled>,
    memory: Arc<MemoryAccount>,
    _artifacts: Prepared,
    pub(super) components: usize,
    /// For calls that nothing else may make.
    pub(super) calling: Arc<Calling>,
    /// Its schedules, if it has any.
    pub(super) scheduled: Option<Arc<dyn Scheduled>>,
}

impl Held {
    /// How many instances are in use.
    pub(super) fn instances(&self) -> usize {
        self.leases.len()
    }

    /// How its schedules stand.
    pub(super) fn schedules(&self) -> Vec<ScheduleStatus> {
        let scheduled = self.scheduled.iter();
        scheduled.flat_map(|scheduled| scheduled.status()).collect()
    }

    /// What it cannot have now.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut all: Vec<String> = self.bindings.iter().flat_map(|it| it.troubles()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// How its service is.
    pub(super) fn service(&self) -> Option<ServiceStatus> {
        self.service.as_ref().map(Keeper::status)
    }

    /// How its service and its ports are, as they change.
    pub(super) fn watch(&self) -> Watched {
        let ports = self.bindings.iter().filter_map(|it| it.port_changes());
        Watched::new(self.service.as_ref().map(Keeper::watch), ports)
    }

    /// The ports on which it listens.
    pub(super) fn ports(&self) -> Vec<Port> {
        let mut ports: Vec<Port> = self.bindings.iter().flat_map(|it| it.ports()).collect();
        ports.sort();
        ports
    }

    /// What it uses now.
    pub(super) fn usage(&self) -> WorkloadUsage {
        let pool = |pooled: &Pooled| PoolStatus {
            component: pooled.component.clone(),
            export: pooled.export.clone(),
            usage: pooled.callee.usage(),
        };
        WorkloadUsage {
            invocations: self.leases.len(),
            memory_bytes: self.memory.used(),
            pools: self
                .pools
                .iter()
                .map(pool)
                .chain(self.calling.pools().iter().map(pool))
                .collect(),
        }
    }

    /// Closes the ways in and lets guests finish within the patience, the service last, because the others may need it; then ends
    /// them. Says whether all of them finished.
    pub(super) async fn release(self, patience: &Patience) -> bool {
        let begun = Instant::now();
        drop(self.bindings);
        let clear = || {
            let made = self.calling.pools();
            let pools = self.pools.iter().chain(made.iter());
            pools.for_each(|pooled| pooled.callee.clear());
        };
        clear();
        self.leases.close();
        let mut finished = patience.outlasts(self.leases.wait()).await;
        if let Some(service) = self.service {
            finished &= service.end(&patience.after(begun.elapsed())).await;
        }
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
        let made = self.calling.pools().clone();
        for pooled in self.pools.iter().chain(&made) {
            pooled.callee.gone().await;
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
    /// What is left of it after a while.
    fn after(&self, time: Duration) -> Self {
        let mut left = self.clone();
        left.grace = left.grace.saturating_sub(time);
        left
    }

    /// Whether the work comes to its end in time.
    pub(super) async fn outlasts(&self, work: impl Future<Output = ()>) -> bool {
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

/// What the entries and callees of a plan are made from, in its order.
pub(super) struct Prepared {
    pub(super) entries: Vec<Arc<Artifact>>,
    pub(super) service: Option<Arc<Artifact>>,
    pub(super) callees: Vec<Arc<Artifact>>,
}

impl Prepared {
    fn all(&self) -> impl Iterator<Item = &Arc<Artifact>> {
        let called = self.entries.iter().chain(&self.callees);
        called.chain(&self.service)
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
        let Arrived {
            components,
            worlds,
            kept,
            ahead,
        } = arrived(self, request).await?;
        let mut offers = Cow::Borrowed(self.engine.offers());
        if self.reach == Reach::Calls {
            offers.to_mut().closed = true;
        }
        let plan = plan(&request.workload, &worlds, &offers)
            .map_err(|errors| StartError::Plan(Arc::new(errors)))?;
        let prepared = self.prepare(&plan, &components).await?;
        drop(ahead);
        let mut bound = self.bind(request, &plan).await?;
        let mut room = self.room.workload();
        let context = bound.context(request, self.output, &room);
        let leases = TaskTracker::new();
        let stopping = CancellationToken::new();
        let stop = stopping.clone().drop_guard();
        let making = Making {
            room: &mut room,
            workload: &context,
            spec: &request.workload,
            worlds: &worlds,
            leases: &leases,
            stopping: &stopping,
            made: Vec::new(),
        };
        let Made {
            service,
            entries,
            isolated,
        } = making.all(&plan, &prepared)?;
        let pools = pools(&entries, &isolated);
        let alone = entries.is_empty() && self.reach == Reach::World;
        let service = self.service(service, request, alone).await?;
        bound.ready(&request.workload).await;
        let presence = Presence::of(&leases, &stopping);
        self.open(&mut bound, entries.clone(), request, presence)
            .await?;
        let bindings: Vec<_> = bound.0.into_iter().map(|(_, binding)| binding).collect();
        let compiled = prepared.all().any(|artifact| !artifact.from_disk);
        let reached = worlds.len() - plan.unreached.len();
        let memory = Arc::clone(&room.memory);
        let calling = Calling {
            spec: request.workload.clone(),
            kept,
            worlds,
            digests: digests(&components),
            context,
            leases: leases.clone(),
            stopping,
            ways: Ways::of(room, &entries, isolated).into(),
            pools: Default::default(),
        };
        Ok(Started {
            held: Held {
                scheduled: bindings.iter().find_map(|binding| binding.schedules()),
                bindings,
                service,
                leases,
                stop,
                pools,
                memory,
                _artifacts: prepared,
                components: reached,
                calling: Arc::new(calling),
            },
            plan: Arc::new(plan),
            compiled,
        })
    }

    /// Compiles and links what the plan says.
    async fn prepare(
        &self,
        plan: &LinkPlan,
        components: &Components,
    ) -> Result<Prepared, StartError> {
        // How many are compiled at once, the engine knows; all others only wait.
        let all = try_join_all(plan.units().map(|(flavour, members)| {
            let prepared = self.engine.prepare(flavour, members, components);
            prepared.map_err(|error| StartError::Prepare(Arc::new(error)))
        }));
        let mut all = all.await?.into_iter();
        Ok(Prepared {
            entries: all.by_ref().take(plan.entries.len()).collect(),
            callees: all.by_ref().take(plan.callees.len()).collect(),
            service: all.next(),
        })
    }

    /// Starts the service, and returns when it is up. Whoever gives up meanwhile ends it.
    async fn service(
        &self,
        made: Option<MadeService>,
        request: &StartRequest,
        alone: bool,
    ) -> Result<Option<Keeper>, StartError> {
        let Some((made, spec)) = made.zip(request.workload.service.as_ref()) else {
            return Ok(None);
        };
        let mut keeper = Keeper::start(Service {
            callee: made.callee,
            run: made.run,
            max_restarts: spec.max_restarts,
            restarts: self.restarts,
            ending: self.ending.clone(),
            alone,
        });
        let up = keeper.up().await;
        up.map_err(|reason| StartError::Service { reason })?;
        Ok(Some(keeper))
    }

    /// Binds the plugins that the plan uses.
    async fn bind(&self, request: &StartRequest, plan: &LinkPlan) -> Result<Bound, StartError> {
        let mut bound = Bound(Vec::new());
        for plugin in self.engine.plugins().iter() {
            let uses = uses(plugin.as_ref(), plan);
            let called = plan.entries.iter().any(|entry| entry.plugin == plugin.id());
            if uses.is_empty() && !called && !plugin.is_wanted(&request.workload) {
                continue;
            }
            let interfaces = interfaces(plugin.as_ref(), &request.workload);
            let bind = BindRequest {
                id: &request.id,
                workload: &request.workload,
                base: &request.base,
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
        presence: Presence,
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
                presence: presence.clone(),
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

/// What components are made of.
fn digests(components: &Components) -> BTreeMap<ComponentName, Digest> {
    let components = components.iter();
    components
        .map(|(name, inspected)| (name.clone(), inspected.digest))
        .collect()
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
        .parts()
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
    /// Waits until whoever is let in would find somebody, within reason: a service may well take its time.
    async fn ready(&self, workload: &Workload) {
        let all = self.0.iter().map(|(_, binding)| binding.ready());
        if tokio::time::timeout(READY, join_all(all)).await.is_err() {
            tracing::warn!(workload = %workload.name, "the service does not listen on all of its published ports yet; connections to them are refused until it does");
        }
    }

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
            farewell: Farewell::default(),
            crossing: WorkloadContext::room_to_cross(),
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
        .map(|mut entry| {
            // By its id a workload says who should answer, which the plan has seen to.
            entry.name = entry.name.filter(|name| name != plugin.id());
            entry
        })
        .collect()
}
