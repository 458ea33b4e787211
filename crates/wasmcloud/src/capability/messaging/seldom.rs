//! Keeps what happens all the time from filling the log.

use std::time::{Duration, Instant};

/// How long between two times.
const PAUSE: Duration = Duration::from_secs(60);

/// Says when something may be told again: once a minute.
#[derive(Debug, Default)]
pub(super) struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it may be told now; then it may not for a while.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if due {
            self.0 = Some(now);
        }
        due
    }
}
