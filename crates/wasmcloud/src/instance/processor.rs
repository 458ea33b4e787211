//! Time on the processors, shared fairly between workloads.
//!
//! An invocation begins on the thread that serves its caller: most are over in well under a millisecond, and a change of threads
//! would cost them more than that. One that computes on moves to background threads, which the operating system lets run only as far
//! as the serving ones leave time, so that neighbours and timers do not notice it. There the workload that has had least comes
//! next. A workload that takes more than its share of the serving threads begins in the background, too, while others are there.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::stopwatch::processor_time;
use super::ticker::COMPUTING;

/// Over what time shares of the serving threads are reckoned.
const WINDOW: Duration = Duration::from_millis(100);
/// How much lower the background threads rank where they cannot step back altogether.
const NICE: i32 = 19;

/// The processors of a host, for its guests. Background threads start with the first work; they end with the last handle.
#[derive(Clone)]
pub struct Processors(Arc<Open>);

/// Closes the queue when it is dropped.
struct Open(Arc<Shared>);

struct Shared {
    threads: usize,
    born: Instant,
    runtime: Handle,
    queue: Mutex<Queue>,
    work: Condvar,
    window: Window,
}

#[derive(Default)]
struct Queue {
    /// Workloads with work, each once.
    ready: Vec<Line>,
    started: bool,
    closed: bool,
    /// How far the workload came that was served last: one that was away does not catch up.
    served: u64,
}

/// The work of one workload.
struct Line {
    tenant: Arc<Tenant>,
    tasks: VecDeque<Arc<Task>>,
}

/// How many workloads ran in the current window and in the one before.
#[derive(Default)]
struct Window {
    current: AtomicU64,
    active: AtomicU32,
    before: AtomicU32,
}

/// The time that one workload has had.
#[derive(Debug, Default)]
pub struct Tenant {
    /// The window that `used` is about.
    window: AtomicU64,
    /// Nanoseconds on serving threads in the window.
    used: AtomicU64,
    /// Nanoseconds on background threads.
    background: AtomicU64,
}

impl Processors {
    /// As many background threads as there are processors. Must be called inside a Tokio runtime, whose timers and sockets serve
    /// the background, too.
    #[must_use]
    pub fn here() -> Self {
        Self(Arc::new(Open(Arc::new(Shared {
            threads: thread::available_parallelism().map_or(1, usize::from),
            born: Instant::now(),
            runtime: Handle::current(),
            queue: Mutex::default(),
            work: Condvar::new(),
            window: Window::default(),
        }))))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Whether a workload that begins something now has had its share of the serving threads while others want theirs.
    pub(super) fn is_over_share(&self, tenant: &Tenant, now: Instant) -> bool {
        let shared = self.shared();
        shared.window.enter(shared.window_of(now), tenant);
        let active = shared.window.active();
        let all = nanoseconds(WINDOW).saturating_mul(shared.threads as u64);
        active > 1 && tenant.used.load(Ordering::Relaxed) > all / u64::from(active)
    }

    /// Goes on with something in the background.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        tenant: &Arc<Tenant>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Background<T> {
        let (tell, done) = oneshot::channel();
        let work = async move {
            // Nobody is told when nobody wants to know.
            let _ = tell.send(work.await);
        };
        let task = Arc::new(Task {
            shared: Arc::downgrade(self.shared()),
            tenant: Arc::clone(tenant),
            work: Mutex::new(Some(Box::pin(work))),
            state: AtomicU8::new(IDLE),
            aborted: AtomicBool::new(false),
        });
        Arc::clone(&task).wake();
        Background { done, task }
    }
}

impl std::fmt::Debug for Processors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processors")
            .field("threads", &self.shared().threads)
            .finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.queue();
            queue.closed = true;
            std::mem::take(&mut queue.ready)
        };
        self.0.work.notify_all();
        let _runtime = self.0.runtime.enter();
        let tasks = left.iter().flat_map(|line| &line.tasks);
        tasks.for_each(|task| {
            COMPUTING.fetch_sub(1, Ordering::Relaxed);
            task.abort();
        });
    }
}

impl Tenant {
    /// Notes time on serving threads.
    pub(super) fn used(&self, time: Duration) {
        self.used.fetch_add(nanoseconds(time), Ordering::Relaxed);
    }
}

