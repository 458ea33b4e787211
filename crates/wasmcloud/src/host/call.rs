//! Calls of a running workload by whoever has the host in hand: any function that one of its components exports, although nothing
//! else calls it from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fetching::{Kept, look_at};
use super::making::{Making, Pooled};
use super::{NotFound, StartError, WorkloadState};
use crate::artifact::{By, Digest, Fetch};
use crate::engine::plan::{CallPlan, PlannedCallee, Worlds};
use crate::engine::{Artifact, Components, Engine, plan_call};
use crate::instance::WorkloadRoom;
use crate::plugin::{Answer, CallError, Callee, Entry, WaveError, WorkloadContext, in_full};
use crate::workload::{
    ArgumentError, ComponentName, Function, FunctionName, NotChosen, ScheduleName, Workload,
    WorkloadId, nearest,
};

/// A call of a function of a workload that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRequest {
    /// The id that the workload was started under.
    pub workload: WorkloadId,
    /// The component; without one, it is the one that exports the function.
    pub component: Option<ComponentName>,
    /// The function. Its interface may be left out where that is clear.
    pub function: FunctionName,
    /// The arguments, in WAVE.
    pub args: Vec<String>,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    /// No workload has the id.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The workload does not run.
    #[error("the workload `{workload}` is {}, and only one that runs can be called", .state.as_str())]
    NotRunning {
        /// The workload.
        workload: WorkloadId,
        /// What it is doing.
        state: WorkloadState,
    },
    /// What was asked for makes no sense for this workload.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The component could not be made ready.
    #[error(transparent)]
    Prepare(StartError),
    /// The call came to no good end.
    #[error("`{function}` of component `{component}` failed")]
    Call {
        /// The component.
        component: ComponentName,
        /// The function.
        function: Box<FunctionName>,
        /// Why.
        source: CallError,
    },
}

