//! One invocation while it runs: metered, moved out of its neighbours' way when it computes for long, and ended when it takes more
//! than it may.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use wasmtime_wasi::I32Exit;

use super::capacity::NoRoom;
use super::memory::NoMemory;
use super::processor::{Background, Processors, Tenant, in_background};
use super::stopwatch::Stopwatch;
use super::ticker::Turn;

/// An invocation that computed for this long without a pause goes on in the background. A guest pauses at every tick of the epoch.
const LONG: Duration = Duration::from_millis(2);

/// One that computed for less at once has paused.
const SHORT: Duration = Duration::from_micros(100);

/// Why an invocation came to no good end.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no room for an instance.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The component failed while it started.
    #[error("the component could not be instantiated")]
    Instantiate(#[source] wasmtime::Error),
    /// The guest trapped, or the host failed under it.
    #[error("the component trapped")]
    Trap(#[source] wasmtime::Error),
    /// It took longer than it may.
    #[error("the invocation took longer than its {} ms (`timeoutMs`)", .0.as_millis())]
    TimedOut(Duration),
    /// It computed for longer than it may.
    #[error("the invocation took more than its {} ms of processor time (`cpuLimit`)", .0.as_millis())]
    OutOfCpu(Duration),
    /// Its workload is being stopped.
    #[error("the workload is being stopped")]
    Stopped,
    /// It is for a service that is not there: it has crashed and has not come back yet, or has ended.
    #[error("the service of the workload is not up")]
    NotUp,
    /// It is for a service, which is at work and can be called only by what runs beside that.
    #[error("the service of the workload cannot be called while it runs")]
    Busy,
    /// It is one of those that the host could not go on with.
    #[error("the host failed; its log has more")]
    Crashed,
}

impl CallError {
    /// The memory that the guest wanted and did not get, where that is what it trapped of.
    #[must_use]
    pub fn no_memory(&self) -> Option<NoMemory> {
        match self {
            Self::Trap(error) | Self::Instantiate(error) => {
                error.downcast_ref::<NoMemory>().copied()
            }
            _ => None,
        }
    }

    /// The status with which the guest ended itself, where that is how it came to its end.
    #[must_use]
    pub fn exit_status(&self) -> Option<i32> {
        match self {
            Self::Trap(error) | Self::Instantiate(error) => {
                error.downcast_ref::<I32Exit>().map(|exit| exit.0)
            }
            _ => None,
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_for_lack_of_room(&self) -> bool {
        match self {
            Self::NoRoom(reason) => *reason != NoRoom::TooBig,
            Self::NotUp => true,
            Self::Instantiate(error) | Self::Trap(error) => {
                error.is::<wasmtime::PoolConcurrencyLimitError>()
            }
            _ => false,
        }
    }
}

thread_local! {
    /// The time of invocations that were polled within the one that is being polled: isolated callees of its own, which account
    /// for themselves.
    static WITHIN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

pub(super) type Guest<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;

/// The processor time of something, and what it may have.
pub(super) struct Meter {
    tenant: Arc<Tenant>,
    spent: Duration,
    most: Duration,
    /// Where the guest works for many: who else makes progress, and how far that was when it was last looked at.
    progress: Option<(Arc<AtomicU64>, u64)>,
}

impl Meter {
    /// Adds time. False when it is more than there is.
    fn spend(&mut self, time: Duration) -> bool {
        if let Some((progress, seen)) = &mut self.progress {
            let now = progress.load(Ordering::Relaxed);
            if std::mem::replace(seen, now) != now {
                self.spent = Duration::ZERO;
            }
        }
        self.spent += time;
        self.spent <= self.most
    }
}

/// A guest that is metered. Its time on background threads is noted there.
struct Metered<T> {
    guest: Guest<T>,
    meter: Meter,
}

impl<T> Metered<T> {
    /// How long this poll took, without invocations that were polled within it, and what came of it.
    fn poll_by(
        &mut self,
        elapsed: impl FnOnce() -> Duration,
        cx: &mut Context<'_>,
    ) -> (Duration, Poll<Result<T, CallError>>) {
        let outer = WITHIN.replace(Duration::ZERO);
        let poll = {
            let _turn = Turn::begin();
            self.guest.as_mut().poll(cx)
        };
        let whole = elapsed();
        let time = whole.saturating_sub(WITHIN.get());
        WITHIN.set(outer.saturating_add(whole));
        if !self.meter.spend(time) && poll.is_pending() {
            let error = CallError::OutOfCpu(self.meter.most);
            return (time, Poll::Ready(Err(error)));
        }
        (time, poll)
    }

    /// On a serving thread, which nobody keeps from its processor, the clock on the wall will do.
    fn poll_here(&mut self, cx: &mut Context<'_>) -> (Duration, Poll<Result<T, CallError>>) {
        let began = Instant::now();
        self.poll_by(|| began.elapsed(), cx)
    }

    /// In the background, where it may have to wait for a processor, which is not its fault.
    fn poll_there(&mut self, cx: &mut Context<'_>) -> (Duration, Poll<Result<T, CallError>>) {
        let watch = Stopwatch::start();
        self.poll_by(|| watch.elapsed(), cx)
    }
}

/// After so many short polls in a row, a guest that was in nobody's way goes back to the thread of its caller: one that lives for
/// days must not stay behind all others because it computed once.
const CALM: u32 = 16;

/// A guest while it runs in the background.
struct Stay<T> {
    /// There until it leaves.
    metered: Option<Metered<T>>,
    /// How many polls in a row were short.
    calm: u32,
}

/// How a stay in the background ends.
enum Left<T> {
    /// The guest has come to its end.
    Ended(Result<T, CallError>),
    /// It waits for something else than a processor.
    Calm(Metered<T>),
}

impl<T> Future for Stay<T> {
    type Output = Left<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Left<T>> {
        let Some(metered) = &mut self.metered else {
            return Poll::Ready(Left::Ended(Err(CallError::Crashed)));
        };
        let (time, poll) = metered.poll_there(cx);
        if let Poll::Ready(outcome) = poll {
            return Poll::Ready(Left::Ended(outcome));
        }
        self.calm = if time < SHORT { self.calm + 1 } else { 0 };
        if self.calm < CALM {
            return Poll::Pending;
        }
        match self.metered.take() {
            Some(metered) => Poll::Ready(Left::Calm(metered)),
            None => Poll::Pending,
        }
    }
}

/// A guest, wherever it runs.
pub(super) struct Runner<T> {
    place: Place<T>,
    /// How long it has computed on the thread of its caller.
    here: Duration,
    /// How long of that without a pause worth the name.
    streak: Duration,
    tenant: Arc<Tenant>,
    processors: Processors,
}

enum Place<T> {
    /// It has not begun.
    New(Metered<T>),
    /// On the thread of its caller.
    Here(Metered<T>),
    /// In the background.
    There(Background<Left<T>>),
    /// It has ended.
    Nowhere,
}

impl<T: Send + 'static> Runner<T> {
    pub(super) fn new(
        guest: Guest<T>,
        processors: Processors,
        tenant: Arc<Tenant>,
        most: Duration,
    ) -> Self {
        let meter = Meter {
            tenant: Arc::clone(&tenant),
            spent: Duration::ZERO,
            most,
            progress: None,
        };
        Self {
            place: Place::New(Metered { guest, meter }),
            here: Duration::ZERO,
            streak: Duration::ZERO,
            tenant,
            processors,
        }
    }

    /// For a guest that works for many: what it may spend counts from the last progress that any of them made.
    pub(super) fn while_progress(mut self, progress: Arc<AtomicU64>) -> Self {
        if let Place::New(metered) = &mut self.place {
            metered.meter.progress = Some((progress, 0));
        }
        self
    }

    /// Whether it is in its neighbours' way: it computed for long at once, or little by little while others want their share.
    fn is_in_the_way(&mut self, time: Duration) -> bool {
        self.here += time;
        self.streak = if time < SHORT {
            Duration::ZERO
        } else {
            self.streak + time
        };
        let over_share = || self.processors.is_over_share(&self.tenant, Instant::now());
        self.streak >= LONG || (self.here >= LONG && over_share())
    }

    fn go_there(&mut self, metered: Metered<T>) {
        let stay = Stay {
            metered: Some(metered),
            calm: 0,
        };
        self.place = Place::There(self.processors.spawn(&self.tenant, stay));
    }

    fn come_back(&mut self, metered: Metered<T>) {
        (self.here, self.streak) = (Duration::ZERO, Duration::ZERO);
        self.place = Place::Here(metered);
    }
}

impl<T: Send + 'static> Future for Runner<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.place, Place::Nowhere) {
                Place::New(metered) => {
                    if !in_background()
                        && self.processors.is_over_share(&self.tenant, Instant::now())
                    {
                        self.go_there(metered);
                    } else {
                        self.place = Place::Here(metered);
                    }
                }
                // Polled within another that is in the background, it is there, too.
                Place::Here(mut metered) if in_background() => {
                    let (_, poll) = metered.poll_there(cx);
                    self.place = Place::Here(metered);
                    return poll;
                }
                Place::Here(mut metered) => {
                    let (time, poll) = metered.poll_here(cx);
                    metered.meter.tenant.used(time);
                    if poll.is_ready() {
                        return poll;
                    }
                    if !self.is_in_the_way(time) {
                        self.place = Place::Here(metered);
                        return Poll::Pending;
                    }
                    self.go_there(metered);
                }
                Place::There(mut background) => {
                    let Poll::Ready(outcome) = Pin::new(&mut background).poll(cx) else {
                        self.place = Place::There(background);
                        return Poll::Pending;
                    };
                    match outcome {
                        Some(Left::Calm(metered)) => self.come_back(metered),
                        Some(Left::Ended(outcome)) => return Poll::Ready(outcome),
                        None => return Poll::Ready(Err(CallError::Crashed)),
                    }
                }
                Place::Nowhere => return Poll::Ready(Err(CallError::Crashed)),
            }
        }
    }
}