impl Window {
    fn enter(&self, window: u64, tenant: &Tenant) {
        let current = self.current.load(Ordering::Relaxed);
        let first = |current| {
            let relaxed = Ordering::Relaxed;
            let exchanged = self
                .current
                .compare_exchange(current, window, relaxed, relaxed);
            exchanged.is_ok()
        };
        if current < window && first(current) {
            let active = self.active.swap(0, Ordering::Relaxed);
            let before = if current + 1 == window { active } else { 0 };
            self.before.store(before, Ordering::Relaxed);
        }
        if tenant.window.load(Ordering::Relaxed) != window
            && tenant.window.swap(window, Ordering::Relaxed) != window
        {
            tenant.used.store(0, Ordering::Relaxed);
            self.active.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn active(&self) -> u32 {
        let before = self.before.load(Ordering::Relaxed);
        self.active.load(Ordering::Relaxed).max(before)
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window_of(&self, now: Instant) -> u64 {
        let age = nanoseconds(now.saturating_duration_since(self.born));
        // Windows count from 1: 0 is that of a workload which has not run yet.
        1 + age / nanoseconds(WINDOW)
    }

    fn enqueue(self: &Arc<Self>, task: Arc<Task>) {
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            return task.abort();
        }
        if !std::mem::replace(&mut queue.started, true) {
            self.start();
        }
        let tenant = &task.tenant;
        COMPUTING.fetch_add(1, Ordering::Relaxed);
        let line = queue
            .ready
            .iter_mut()
            .find(|line| Arc::ptr_eq(&line.tenant, tenant));
        match line {
            Some(line) => line.tasks.push_back(task),
            None => {
                tenant.background.fetch_max(queue.served, Ordering::Relaxed);
                queue.ready.push(Line {
                    tenant: Arc::clone(tenant),
                    tasks: [task].into(),
                });
            }
        }
        drop(queue);
        self.work.notify_one();
    }

    fn start(self: &Arc<Self>) {
        for number in 0..self.threads {
            let shared = Arc::clone(self);
            let started = thread::Builder::new()
                .name(format!("guests-{number}"))
                .spawn(move || shared.work());
            if let Err(error) = started {
                tracing::error!(%error, "a background thread for guests could not be started");
            }
        }
    }

    /// What a background thread does.
    fn work(&self) {
        step_back();
        IN_BACKGROUND.set(true);
        let _runtime = self.runtime.enter();
        while let Some(task) = self.next() {
            let began = processor_time();
            task.run();
            COMPUTING.fetch_sub(1, Ordering::Relaxed);
            let time = nanoseconds(processor_time().saturating_sub(began));
            task.tenant.background.fetch_add(time, Ordering::Relaxed);
        }
    }

    /// The next task of the workload that has had least time; none when there will be none.
    fn next(&self) -> Option<Arc<Task>> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            let had = |line: &Line| line.tenant.background.load(Ordering::Relaxed);
            let lines = queue.ready.iter().enumerate();
            let least = lines.min_by_key(|(_, line)| had(line)).map(|(at, _)| at);
            if let Some(at) = least
                && let Some(line) = queue.ready.get_mut(at)
            {
                let (task, served) = (line.tasks.pop_front(), had(line));
                if line.tasks.is_empty() {
                    queue.ready.swap_remove(at);
                }
                queue.served = queue.served.max(served);
                if task.is_some() {
                    return task;
                }
                continue;
            }
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that runs in the background.
struct Task {
    shared: Weak<Shared>,
    tenant: Arc<Tenant>,
    work: Mutex<Option<Work>>,
    state: AtomicU8,
    aborted: AtomicBool,
}

/// It waits for something. → queued, done
const IDLE: u8 = 0;
/// It is in the queue. → running, done
const QUEUED: u8 = 1;
/// A thread is at it. → idle, woken, done
const RUNNING: u8 = 2;
/// A thread is at it, and it has been woken since. → queued, done
const WOKEN: u8 = 3;
/// It has ended, or was ended.
const DONE: u8 = 4;

impl Task {
    fn moves(&self, from: u8, to: u8) -> bool {
        let (won, lost) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(from, to, won, lost).is_ok()
    }

    fn run(self: &Arc<Self>) {
        if !self.moves(QUEUED, RUNNING) {
            return;
        }
        let waker = Waker::from(Arc::clone(self));
        let over = {
            let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            let over = match work.as_mut() {
                None => true,
                Some(work) => catch_unwind(AssertUnwindSafe(|| {
                    work.as_mut().poll(&mut Context::from_waker(&waker))
                }))
                .map_or(true, |poll: Poll<()>| poll.is_ready()),
            };
            let over = over || self.aborted.load(Ordering::Acquire);
            if over {
                *work = None;
            }
            over
        };
        if over {
            self.state.store(DONE, Ordering::Release);
        } else if !self.moves(RUNNING, IDLE) && self.moves(WOKEN, QUEUED) {
            self.enqueue();
        } else if self.aborted.load(Ordering::Acquire) {
            self.abort();
        }
    }

    fn enqueue(self: &Arc<Self>) {
        match self.shared.upgrade() {
            Some(shared) => shared.enqueue(Arc::clone(self)),
            None => self.abort(),
        }
    }

    /// Ends it: now if it waits, else when it pauses.
    fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        if self.moves(IDLE, DONE) || self.moves(QUEUED, DONE) {
            let work = {
                let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
                work.take()
            };
            drop(work);
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        loop {
            if self.moves(IDLE, QUEUED) {
                return self.enqueue();
            }
            let waits = matches!(self.state.load(Ordering::Acquire), IDLE | RUNNING);
            if self.moves(RUNNING, WOKEN) || !waits {
                return;
            }
        }
    }
}

/// The outcome of something that runs in the background. Dropping it ends that.
pub(super) struct Background<T> {
    done: oneshot::Receiver<T>,
    task: Arc<Task>,
}

impl<T> Future for Background<T> {
    /// `None` when it crashed, or the host went.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.done).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ranks this thread below all others: any other thread that wakes takes its place at once (`SCHED_IDLE` of `sched(7)`), which
/// needs no privilege.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "guests that compute for long run with the same priority as others");
    }
    #[cfg(target_os = "linux")]
    {
        let parameters = libc::sched_param { sched_priority: 0 };
        #[expect(
            unsafe_code,
            reason = "no library in the tree sets the scheduling policy"
        )]
        // SAFETY: the parameters are valid and outlive the call; 0 is the calling thread.
        let result =
            unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
        if result != 0 {
            let error = std::io::Error::last_os_error();
            tracing::debug!(%error, "background threads have a low priority instead of none");
        }
    }
}