impl CallFailed {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } => hint.clone(),
            _ => None,
        }
    }

    /// What is wrong, with everything that led to it.
    #[must_use]
    pub fn in_full(&self) -> String {
        in_full(self)
    }

    fn refused(message: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Self::Refused {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// There is no such schedule.
    pub(super) fn no_schedule(name: &ScheduleName, known: &[ScheduleName]) -> Self {
        let known: Vec<&str> = known.iter().map(ScheduleName::as_str).collect();
        let hint = match nearest(name.as_str(), known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "there is none in its manifest".to_owned(),
            None => format!("it has {}", known.join(", ")),
        };
        Self::refused(format!("the workload has no schedule `{name}`"), hint)
    }

    /// Why a call with text came to no good end.
    pub(super) fn of(component: &ComponentName, function: &FunctionName, error: WaveError) -> Self {
        match error {
            WaveError::Call(source) => Self::Call {
                component: component.clone(),
                function: Box::new(function.clone()),
                source,
            },
            WaveError::Arguments(errors) => Self::arguments(&errors),
            WaveError::Missing { .. } | WaveError::Result(_) => {
                Self::refused(error.to_string(), None)
            }
        }
    }

    fn arguments(errors: &[ArgumentError]) -> Self {
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let hints: Vec<&str> = errors.iter().filter_map(|it| it.hint.as_deref()).collect();
        Self::refused(
            messages.join("\n"),
            (!hints.is_empty()).then(|| hints.join("\n")),
        )
    }
}

impl WorkloadState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

/// Leaves out what would run by itself: a workload that is there for calls only has no service.
pub(super) fn for_calls_only(workload: &mut Workload) {
    if let Some(service) = workload.service.take() {
        let own = Some(&service.component.name);
        workload.links.retain(|link| link.from.as_ref() != own);
    }
}

/// What it takes to call any component of a workload.
pub(super) struct Calling {
    pub(super) spec: Workload,
    /// What is left of their images.
    pub(super) kept: BTreeMap<ComponentName, Kept>,
    pub(super) worlds: Worlds,
    /// What the components were made of when the workload started.
    pub(super) digests: BTreeMap<ComponentName, Digest>,
    pub(super) context: Arc<WorkloadContext>,
    pub(super) leases: TaskTracker,
    pub(super) stopping: CancellationToken,
    pub(super) ways: tokio::sync::Mutex<Ways>,
    /// What was made for calls only.
    pub(super) pools: Mutex<Vec<Pooled>>,
}

/// Ways to call components that are there.
pub(super) struct Ways {
    pub(super) room: WorkloadRoom,
    /// By the component that is called.
    pub(super) callees: BTreeMap<ComponentName, Callee>,
    /// What others call over isolated links, by the component that is called.
    pub(super) isolated: BTreeMap<ComponentName, (Arc<Artifact>, Pooled)>,
    /// What was compiled for calls is kept as long as the workload.
    pub(super) artifacts: Vec<Arc<Artifact>>,
}

impl Ways {
    /// What a start made.
    pub(super) fn of(
        room: WorkloadRoom,
        entries: &[(&str, Entry)],
        isolated: Vec<(Arc<Artifact>, Pooled)>,
    ) -> Self {
        let own = isolated
            .iter()
            .map(|(_, pooled)| (pooled.component.clone(), pooled.callee.clone()));
        let entries = entries.iter();
        let entries = entries.map(|(_, it)| (it.component.clone(), it.callee.clone()));
        Self {
            room,
            callees: own.chain(entries).collect(),
            isolated: isolated
                .into_iter()
                .map(|made| (made.1.component.clone(), made))
                .collect(),
            artifacts: Vec::new(),
        }
    }
}

impl fmt::Debug for Calling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Calling {
    pub(super) fn pools(&self) -> MutexGuard<'_, Vec<Pooled>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a function. The workload waits for it before it is gone.
    pub(super) async fn call(
        &self,
        engine: &Engine,
        fetch: &dyn Fetch,
        request: &CallRequest,
    ) -> Result<Answer, CallFailed> {
        let _counted = self.leases.token();
        let (component, function) = self.find(request)?;
        function
            .check(&request.args)
            .map_err(|errors| CallFailed::arguments(&errors))?;
        let made = tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(CallFailed::Prepare(StartError::Stopped)),
            made = self.callee(engine, fetch, component) => made,
        };
        let answer = made?.call_wave(&function.name, &request.args).await;
        answer.map_err(|error| CallFailed::of(component, &function.name, error))
    }

    /// The function that is meant, and whose it is.
    fn find(&self, request: &CallRequest) -> Result<(&ComponentName, &Function), CallFailed> {
        let chosen = request.component.as_ref();
        if let Some(name) = chosen {
            self.check_component(name)?;
        }
        let components = self.spec.components.iter().map(|component| &component.name);
        let functions: Vec<(&ComponentName, &Function)> = components
            .filter(|name| chosen.is_none_or(|chosen| chosen == *name))
            .filter_map(|name| Some((name, self.worlds.get(name)?)))
            .flat_map(|(name, world)| world.functions.iter().map(move |it| (name, it)))
            .collect();
        let wanted = &request.function;
        wanted.choose(&functions).map_err(|error| match error {
            NotChosen::None(not_there) => {
                let who = match chosen {
                    Some(name) => format!("component `{name}`"),
                    None => "no component".to_owned(),
                };
                let verb = if chosen.is_some() {
                    "does not export"
                } else {
                    "exports"
                };
                CallFailed::refused(format!("{who} {verb} `{wanted}`"), not_there.hint())
            }
            NotChosen::Several(several) => ambiguous(wanted, &several),
        })
    }

    fn check_component(&self, name: &ComponentName) -> Result<(), CallFailed> {
        if self.spec.components.iter().any(|it| it.name == *name) {
            return Ok(());
        }
        if self.spec.is_service(name) {
            return Err(CallFailed::refused(
                "the service of a workload cannot be called: it runs by itself",
                "call one of its components".to_owned(),
            ));
        }
        let known = self.spec.components.iter().map(|it| it.name.as_str());
        let known: Vec<&str> = known.collect();
        let hint = match nearest(name.as_str(), known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", known.join(", ")),
        };
        Err(CallFailed::refused(
            format!("the workload has no component `{name}`"),
            hint,
        ))
    }

    /// The way to call a component: that of an entry, or one that is made now and kept.
    pub(super) async fn callee(
        &self,
        engine: &Engine,
        fetch: &dyn Fetch,
        component: &ComponentName,
    ) -> Result<Callee, CallFailed> {
        let mut ways = self.ways.lock().await;
        if let Some(callee) = ways.callees.get(component) {
            return Ok(callee.clone());
        }
        let plan = plan_call(&self.spec, &self.worlds, engine.offers(), component)
            .map_err(|errors| CallFailed::Prepare(StartError::Plan(Arc::new(errors))))?;
        let missing: Vec<&PlannedCallee> = plan
            .callees
            .iter()
            .filter(|it| {
                it.root()
                    .is_none_or(|root| !ways.isolated.contains_key(root))
            })
            .collect();
        let members = plan
            .members
            .iter()
            .chain(missing.iter().flat_map(|callee| &callee.members));
        let names: BTreeSet<&ComponentName> = members.map(|member| &member.component).collect();
        let components = self.components(engine, fetch, names).await?;
        let prepare = async |flavour, members| {
            let prepared = engine.prepare(flavour, members, &components).await;
            prepared.map_err(|error| CallFailed::Prepare(StartError::Prepare(Arc::new(error))))
        };
        let mut artifacts = Vec::new();
        for callee in missing {
            artifacts.push(prepare(callee.flavour, &callee.members).await?);
        }
        let own = prepare(plan.flavour, &plan.members).await?;
        let callee = self
            .make(&mut ways, &plan, &own, &artifacts)
            .map_err(CallFailed::Prepare)?;
        ways.artifacts.push(own);
        ways.artifacts.extend(artifacts);
        ways.callees.insert(component.clone(), callee.clone());
        Ok(callee)
    }

    /// Makes what the plan says. `artifacts` are those of the callees that are not there yet, in the order of the plan.
    fn make(
        &self,
        ways: &mut Ways,
        plan: &CallPlan,
        own: &Arc<Artifact>,
        artifacts: &[Arc<Artifact>],
    ) -> Result<Callee, StartError> {
        let mut artifacts = artifacts.iter();
        let mut making = Making {
            room: &mut ways.room,
            workload: &self.context,
            spec: &self.spec,
            worlds: &self.worlds,
            leases: &self.leases,
            stopping: &self.stopping,
            made: Vec::new(),
        };
        for planned in &plan.callees {
            let Some(root) = planned.root() else { continue };
            if let Some(known) = ways.isolated.get(root) {
                making.made.push(known.clone());
            } else if let Some(artifact) = artifacts.next() {
                making.isolated(&planned.members, artifact)?;
                if let Some(made) = making.made.last() {
                    self.pools().push(made.1.clone());
                    ways.isolated.insert(root.clone(), made.clone());
                }
            }
        }
        let callee = making.callee(&plan.members, own)?;
        if let Some(root) = plan.members.first() {
            self.pools().push(Pooled {
                component: root.component.clone(),
                export: None,
                callee: callee.clone(),
            });
        }
        Ok(callee)
    }

    /// Fetches components once more: their bytes are not kept. They must be what they were when the workload started.
    async fn components(
        &self,
        engine: &Engine,
        fetch: &dyn Fetch,
        names: BTreeSet<&ComponentName>,
    ) -> Result<Components, CallFailed> {
        let mut components = Components::new();
        for component in &self.spec.components {
            if !names.contains(&component.name) {
                continue;
            }
            let engine = engine.clone();
            let inspect = move |bytes: &[u8], digest| engine.inspect_known(bytes, digest);
            let (name, mut component) = (component.name.clone(), component.clone());
            if let Some(kept) = self.kept.get(&name) {
                component.image = kept.image.clone();
                component.pull.policy = None;
            }
            let by = By::Workload(&self.spec.namespace);
            let looked = look_at(fetch, &component, by, Path::new(""), inspect).await;
            let inspected = looked.map_err(CallFailed::Prepare)?.inspected;
            if self.digests.get(&name) != Some(&inspected.digest) {
                return Err(CallFailed::refused(
                    format!("component `{name}` is another one than when the workload started"),
                    "start the workload again, or try once more when it was".to_owned(),
                ));
            }
            components.insert(name, inspected);
        }
        Ok(components)
    }
}

fn ambiguous(wanted: &FunctionName, several: &[(&ComponentName, FunctionName)]) -> CallFailed {
    let components: BTreeSet<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
    if components.len() > 1 {
        let names: Vec<String> = components.iter().map(|name| format!("`{name}`")).collect();
        return CallFailed::refused(
            format!("several components export `{wanted}`: {}", names.join(", ")),
            "name the component as well (`--component`)".to_owned(),
        );
    }
    let names: Vec<String> = several
        .iter()
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    CallFailed::refused(
        format!("`{wanted}` is several functions: {}", names.join(", ")),
        "name the interface as well".to_owned(),
    )
}
