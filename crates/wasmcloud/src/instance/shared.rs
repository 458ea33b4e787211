//! Instances that serve several invocations at once, which WASI 0.3 allows: a crew is one such instance, the task that runs it, and
//! the invocations on board.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Accessor, Instance};
use wasmtime_wasi::I32Exit;

use super::StoreData;
use super::callee::{Callee, OnInstance, Warm, explained};
use super::invocation::{CallError, Runner};
use super::memory::NoMemory;
use super::pool::Event;

/// What an invocation does with the instance.
pub(super) type Job<T> =
    Box<dyn for<'a> FnOnce(&'a Accessor<StoreData>, Instance) -> OnInstance<'a, T> + Send>;

type Task<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
type Dispatch = Box<dyn for<'a> FnOnce(&'a Accessor<StoreData>, Instance) -> Task<'a> + Send>;

/// What a trap counts for in the log of its workload, in bytes: a line and a backtrace.
const TRAP: usize = 4 << 10;

/// How instances are shared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How many crews there are.
    pub(super) size: usize,
    /// How many invocations one takes on in its life.
    pub(super) invocations: u32,
    /// How many at once.
    pub(super) concurrency: u32,
}

/// The crews of an entry.
#[derive(Default)]
pub(super) struct Crews {
    list: Vec<Arc<Crew>>,
    /// How many are being made.
    forming: usize,
}

/// One instance and who is on board.
pub(super) struct Crew {
    jobs: mpsc::UnboundedSender<Dispatch>,
    members: Mutex<Members>,
    /// Counts invocations that came to an end, so that a guest which makes no progress shows.
    progress: Arc<AtomicU64>,
    driver: OnceLock<AbortHandle>,
    failure: OnceLock<Failure>,
    /// Cancelled when the driver has ended.
    over: CancellationToken,
}

/// What those on board are told: the error itself belongs to one of them, and nobody knows to whom.
struct Failure {
    reason: String,
    no_memory: Option<NoMemory>,
    /// It ended by itself, with this status.
    exit: Option<i32>,
}

#[derive(Default)]
struct Members {
    aboard: u32,
    admitted: u32,
    closed: bool,
    /// Whatever goes on when nobody is on board is not waited for.
    disbanded: bool,
    /// Somebody left before the end of a call, which goes on in the guest all the same.
    abandoned: bool,
    /// It is the instance of a service, which goes on whoever leaves.
    resident: bool,
}

/// An invocation on board of a crew.
pub(super) struct Admission {
    crew: Arc<Crew>,
    callee: Callee,
    finished: bool,
}

impl Crews {
    pub(super) fn clear(&mut self) -> Vec<Arc<Crew>> {
        std::mem::take(&mut self.list)
    }

    /// Forgets those that nobody can board any more.
    fn forget_closed(&mut self) {
        self.list.retain(|crew| crew.is_open());
    }

    /// Takes out a crew with nobody on board.
    pub(super) fn take_idle(&mut self) -> Option<Arc<Crew>> {
        let at = self.list.iter().position(|crew| crew.close_if_idle())?;
        Some(self.list.swap_remove(at))
    }
}

/// A place on a crew: one that sails, or a new one. None when all are full, and there may be no more.
pub(super) async fn admit(callee: &Callee, rules: Rules) -> Result<Option<Admission>, CallError> {
    let pool = &callee.0.pool;
    let admission = |crew| Admission::new(crew, callee.clone());
    {
        let mut crews = pool.crews();
        crews.forget_closed();
        // A crew on which somebody always is would keep its room for good.
        if callee.0.parts.share.must_yield() && pool.drivers().len() <= crews.list.len() {
            let yields = crews.list.pop();
            yields.inspect(|crew| crew.disband());
        }
        let free = crews.list.iter().find(|crew| crew.board(rules));
        if let Some(crew) = free {
            pool.note(Event::Hit);
            return Ok(Some(admission(Arc::clone(crew))));
        }
        if crews.list.len() + crews.forming >= rules.size {
            return Ok(None);
        }
        crews.forming += 1;
    }
    let _forming = Forming(callee);
    let warm = callee.fresh().await?;
    let crew = Crew::launch(callee, warm, false);
    crew.board(rules);
    pool.crews().list.push(Arc::clone(&crew));
    Ok(Some(admission(crew)))
}

