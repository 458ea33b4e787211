//! How long something took on the processor, on a thread that may have to wait for one.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// For so long the clock on the wall is good enough: to ask for the time on the processor enters the kernel, which costs more than
/// most calls between components.
const SHORT: Duration = Duration::from_micros(50);

thread_local! {
    /// When this thread was last asked for its time on the processor, and what that was.
    static ASKED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// How long this thread has been on a processor.
pub(super) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let time = Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default());
    ASKED.set(Some((Instant::now(), time)));
    time
}

/// Measures the time of this thread on the processor, to within 50 µs.
pub(super) struct Stopwatch {
    began: Instant,
    processor: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let began = Instant::now();
        let recent = ASKED.get().and_then(|(asked, time)| {
            let since = began.checked_duration_since(asked)?;
            (since < SHORT).then(|| time.saturating_add(since))
        });
        let processor = recent.unwrap_or_else(processor_time);
        Self { began, processor }
    }

    /// The time since it was started, on the same thread.
    pub(super) fn elapsed(&self) -> Duration {
        let time = self.began.elapsed();
        if time < SHORT {
            return time;
        }
        processor_time().saturating_sub(self.processor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(time: Duration) {
        let began = processor_time();
        while processor_time().saturating_sub(began) < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn it_counts_what_the_thread_computes() {
        let (watch, exact) = (Stopwatch::start(), processor_time());
        spin(Duration::from_millis(5));
        let (measured, exact) = (watch.elapsed(), processor_time().saturating_sub(exact));
        let (least, most) = (exact.saturating_sub(SHORT), exact + SHORT);
        assert!(
            least <= measured && measured <= most,
            "{measured:?} of {exact:?}"
        );
    }

    /// A thread that waits for a processor, or for anything else, does not pay for that.
    #[test]
    fn it_does_not_count_what_the_thread_waits() {
        let watch = Stopwatch::start();
        let other = std::thread::spawn(|| spin(Duration::from_millis(20)));
        assert!(other.join().is_ok());
        assert!(watch.elapsed() < Duration::from_millis(10));
    }

    #[test]
    fn short_times_one_after_the_other_add_up() {
        let exact = processor_time();
        let mut sum = Duration::ZERO;
        for _ in 0..1000 {
            let watch = Stopwatch::start();
            std::hint::black_box((0..2000).sum::<u64>());
            sum += watch.elapsed();
        }
        assert!(sum > processor_time().saturating_sub(exact) / 4);
    }
}
