//! Moves an engine's epoch on, so that guests which compute yield, and rests while there are no guests.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// How often a guest that computes yields to its neighbours.
const TICK: Duration = Duration::from_millis(10);
/// The same while some compute in the background. A kernel that does not preempt lets them go on until they enter it, which they do
/// at each tick: so often a thread that serves can take their place.
const FINE_TICK: Duration = Duration::from_micros(250);
/// After how many ticks without any instance the thread goes to sleep.
const REST_AFTER: u32 = 100;

/// How many guests compute in the background, or wait there for a processor: of all hosts in the process.
pub(super) static COMPUTING: AtomicUsize = AtomicUsize::new(0);

fn tick() -> Duration {
    match COMPUTING.load(Ordering::Relaxed) {
        0 => TICK,
        _ => FINE_TICK,
    }
}

/// The thread that drives one engine's epoch. It ends when this is dropped.
#[derive(Debug, Default)]
pub struct Ticker {
    /// How many instances there are.
    live: AtomicU32,
    asleep: AtomicBool,
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
                let mut quiet = 0;
                while let (Some(engine), Some(this)) = (engine.upgrade(), this.upgrade()) {
                    engine.increment_epoch();
                    quiet = if this.is_idle() { quiet + 1 } else { 0 };
                    let rests = quiet >= REST_AFTER && this.falls_asleep();
                    // Whoever drops the last handle must not wait for a tick.
                    drop((engine, this));
                    if rests {
                        thread::park();
                        quiet = 0;
                    } else {
                        thread::park_timeout(tick());
                    }
                }
            })?;
        let _ = ticker.thread.set(handle.thread().clone());
        Ok(ticker)
    }

    /// Tells how many instances there are.
    pub(super) fn live(&self, instances: u32) {
        self.live.store(instances, Ordering::SeqCst);
        if instances > 0
            && self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn is_idle(&self) -> bool {
        self.live.load(Ordering::SeqCst) == 0
    }

    /// Whether it may sleep: whoever makes an instance from now on sees that it does.
    fn falls_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        self.is_idle() || !self.asleep.swap(false, Ordering::SeqCst)
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
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn until(mut condition: impl FnMut() -> bool) {
        while !condition() {
            thread::yield_now();
        }
    }

    #[test]
    fn it_rests_when_nobody_computes_and_goes_on_when_somebody_does() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(&engine, "test").unwrap();
        until(|| ticker.asleep.load(Ordering::SeqCst));
        ticker.live(1);
        assert!(!ticker.asleep.load(Ordering::SeqCst));
        // Somebody is there: it does not fall asleep.
        assert!(!ticker.falls_asleep());
        ticker.live(0);
        until(|| ticker.asleep.load(Ordering::SeqCst));
    }
}
