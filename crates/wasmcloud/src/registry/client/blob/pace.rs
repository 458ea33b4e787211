//! How fast a blob has to come: a registry that drips is as good as silent.

use std::time::Duration;

/// The fewest bytes in a second.
const LEAST: u64 = 1 << 10;

/// How much has come, and how long it was waited for.
#[derive(Default)]
pub(super) struct Pace {
    moved: u64,
    waited: Duration,
}

impl Pace {
    pub(super) fn add(&mut self, moved: u64, waited: Duration) {
        self.moved = self.moved.saturating_add(moved);
        self.waited = self.waited.saturating_add(waited);
    }

    /// Whether something has come, and no slower than it has to.
    pub(super) fn is_kept(&self) -> bool {
        let least = u128::from(LEAST).saturating_mul(self.waited.as_millis());
        self.moved > 0 && u128::from(self.moved) * 1000 >= least
    }

    /// Whether too little has come while it was waited for so long. What comes after that time is counted anew.
    pub(super) fn is_lost_for(&mut self, silence: Duration) -> bool {
        self.waited >= silence && !std::mem::take(self).is_kept()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(30);

    #[test]
    fn what_drips_is_lost_once_it_was_waited_for_as_long_as_for_silence() {
        let mut pace = Pace::default();
        pace.add(1, Duration::from_secs(29));
        assert!(!pace.is_lost_for(SILENCE));
        pace.add(1, Duration::from_secs(29));
        assert!(pace.is_lost_for(SILENCE));
    }

    #[test]
    fn what_came_long_ago_does_not_count() {
        let mut pace = Pace::default();
        pace.add(1 << 30, SILENCE);
        assert!(!pace.is_lost_for(SILENCE));
        pace.add(30_000, SILENCE);
        assert!(pace.is_lost_for(SILENCE));
        pace.add(30 << 10, SILENCE);
        assert!(!pace.is_lost_for(SILENCE));
    }

    #[test]
    fn a_pace_is_kept_by_so_much_in_such_a_time_and_never_by_nothing() {
        let kept = |moved, waited| {
            let mut pace = Pace::default();
            pace.add(moved, waited);
            pace.is_kept()
        };
        assert!(kept(1, Duration::ZERO));
        assert!(kept(1 << 10, Duration::from_secs(1)));
        assert!(!kept((1 << 10) - 1, Duration::from_secs(1)));
        assert!(!kept(0, Duration::ZERO));
        assert!(!kept(u64::MAX, Duration::MAX));
    }
}