/// Dropped when a crew was made, or could not be.
struct Forming<'a>(&'a Callee);

impl Drop for Forming<'_> {
    fn drop(&mut self) {
        self.0.0.pool.crews().forming -= 1;
    }
}

impl Crew {
    pub(super) fn launch(callee: &Callee, warm: Warm, resident: bool) -> Arc<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let members = Members {
            resident,
            ..Members::default()
        };
        let crew = Arc::new(Self {
            jobs,
            members: Mutex::new(members),
            progress: Arc::default(),
            driver: OnceLock::new(),
            failure: OnceLock::new(),
            over: CancellationToken::new(),
        });
        let parts = &callee.0.parts;
        let limits = &parts.context.limits;
        let runner = Runner::new(
            Box::pin(drive(warm, queue, limits.time)),
            parts.processors.clone(),
            Arc::clone(&parts.tenant),
            limits.cpu,
        )
        .while_progress(Arc::clone(&crew.progress));
        let (this, over) = (Arc::downgrade(&crew), crew.over.clone().drop_guard());
        let (pool, stopping) = (Arc::downgrade(&callee.0.pool), parts.stopping.clone());
        let workload = Arc::clone(&parts.context.workload);
        let driver = tokio::spawn(callee.0.pool.drivers().track_future(async move {
            let ended = tokio::select! {
                ended = runner => ended,
                () = stopping.cancelled_owned() => Err(CallError::Stopped),
            };
            if let Err(CallError::Trap(error)) = &ended
                && !error.is::<I32Exit>()
                && workload.log.admits(TRAP)
            {
                // Its backtrace is lost on those who are told.
                tracing::error!(%workload, "an instance that invocations share trapped: {error:?}");
            }
            if let (Err(error), Some(crew)) = (ended, this.upgrade()) {
                let _ = crew.failure.set(Failure::of(&error));
                // Those on board tell by themselves that it failed.
                if crew.close_if_idle()
                    && let Some(pool) = pool.upgrade()
                {
                    pool.note(Event::Failed);
                }
                crew.members().closed = true;
            }
            drop(over);
        }));
        let _ = crew.driver.set(driver.abort_handle());
        crew
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> bool {
        self.lives() && !self.members().closed
    }

    /// False from the moment on when the instance is gone, which those on board and the driver may not have heard of.
    fn lives(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// False when there is somebody on board, or nobody could board any more.
    fn close_if_idle(&self) -> bool {
        let mut members = self.members();
        let idle = members.aboard == 0 && !members.closed && !members.resident;
        members.closed |= idle;
        idle
    }

    /// Takes nobody on board any more, and ends when nobody is.
    pub(super) fn disband(&self) {
        let mut members = self.members();
        members.closed = true;
        members.disbanded = true;
        if members.aboard == 0 {
            self.abort();
        }
    }

    /// Takes one more on board, where there is a place.
    fn board(&self, rules: Rules) -> bool {
        let mut members = self.members();
        if !self.lives() || members.closed || members.aboard >= rules.concurrency {
            return false;
        }
        members.aboard += 1;
        members.admitted = members.admitted.saturating_add(1);
        members.closed = members.admitted >= rules.invocations;
        true
    }

    /// Takes one more on board of the instance of a service, unless that is over.
    pub(super) fn board_resident(&self) -> bool {
        let mut members = self.members();
        if !members.closed {
            members.aboard += 1;
        }
        !members.closed
    }

    /// The service itself leaves: nobody boards any more, and when nobody is on board the instance goes.
    pub(super) fn leave_resident(&self) {
        {
            let mut members = self.members();
            members.closed = true;
            members.disbanded = true;
        }
        self.leave(true);
    }

    /// Why the instance is no more, when it is.
    pub(super) async fn failed(&self, callee: &Callee) -> CallError {
        self.over.cancelled().await;
        match self.failure.get() {
            _ if callee.is_stopped() => CallError::Stopped,
            Some(failure) => CallError::Trap(failure.to_error()),
            None => CallError::Crashed,
        }
    }

    /// One leaves. The last one to leave after somebody gave up takes the instance along: what was given up goes on in it.
    fn leave(&self, finished: bool) -> Option<Event> {
        let mut members = self.members();
        members.aboard -= 1;
        if members.resident {
            if members.aboard == 0 && members.disbanded {
                self.abort();
            }
            return None;
        }
        let first = !members.abandoned && !finished;
        members.abandoned |= !finished;
        members.closed |= !finished;
        let used_up = members.closed && !members.disbanded && !members.abandoned;
        let used_up = used_up && members.aboard == 0;
        if members.aboard == 0 && (members.abandoned || members.disbanded) {
            self.abort();
        }
        drop(members);
        self.progress.fetch_add(1, Ordering::Relaxed);
        if first {
            return Some(Event::Failed);
        }
        used_up.then_some(Event::UsedUp)
    }

    fn abort(&self) {
        if let Some(driver) = self.driver.get() {
            driver.abort();
        }
    }
}

impl Failure {
    fn of(error: &CallError) -> Self {
        let reason = match error {
            CallError::Trap(error) => error.root_cause().to_string(),
            error => error.to_string(),
        };
        Self {
            reason,
            no_memory: error.no_memory(),
            exit: error.exit_status(),
        }
    }