/// A call of an export that is under way. Dropping it ends the guest.
pub struct Invocation<T> {
    runner: Runner<T>,
    time: Duration,
    began: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    stopping: CancellationToken,
    stopped: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<T> Invocation<T> {
    pub(super) fn new(runner: Runner<T>, time: Duration, stopping: CancellationToken) -> Self {
        Self {
            runner,
            time,
            began: Instant::now(),
            deadline: None,
            stopping,
            stopped: None,
        }
    }

    /// Whether it must end although it has not come to its end. Most invocations never ask.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<CallError> {
        let (began, time) = (self.began, self.time);
        let deadline = self.deadline.get_or_insert_with(|| {
            Box::pin(match began.checked_add(time) {
                Some(at) => tokio::time::sleep_until(at.into()),
                None => tokio::time::sleep(time),
            })
        });
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(CallError::TimedOut(time));
        }
        let stopping = &self.stopping;
        let stopped = self
            .stopped
            .get_or_insert_with(|| Box::pin(stopping.clone().cancelled_owned()));
        stopped.as_mut().poll(cx).map(|()| CallError::Stopped)
    }
}

impl<T: Send + 'static> Future for Invocation<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.runner).poll(cx) {
            return Poll::Ready(outcome);
        }
        let overdue = std::task::ready!(self.poll_overdue(cx));
        // The guest ends before its caller is told.
        self.runner.place = Place::Nowhere;
        Poll::Ready(Err(overdue))
    }
}