thread_local! {
    static IN_BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a background thread.
pub(super) fn in_background() -> bool {
    IN_BACKGROUND.get()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// Pauses `count` times, computing for a while before each.
    async fn compute(count: u32) {
        for _ in 0..count {
            let began = Instant::now();
            while began.elapsed() < Duration::from_micros(200) {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_is_done_and_may_wait_for_timers() {
        let processors = Processors::here();
        let tenant = Arc::new(Tenant::default());
        let work = async {
            tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>())
                .await
                .is_err()
        };
        assert_eq!(processors.spawn(&tenant, work).await, Some(true));
        assert!(tenant.background.load(Ordering::Relaxed) > 0);
    }

    #[tokio::test]
    async fn a_crash_is_told_and_ends_nothing_else() {
        let processors = Processors::here();
        let tenant = Arc::new(Tenant::default());
        for _ in 0..8 {
            let crash =
                processors.spawn(&tenant, async { std::panic::resume_unwind(Box::new(())) });
            assert_eq!(crash.await, None::<()>);
        }
        assert_eq!(processors.spawn(&tenant, async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_ended() {
        struct Held(oneshot::Sender<()>);
        let processors = Processors::here();
        let tenant = Arc::new(Tenant::default());
        let (sender, gone) = oneshot::channel::<()>();
        let held = Held(sender);
        let waits = processors.spawn(&tenant, async move {
            let _held = &held.0;
            std::future::pending::<()>().await;
        });
        drop(waits);
        assert!(gone.await.is_err());

        let (sender, gone) = oneshot::channel::<()>();
        let held = Held(sender);
        let spins = processors.spawn(&tenant, async move {
            let _held = &held.0;
            compute(u32::MAX).await;
        });
        drop(spins);
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    async fn one_with_much_work_does_not_keep_out_one_with_little() {
        let processors = Processors::here();
        let (greedy, modest) = (Arc::new(Tenant::default()), Arc::new(Tenant::default()));
        let _busy: Vec<_> = (0..64)
            .map(|_| processors.spawn(&greedy, compute(u32::MAX)))
            .collect();
        // Served first come, first served, this would take 64 times as long as it computes.
        processors.spawn(&modest, compute(50)).await.unwrap();
        let had = |tenant: &Tenant| tenant.background.load(Ordering::Relaxed);
        assert!(had(&greedy) < 32 * had(&modest), "{greedy:?} {modest:?}");
    }

    #[tokio::test]
    async fn a_share_counts_only_while_others_are_there() {
        let processors = Processors::here();
        let (a, b) = (Tenant::default(), Tenant::default());
        let now = Instant::now();
        assert!(!processors.is_over_share(&a, now));
        a.used(WINDOW * 100);
        assert!(!processors.is_over_share(&a, now));
        assert!(!processors.is_over_share(&b, now));
        assert!(processors.is_over_share(&a, now));
        // Long after, nobody remembers.
        assert!(!processors.is_over_share(&a, now + WINDOW * 2));
    }

    #[tokio::test]
    async fn the_end_of_the_host_ends_its_guests() {
        let processors = Processors::here();
        let tenant = Arc::new(Tenant::default());
        let busy = processors.spawn(&tenant, compute(u32::MAX));
        drop(processors);
        assert_eq!(busy.await, None);
    }
}
