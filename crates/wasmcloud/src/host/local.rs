//! The host of this process.

mod reservation;
mod shutdown;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::call::for_calls_only;
use super::identity::HostIdentity;
use super::service::Restarts;
use super::slot::{self, Label, Slot};
use super::start::{Held, Patience, Reach, Starter};
use super::{
    CallFailed, CallRequest, ComponentPlugin, Heartbeat, Host, NotFound, ServiceStatus, StartError,
    StartRequest, Watched, WorkloadState, WorkloadStatus,
};
use crate::artifact::Fetch;
use crate::engine::Engine;
use crate::engine::plan::Offers;
use crate::instance::HostRoom;
use crate::plugin::{Answer, Ended, Ending, EndingSender, GuestOutput};
use crate::workload::{ScheduleName, WorkloadId};
use reservation::Reservation;

/// How long a workload may finish what it is answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graces {
    /// When it is stopped.
    pub stopped: Duration,
    /// When another took its place. Somebody who stops it meanwhile waits no longer than for one that is stopped.
    pub replaced: Duration,
}

/// Runs workloads in this process. Dropping the last handle ends them all at once; [`Host::stop`] ends one gently.
pub struct LocalHost(Arc<Inner>);

struct Inner {
    engine: Engine,
    fetch: Arc<dyn Fetch>,
    output: Arc<dyn GuestOutput>,
    room: HostRoom,
    graces: Graces,
    restarts: Restarts,
    identity: HostIdentity,
    opening: tokio::sync::Mutex<()>,
    endings: mpsc::UnboundedSender<Ended>,
    slots: Mutex<Slots>,
    /// How many workloads were ended before they had finished what they were answering.
    cut_short: AtomicU64,
}

#[derive(Default)]
struct Slots {
    starts: u64,
    by_id: HashMap<WorkloadId, (Label, Slot<Held>)>,
}

impl fmt::Debug for LocalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHost")
            .field("id", self.0.identity.id())
            .finish_non_exhaustive()
    }
}

impl LocalHost {
    /// A host with nothing on it. Must be called inside a Tokio runtime.
    #[must_use]
    pub fn new(
        engine: Engine,
        fetch: Arc<dyn Fetch>,
        output: Arc<dyn GuestOutput>,
        room: HostRoom,
        graces: Graces,
        restarts: Restarts,
        identity: HostIdentity,
    ) -> Self {
        let (endings, ended) = mpsc::unbounded_channel();
        let slots = Mutex::default();
        let inner = Arc::new(Inner {
            engine,
            fetch,
            output,
            room,
            graces,
            restarts,
            identity,
            opening: tokio::sync::Mutex::default(),
            endings,
            slots,
            cut_short: AtomicU64::new(0),
        });
        tokio::spawn(watch_endings(Arc::downgrade(&inner), ended));
        Self(inner)
    }

    /// What it answers and calls, for planning what is to run on it.
    #[must_use]
    pub fn offers(&self) -> &Offers {
        self.0.engine.offers()
    }

    /// How all workloads are, by id.
    #[must_use]
    pub fn workloads(&self) -> Vec<WorkloadStatus> {
        let slots = self.0.slots();
        let mut all: Vec<WorkloadStatus> = slots
            .by_id
            .values()
            .map(|(label, slot)| status(label, slot))
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Follows the service and the ports of a workload while it runs; nothing, if it does not.
    #[must_use]
    pub fn watch(&self, id: &WorkloadId) -> Option<Watched> {
        match self.0.slots().by_id.get(id) {
            Some((_, Slot::Running { held, .. })) => Some(held.watch()),
            _ => None,
        }
    }

    /// How many instances of a workload are in use; none of one that does not run.
    #[must_use]
    pub fn instances(&self, id: &WorkloadId) -> usize {
        match self.0.slots().by_id.get(id) {
            Some((_, Slot::Running { held, .. })) => held.instances(),
            _ => 0,
        }
    }
}

impl LocalHost {
    /// Calls a function of a workload that runs, whoever else may call it: on a fresh instance, or a pooled one where the manifest
    /// asks for that, within all limits. Dropping the future ends the guest.
    ///
    /// # Errors
    /// When the workload does not run, when it has no such function or that takes other arguments, and when the call comes to no
    /// good end.
    pub async fn call(&self, request: &CallRequest) -> Result<Answer, CallFailed> {
        let calling = self
            .0
            .held(&request.workload, |held| Arc::clone(&held.calling))?;
        calling
            .call(&self.0.engine, self.0.fetch.as_ref(), request)
            .await
    }