    fn to_error(&self) -> wasmtime::Error {
        let error = wasmtime::format_err!(
            "{} (in this invocation, or another one on the same instance)",
            self.reason
        );
        match (self.no_memory, self.exit) {
            (Some(refused), _) => error.context(refused),
            (None, Some(status)) => error.context(I32Exit(status)),
            (None, None) => error,
        }
    }
}

impl Admission {
    /// A place on a crew that was boarded.
    pub(super) fn new(crew: Arc<Crew>, callee: Callee) -> Self {
        Self {
            crew,
            callee,
            finished: false,
        }
    }

    /// Why the instance is no more.
    async fn failure(&self) -> CallError {
        self.crew.failed(&self.callee).await
    }

    pub(super) async fn run<T: Send + 'static>(mut self, guest: Job<T>) -> Result<T, CallError> {
        let (mut tell, told) = oneshot::channel();
        let job: Dispatch = Box::new(move |accessor, instance| {
            Box::pin(async move {
                let result = tokio::select! {
                    biased;
                    result = guest(accessor, instance) => result,
                    () = tell.closed() => return,
                };
                // Whoever asked may have left.
                let _ = tell.send(result);
            })
        });
        if self.crew.jobs.send(job).is_err() {
            return Err(self.failure().await);
        }
        match told.await {
            Ok(Ok(done)) => {
                self.finished = true;
                Ok(done)
            }
            Ok(Err(error)) => Err(CallError::Trap(error)),
            Err(_) => Err(self.failure().await),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let pool = &self.callee.0.pool;
        if let Some(event) = self.crew.leave(self.finished) {
            pool.note(event);
        }
        if !self.crew.is_open() {
            // While it is there, it waits for others.
            pool.crews().forget_closed();
        }
        // Whoever waits for room is better served by the room.
        if self.callee.0.parts.share.is_wanted() && self.crew.close_if_idle() {
            self.crew.disband();
            pool.crews().forget_closed();
            pool.note(Event::Evicted);
        }
    }
}

/// Runs an instance and everybody on board, until nobody can board any more and all have left. What they began may then go on for
/// `time`.
async fn drive(
    warm: Warm,
    mut queue: mpsc::UnboundedReceiver<Dispatch>,
    time: Duration,
) -> Result<(), CallError> {
    let mut warm = warm;
    let instance = warm.instance;
    let ended = warm
        .store
        .run_concurrent(async move |accessor| {
            let mut running = FuturesUnordered::new();
            let mut open = true;
            while open || !running.is_empty() {
                tokio::select! {
                    job = queue.recv(), if open => match job {
                        Some(job) => {
                            // What others were refused before explains nothing that happens now.
                            accessor.with(|mut store| {
                                let data = store.data_mut();
                                data.memory().forgive();
                                data.is_called_by(None);
                            });
                            running.push(job(accessor, instance));
                        }
                        None => open = false,
                    },
                    Some(()) = running.next(), if !running.is_empty() => {}
                }
            }
            let rest = std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx));
            // Nobody is told when that is not enough: all have their results.
            let _ = tokio::time::timeout(time, rest).await;
        })
        .await;
    ended.map_err(|error| CallError::Trap(explained(error, &mut warm.store)))
}
