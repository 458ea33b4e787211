//! Instances that serve several invocations at once, which WASI 0.3 allows: a crew is one such instance, the task that runs it, and
//! the invocations on board.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Accessor, Instance};

use super::StoreData;
use super::callee::{Callee, OnInstance, Warm, explained};
use super::invocation::{CallError, Runner};
use super::pool::Event;

/// What an invocation does with the instance.
pub(super) type Job<T> =
    Box<dyn for<'a> FnOnce(&'a Accessor<StoreData>, Instance) -> OnInstance<'a, T> + Send>;

type Task<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
type Dispatch = Box<dyn for<'a> FnOnce(&'a Accessor<StoreData>, Instance) -> Task<'a> + Send>;

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
    failure: OnceLock<String>,
    /// Cancelled when the driver has ended.
    over: CancellationToken,
}

#[derive(Default)]
struct Members {
    aboard: u32,
    admitted: u32,
    closed: bool,
    /// Somebody left before the end of a call, which goes on in the guest all the same.
    abandoned: bool,
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

    /// Takes out a crew with nobody on board.
    pub(super) fn take_idle(&mut self) -> Option<Arc<Crew>> {
        let at = self.list.iter().position(|crew| crew.close_if_idle())?;
        Some(self.list.swap_remove(at))
    }
}

/// A place on a crew: one that sails, or a new one. None when all are full, and there may be no more.
pub(super) async fn admit(callee: &Callee, rules: Rules) -> Result<Option<Admission>, CallError> {
    let pool = &callee.0.pool;
    let admission = |crew| Admission {
        crew,
        callee: callee.clone(),
        finished: false,
    };
    {
        let mut crews = pool.crews();
        crews.list.retain(|crew| crew.is_open());
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
    let crew = Crew::launch(callee, warm);
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
    fn launch(callee: &Callee, warm: Warm) -> Arc<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let crew = Arc::new(Self {
            jobs,
            members: Mutex::default(),
            progress: Arc::default(),
            driver: OnceLock::new(),
            failure: OnceLock::new(),
            over: CancellationToken::new(),
        });
        let parts = &callee.0.parts;
        let runner = Runner::new(
            Box::pin(drive(warm, queue)),
            parts.processors.clone(),
            Arc::clone(&parts.tenant),
            parts.context.limits.cpu,
        )
        .while_progress(Arc::clone(&crew.progress));
        let (this, over) = (Arc::downgrade(&crew), crew.over.clone().drop_guard());
        let driver = tokio::spawn(async move {
            let ended = runner.await;
            if let (Err(error), Some(crew)) = (ended, this.upgrade()) {
                let _ = crew.failure.set(describe(&error));
                crew.members().closed = true;
            }
            drop(over);
        });
        let _ = crew.driver.set(driver.abort_handle());
        crew
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> bool {
        !self.members().closed
    }

    fn close_if_idle(&self) -> bool {
        let mut members = self.members();
        let idle = members.aboard == 0;
        members.closed |= idle;
        idle
    }

    /// Takes one more on board, where there is a place.
    fn board(&self, rules: Rules) -> bool {
        let mut members = self.members();
        if members.closed || members.aboard >= rules.concurrency {
            return false;
        }
        members.aboard += 1;
        members.admitted = members.admitted.saturating_add(1);
        members.closed = members.admitted >= rules.invocations;
        true
    }

    /// One leaves. The last one to leave after somebody gave up takes the instance along: what was given up goes on in it.
    fn leave(&self, finished: bool) -> Option<Event> {
        let mut members = self.members();
        members.aboard -= 1;
        let first = !members.abandoned && !finished;
        members.abandoned |= !finished;
        members.closed |= !finished;
        let used_up = members.closed && !members.abandoned && members.aboard == 0;
        if members.abandoned && members.aboard == 0 {
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

    /// Why the instance is no more.
    async fn failure(&self) -> CallError {
        self.over.cancelled().await;
        match self.failure.get() {
            Some(reason) => CallError::Trap(wasmtime::format_err!("{reason}")),
            None => CallError::Crashed,
        }
    }
}

/// What those on board are told: the error itself belongs to one of them, and nobody knows to whom.
fn describe(error: &CallError) -> String {
    let reason = match error {
        CallError::Trap(error) => error.root_cause().to_string(),
        error => error.to_string(),
    };
    format!("{reason} (in this invocation, or another one on the same instance)")
}

impl Admission {
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
            return Err(self.crew.failure().await);
        }
        match told.await {
            Ok(Ok(done)) => {
                self.finished = true;
                Ok(done)
            }
            Ok(Err(error)) => Err(CallError::Trap(error)),
            Err(_) => Err(self.crew.failure().await),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(event) = self.crew.leave(self.finished) {
            self.callee.0.pool.note(event);
        }
    }
}

/// Runs an instance and everybody on board, until nobody can board any more and all have left.
async fn drive(warm: Warm, mut queue: mpsc::UnboundedReceiver<Dispatch>) -> Result<(), CallError> {
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
                        Some(job) => running.push(job(accessor, instance)),
                        None => open = false,
                    },
                    Some(()) = running.next(), if !running.is_empty() => {}
                }
            }
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        })
        .await;
    ended.map_err(|error| CallError::Trap(explained(error, &mut warm.store)))
}