    /// Runs a schedule of a workload now; it counts as a run of it. Dropping the future ends the run.
    ///
    /// # Errors
    /// When the workload does not run or has no such schedule, and when the run comes to no good end.
    pub async fn run_schedule(
        &self,
        id: &WorkloadId,
        name: &ScheduleName,
    ) -> Result<Answer, CallFailed> {
        let scheduled = self.0.held(id, |held| held.scheduled.clone())?;
        let schedules = scheduled.iter().flat_map(|it| it.status());
        let schedules: Vec<_> = schedules.collect();
        let known = || {
            schedules
                .iter()
                .map(|it| it.name.clone())
                .collect::<Vec<_>>()
        };
        let none = || CallFailed::no_schedule(name, &known());
        let schedule = schedules
            .iter()
            .find(|it| it.name == *name)
            .ok_or_else(none)?;
        let scheduled = scheduled.as_ref().ok_or_else(none)?;
        let answer = scheduled.run(name).await.ok_or_else(none)?;
        answer.map_err(|error| CallFailed::of(&schedule.component, &schedule.function, error))
    }
}

/// Releases workloads that came to their end by themselves.
async fn watch_endings(host: Weak<Inner>, mut ended: mpsc::UnboundedReceiver<Ended>) {
    while let Some(ended) = ended.recv().await {
        let Some(host) = host.upgrade() else { return };
        host.end(ended);
    }
}

impl Inner {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of what a workload holds that runs.
    fn held<T>(&self, id: &WorkloadId, get: impl FnOnce(&Held) -> T) -> Result<T, CallFailed> {
        let slots = self.slots();
        match slots.by_id.get(id) {
            None => Err(NotFound(id.clone()).into()),
            Some((_, Slot::Running { held, .. })) => Ok(get(held)),
            Some((label, slot)) => Err(CallFailed::NotRunning {
                workload: id.clone(),
                state: slot.status(label).state,
            }),
        }
    }

    /// Takes the slot of an id for a start.
    fn reserve(self: &Arc<Self>, label: &Label) -> Result<Reservation, StartError> {
        let mut slots = self.slots();
        if slots
            .by_id
            .get(&label.id)
            .is_some_and(|(_, slot)| !slot.is_free())
        {
            return Err(StartError::AlreadyExists(label.id.clone()));
        }
        slots.starts += 1;
        let start = slots.starts;
        let (give_up, over) = (CancellationToken::new(), CancellationToken::new());
        let slot = Slot::Starting {
            start,
            give_up: give_up.clone(),
            over: over.clone(),
            ended: None,
        };
        slots.by_id.insert(label.id.clone(), (label.clone(), slot));
        Ok(Reservation {
            host: Arc::clone(self),
            label: label.clone(),
            start,
            give_up,
            over,
            filled: false,
        })
    }

    /// Moves a running workload out of its slot; the caller releases what it held.
    fn take_running(&self, id: &WorkloadId, start: Option<u64>) -> Option<Leaving> {
        let mut slots = self.slots();
        let (_, slot) = slots.by_id.get_mut(id)?;
        let Slot::Running {
            start: running,
            held,
            ..
        } = slot
        else {
            return None;
        };
        if start.is_some_and(|start| start != *running) {
            return None;
        }
        let (over, hurry) = (CancellationToken::new(), CancellationToken::new());
        let service = held.service();
        let stopping = Slot::Stopping {
            over: over.clone(),
            hurry: hurry.clone(),
            service: service.clone(),
        };
        match std::mem::replace(slot, stopping) {
            Slot::Running { held, .. } => Some(Leaving {
                id: id.clone(),
                held,
                service,
                over,
                hurry,
            }),
            _ => None,
        }
    }