impl<T> std::fmt::Debug for Invocation<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation")
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn runner<T: Send + 'static>(
        guest: impl Future<Output = T> + Send + 'static,
    ) -> (Runner<T>, Processors) {
        let processors = Processors::here();
        let guest = Box::pin(async { Ok(guest.await) });
        let tenant = Arc::new(Tenant::default());
        let runner = Runner::new(guest, processors.clone(), tenant, Duration::MAX);
        (runner, processors)
    }

    fn compute() {
        let began = Instant::now();
        while began.elapsed() < LONG + SHORT {
            std::hint::spin_loop();
        }
    }

    /// Else a service that once computed for long would stay behind everything else for the rest of its days.
    #[tokio::test]
    async fn who_computes_no_more_comes_back_from_the_background() {
        let (runner, _processors) = runner(async {
            assert!(!in_background(), "it begins where its caller is");
            compute();
            tokio::task::yield_now().await;
            assert!(in_background(), "it was in the way");
            let mut pauses = 0;
            while in_background() {
                tokio::task::yield_now().await;
                pauses += 1;
            }
            pauses
        });
        let pauses = runner.await.unwrap();
        assert!(pauses + 1 >= CALM, "after {pauses} pauses");
    }

    #[tokio::test]
    async fn who_computes_on_stays_there() {
        let (runner, _processors) = runner(async {
            compute();
            tokio::task::yield_now().await;
            let mut there = 0;
            for _ in 0..2 * CALM {
                compute();
                tokio::task::yield_now().await;
                there += u32::from(in_background());
            }
            there
        });
        assert_eq!(runner.await.unwrap(), 2 * CALM);
    }
}
