//! What one workload may write into the log: so much at once, and so much a second in the long run. The rest is dropped and counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{GuestLine, GuestOutput, LogLevel, Source};

/// What a line costs beside its text: its labels.
const LINE: usize = 128;

/// The output of one workload, with an end.
pub struct WorkloadLog {
    output: Arc<dyn GuestOutput>,
    /// Bytes a second.
    rate: u64,
    /// Bytes at once.
    burst: u64,
    budget: Mutex<Budget>,
}

struct Budget {
    left: u64,
    at: Instant,
    dropped: u64,
}

/// What becomes of a line.
enum Verdict {
    /// It is written, after word of how many were dropped before it.
    Written { dropped: u64 },
    /// It is the first to be dropped.
    FirstDropped,
    /// It is dropped.
    Dropped,
}

impl WorkloadLog {
    /// A workload's output. It may write `burst` bytes at once and `rate` a second in the long run.
    #[must_use]
    pub fn new(output: Arc<dyn GuestOutput>, rate: u64, burst: u64) -> Self {
        let budget = Budget {
            left: burst,
            at: Instant::now(),
            dropped: 0,
        };
        Self {
            output,
            rate,
            burst,
            budget: Mutex::new(budget),
        }
    }

    /// Writes a line, as far as there is room.
    pub fn line(&self, line: GuestLine<'_>) {
        let bytes = line.text.len() + line.context.len() + LINE;
        match self.spend(bytes, Instant::now()) {
            Verdict::Dropped => {}
            Verdict::FirstDropped => self.tell(line, "lines are dropped from here on"),
            Verdict::Written { dropped: 0 } => self.output.line(line),
            Verdict::Written { dropped } => {
                self.tell(line, &format!("{dropped} lines were dropped before here"));
                self.output.line(line);
            }
        }
    }

    /// Whether there is room for so many bytes about the workload; then they count.
    #[must_use]
    pub fn admits(&self, bytes: usize) -> bool {
        matches!(
            self.spend(bytes + LINE, Instant::now()),
            Verdict::Written { .. }
        )
    }

    /// Says to whoever reads the component's lines that some are missing.
    fn tell(&self, line: GuestLine<'_>, what: &str) {
        let text = format!(
            "{what}: the workload writes more log than {} KiB a second",
            self.rate >> 10
        );
        self.output.line(GuestLine {
            source: Source::Log(LogLevel::Warn),
            context: "wasmcloud",
            text: &text,
            ..line
        });
    }

    fn spend(&self, bytes: usize, now: Instant) -> Verdict {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(budget.at).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let refill = self.rate.saturating_mul(elapsed) / 1000;
        if refill > 0 {
            budget.left = budget.left.saturating_add(refill).min(self.burst);
            // What is left of a millisecond counts next time.
            budget.at += Duration::from_millis(elapsed);
        }
        let bytes = bytes as u64;
        // After lines were dropped, some room is waited for, so that word of it does not take all there is.
        let wanted = match budget.dropped {
            0 => bytes,
            _ => bytes.saturating_add(self.burst / 4).min(self.burst),
        };
        if budget.left < wanted {
            budget.dropped += 1;
            return match budget.dropped {
                1 => Verdict::FirstDropped,
                _ => Verdict::Dropped,
            };
        }
        budget.left -= bytes.min(budget.left);
        Verdict::Written {
            dropped: std::mem::take(&mut budget.dropped),
        }
    }
}

impl std::fmt::Debug for WorkloadLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkloadLog")
            .field("rate", &self.rate)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[derive(Default)]
    struct Collected(Mutex<Vec<String>>);

    impl GuestOutput for Collected {
        fn line(&self, line: GuestLine<'_>) {
            self.0.lock().unwrap().push(line.text.to_owned());
        }
    }

    fn write(log: &WorkloadLog, text: &str) {
        log.line(GuestLine {
            namespace: &Default::default(),
            workload: &"app".parse().unwrap(),
            component: &"main".parse().unwrap(),
            source: Source::Stdout,
            context: "",
            text,
        });
    }

    #[test]
    fn a_flood_is_cut_and_the_cut_is_told() {
        let output = Arc::new(Collected::default());
        let log = WorkloadLog::new(output.clone(), 1 << 10, 10 << 10);
        for _ in 0..1000 {
            write(&log, &"x".repeat(896));
        }
        let lines = output.0.lock().unwrap().clone();
        assert_eq!(lines.len(), 11, "{lines:?}");
        assert_eq!(
            lines.last().unwrap(),
            "lines are dropped from here on: the workload writes more log than 1 KiB a second"
        );
    }

    #[test]
    fn time_brings_room_again_and_the_count_of_what_is_missing() {
        let log = WorkloadLog::new(Arc::new(Collected::default()), 1000, 4000);
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(matches!(
            log.spend(4000, at(0)),
            Verdict::Written { dropped: 0 }
        ));
        assert!(matches!(log.spend(1, at(0)), Verdict::FirstDropped));
        assert!(matches!(log.spend(1, at(0)), Verdict::Dropped));
        // Two seconds later there is room for half of it.
        assert!(matches!(
            log.spend(100, at(2)),
            Verdict::Written { dropped: 2 }
        ));
        assert!(matches!(
            log.spend(1900, at(2)),
            Verdict::Written { dropped: 0 }
        ));
        assert!(matches!(log.spend(1, at(2)), Verdict::FirstDropped));
    }

    #[test]
    fn room_does_not_pile_up() {
        let log = WorkloadLog::new(Arc::new(Collected::default()), 1000, 4000);
        let later = Instant::now() + Duration::from_secs(3600);
        assert!(matches!(log.spend(4000, later), Verdict::Written { .. }));
        assert!(matches!(log.spend(1, later), Verdict::FirstDropped));
    }
}