    /// Releases what a workload held on a task of its own, so that a caller who goes away does not leave it half stopped, and
    /// then puts what is left into its slot.
    fn release(self: &Arc<Self>, leaving: Leaving, grace: Duration, left: Option<Slot<Held>>) {
        let host = Arc::clone(self);
        tokio::spawn(async move {
            let patience = Patience {
                grace,
                hurry: leaving.hurry,
                hurried: host.graces.stopped,
            };
            if !leaving.held.release(&patience).await {
                host.cut_short.fetch_add(1, Ordering::Relaxed);
            }
            {
                let mut slots = host.slots();
                match (left, slots.by_id.get_mut(&leaving.id)) {
                    (Some(left), Some((_, slot))) => *slot = left,
                    _ => drop(slots.by_id.remove(&leaving.id)),
                }
            }
            leaving.over.cancel();
        });
    }

    /// A workload came to its end by itself.
    fn end(self: &Arc<Self>, ended: Ended) {
        if let Some((
            _,
            Slot::Starting {
                start,
                ended: early,
                ..
            },
        )) = self.slots().by_id.get_mut(&ended.id)
        {
            if *start == ended.start {
                early.get_or_insert(ended.ending);
            }
            return;
        }
        if let Some(leaving) = self.take_running(&ended.id, Some(ended.start)) {
            let service = leaving.service.clone();
            let (left, grace) = match ended.ending {
                Ending::Completed => (Slot::Completed { service }, self.graces.stopped),
                Ending::Failed(reason) => (Slot::Failed { reason, service }, Duration::ZERO),
            };
            self.release(leaving, grace, Some(left));
        }
    }

    /// Begins to stop a workload. The token, if there is something to wait for, is cancelled when nothing is left.
    fn begin_stop(
        self: &Arc<Self>,
        id: &WorkloadId,
        grace: Duration,
    ) -> Result<(WorkloadStatus, Option<CancellationToken>), NotFound> {
        if let Some(leaving) = self.take_running(id, None) {
            let status = self.status(id)?;
            let over = leaving.over.clone();
            self.release(leaving, grace, None);
            return Ok((status, Some(over)));
        }
        let mut slots = self.slots();
        let (label, slot) = slots.by_id.get(id).ok_or_else(|| NotFound(id.clone()))?;
        let status = slot::status(label, WorkloadState::Stopping);
        let over = match slot {
            Slot::Starting { give_up, over, .. } => {
                give_up.cancel();
                Some(over.clone())
            }
            Slot::Stopping { over, hurry, .. } => {
                hurry.cancel();
                Some(over.clone())
            }
            Slot::Running { .. } => None,
            Slot::Completed { .. } | Slot::Failed { .. } => {
                slots.by_id.remove(id);
                None
            }
        };
        Ok((status, over))
    }

