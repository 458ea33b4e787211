//! Moves an engine's epoch on, so that guests which compute yield, and rests while no guest does anything.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// How often a guest that computes yields to its neighbours.
const TICK: Duration = Duration::from_millis(10);
/// The same while some compute in the background. A kernel that does not preempt lets them go on until they enter it, which they do
/// at each tick: so often a thread that serves can take their place.
const FINE_TICK: Duration = Duration::from_micros(250);
/// After how many ticks in which no guest did anything the thread goes to sleep.
const REST_AFTER: u32 = 100;

/// How many guests compute in the background, or wait there for a processor: of all hosts in the process.
pub(super) static COMPUTING: AtomicUsize = AtomicUsize::new(0);

/// How often guests began and ended to do something, counted in several places because one would be fought over.
static TURNS: [Turns; 16] = [const { Turns::new() }; 16];

/// The threads of tickers that sleep, and how many there are.
static SLEEPERS: Mutex<Vec<Thread>> = Mutex::new(Vec::new());
static ASLEEP: AtomicUsize = AtomicUsize::new(0);

/// Alone on its lines of the processor's cache.
#[repr(align(128))]
struct Turns {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Turns {
    const fn new() -> Self {
        Self {
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    /// The place of this thread.
    fn here() -> &'static Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % TURNS.len();
        }
        let [first, ..] = &TURNS;
        TURNS.get(PLACE.with(|place| *place)).unwrap_or(first)
    }
}

/// How many turns have begun, and whether all of them have ended.
fn turns() -> (u64, bool) {
    // Those that ended first: one that ends meanwhile seems not to have ended, which does no harm.
    let ended: u64 = TURNS.iter().map(|it| it.ended.load(Ordering::SeqCst)).sum();
    let begun: u64 = TURNS.iter().map(|it| it.begun.load(Ordering::SeqCst)).sum();
    (begun, begun == ended)
}

/// A guest does something, from now until this is dropped: epochs move on meanwhile.
pub(super) struct Turn(&'static Turns);

impl Turn {
    pub(super) fn begin() -> Self {
        let turns = Turns::here();
        turns.begun.fetch_add(1, Ordering::SeqCst);
        // Whoever falls asleep looks at the turns once more when it is counted here, so one of the two sees the other.
        if ASLEEP.load(Ordering::SeqCst) > 0 {
            wake_all();
        }
        Self(turns)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

fn sleepers() -> MutexGuard<'static, Vec<Thread>> {
    SLEEPERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake_all() {
    let mut sleepers = sleepers();
    ASLEEP.store(0, Ordering::SeqCst);
    for thread in sleepers.drain(..) {
        thread.unpark();
    }
}

/// Parks this thread until a guest does something, unless one does or has since there were so many turns.
fn sleep_since(seen: u64) {
    {
        let mut sleepers = sleepers();
        sleepers.push(thread::current());
        ASLEEP.store(sleepers.len(), Ordering::SeqCst);
    }
    if turns() == (seen, true) {
        thread::park();
    } else {
        wake_all();
    }
}

fn tick() -> Duration {
    match COMPUTING.load(Ordering::Relaxed) {
        0 => TICK,
        _ => FINE_TICK,
    }
}

/// The thread that drives one engine's epoch. It ends when this is dropped.
#[derive(Debug, Default)]
pub struct Ticker {
    thread: OnceLock<Thread>,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(engine: &wasmtime::Engine, name: &str) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self::default());
        let (engine, this) = (engine.weak(), Arc::downgrade(&ticker));
        let handle = thread::Builder::new()
            .name(format!("epoch-{name}"))
            .spawn(move || {
                let mut quiet = Quiet::default();
                while let (Some(engine), Some(this)) = (engine.upgrade(), this.upgrade()) {
                    engine.increment_epoch();
                    // Whoever drops the last handle must not wait for a tick.
                    drop((engine, this));
                    match quiet.look() {
                        Some(seen) => sleep_since(seen),
                        None => thread::park_timeout(tick()),
                    }
                }
            })?;
        let _ = ticker.thread.set(handle.thread().clone());
        Ok(ticker)
    }
}

/// For how many ticks no guest has done anything.
#[derive(Default)]
struct Quiet {
    seen: u64,
    ticks: u32,
}

impl Quiet {
    /// The count of turns, when it has not changed for so long that it is time to rest.
    fn look(&mut self) -> Option<u64> {
        let (begun, over) = turns();
        self.ticks = if over && begun == self.seen {
            self.ticks + 1
        } else {
            0
        };
        self.seen = begun;
        if self.ticks < REST_AFTER {
            return None;
        }
        self.ticks = 0;
        Some(begun)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests of other things run beside this one, so what is asked of it here holds whatever they do.
    #[test]
    fn it_does_not_rest_while_a_guest_is_at_work() {
        let turn = Turn::begin();
        let (begun, over) = turns();
        assert!(begun > 0 && !over);
        let mut quiet = Quiet::default();
        assert!((0..=2 * REST_AFTER).all(|_| quiet.look().is_none()));
        // Who wants to sleep all the same does not.
        sleep_since(begun);
        drop(turn);
    }

    #[test]
    fn a_turn_wakes_all_who_rest() {
        let (tell, told) = std::sync::mpsc::channel();
        let sleeper = thread::spawn(move || {
            tell.send(()).ok();
            // Turns of other tests may wake it as well.
            sleep_since(turns().0);
        });
        told.recv().ok();
        while !sleeper.is_finished() {
            drop(Turn::begin());
            thread::yield_now();
        }
    }
}