    fn status(&self, id: &WorkloadId) -> Result<WorkloadStatus, NotFound> {
        let slots = self.slots();
        slots
            .by_id
            .get(id)
            .map(|(label, slot)| status(label, slot))
            .ok_or_else(|| NotFound(id.clone()))
    }
}

/// How a workload is, with what it uses.
fn status(label: &Label, slot: &Slot<Held>) -> WorkloadStatus {
    let mut status = slot.status(label);
    if let Slot::Running { held, .. } = slot {
        status.usage = Some(held.usage());
        status.schedules = held.schedules();
        status.service = held.service();
        status.ports = held.ports();
        status.troubles = held.troubles();
    }
    status
}

/// A workload that was moved out of its slot.
struct Leaving {
    id: WorkloadId,
    held: Held,
    /// How its service was.
    service: Option<ServiceStatus>,
    /// To be cancelled when nothing is left.
    over: CancellationToken,
    /// Cancelled when somebody waits for that.
    hurry: CancellationToken,
}

#[async_trait]
impl Host for LocalHost {
    async fn heartbeat(&self) -> Heartbeat {
        let (workload_count, component_count) = {
            let slots = self.0.slots();
            let running = slots.by_id.values().filter_map(|(_, slot)| match slot {
                Slot::Running { held, .. } => Some(held.components as u64),
                _ => None,
            });
            running.fold((0, 0), |(workloads, components), more| {
                (workloads + 1, components + more)
            })
        };
        let offers = self.0.engine.offers();
        let imports = offers
            .answers
            .iter()
            .map(|answer| answer.offer.interface.clone())
            .collect();
        let exports = offers
            .calls
            .iter()
            .flat_map(|calls| calls.exports.clone())
            .collect();
        self.0
            .identity
            .heartbeat(workload_count, component_count, imports, exports)
    }

    async fn start(&self, request: StartRequest) -> Result<WorkloadStatus, StartError> {
        let fetch = self.0.fetch.as_ref();
        self.begin(request, Reach::World, fetch).await
    }

    async fn status(&self, id: &WorkloadId) -> Result<WorkloadStatus, NotFound> {
        self.0.status(id)
    }

    async fn stop(&self, id: &WorkloadId) -> Result<WorkloadStatus, NotFound> {
        let (status, over) = self.0.begin_stop(id, self.0.graces.stopped)?;
        if let Some(over) = over {
            over.cancelled().await;
        }
        Ok(status)
    }
}

impl LocalHost {
    /// Starts a plugin that is a component. Workloads that import what it offers can be started from then on.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_plugin(&self, plugin: &ComponentPlugin) -> Result<(), StartError> {
        let Some(source) = plugin.source() else {
            let message = format!("the plugin `{}` was started before", plugin.name());
            return Err(StartError::Host(message));
        };
        let request = plugin.request()?;
        let id = request.id.clone();
        self.begin(request, Reach::Calls, &source).await?;
        let calling = self.0.held(&id, |held| Arc::clone(&held.calling));
        let calling = calling.map_err(|error| StartError::Host(error.in_full()))?;
        let (engine, name) = (&self.0.engine, plugin.name());
        let callee = calling.callee(engine, &source, name).await;
        plugin.is_up(callee.map_err(|error| match error {
            CallFailed::Prepare(error) => error,
            error => StartError::Host(error.in_full()),
        })?);
        Ok(())
    }

    async fn begin(
        &self,
        mut request: StartRequest,
        reach: Reach,
        fetch: &dyn Fetch,
    ) -> Result<WorkloadStatus, StartError> {
        if self.0.engine.offers().closed {
            for_calls_only(&mut request.workload);
        }
        let label = Label {
            id: request.id.clone(),
            namespace: request.workload.namespace.clone(),
            name: request.workload.name.clone(),
        };
        let reservation = self.0.reserve(&label)?;
        let ending = EndingSender::new(
            request.id.clone(),
            reservation.start,
            self.0.endings.clone(),
        );
        let starter = Starter {
            engine: &self.0.engine,
            fetch,
            output: &self.0.output,
            room: &self.0.room,
            opening: &self.0.opening,
            restarts: self.0.restarts,
            reach,
            ending,
        };
        let started = tokio::select! {
            biased;
            () = reservation.give_up.cancelled() => Err(StartError::Stopped),
            started = starter.start(&request) => started,
        };
        let status = match started {
            Ok(started) => reservation.fill(started),
            Err(error) => return Err(reservation.fail(error)),
        };
        // It went live, so the other has lost its routes, also when this one was stopped in the same moment. What the other is
        // answering it finishes; nobody has to wait for that.
        if let Some(replaced) = &request.replaces {
            let _ = self.0.begin_stop(replaced, self.0.graces.replaced);
        }
        status
    }
}
