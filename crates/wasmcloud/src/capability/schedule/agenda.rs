//! What is due, and what becomes of it: the policies of schedules, as values that are told what time it is. No clock, no lock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::timetable::Timetable;
use crate::plugin::LastRun;
use crate::workload::{ConcurrencyPolicy, MissedRuns};

/// How late a run may begin and still count as on time.
const LATE: SignedDuration = SignedDuration::from_secs(10);
/// The clock is looked at this often whatever is due: timers do not run while a machine sleeps, and do not notice when a clock is
/// set.
const LOOK: Duration = Duration::from_secs(60);
/// A clock that is set back by more than this was wrong before: what is due is worked out anew. By less, it is waited for.
const SET_BACK: SignedDuration = SignedDuration::from_hours(3);
/// So many missed runs are counted one by one; of more it is only known that they are more.
const COUNTED: u64 = 10_000;

/// What a schedule asks for.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) timetable: Timetable,
    pub(super) concurrency: ConcurrencyPolicy,
    pub(super) missed: MissedRuns,
    pub(super) suspend: bool,
}

/// What is to be done about a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A run begins.
    Start,
    /// Runs that are at work are ended, and another begins.
    Replace,
}

/// How far a schedule has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// When it is due next.
    pub(super) next: Option<Timestamp>,
    /// Whether a run is owed for those that fell out.
    owed: bool,
    pub(super) running: usize,
    pub(super) runs: u64,
    pub(super) missed: u64,
    pub(super) skipped: u64,
    pub(super) last: Option<LastRun>,
}

impl Progress {
    fn look(&mut self, rules: &Rules, now: Timestamp) -> Option<Step> {
        if self.pass(rules, now) {
            match rules.concurrency {
                ConcurrencyPolicy::Forbid if self.running > 0 => {
                    self.skipped += 1;
                    self.owed |= rules.missed == MissedRuns::RunOnce;
                    return None;
                }
                ConcurrencyPolicy::Replace if self.running > 0 => {
                    self.owed = false;
                    return Some(Step::Replace);
                }
                _ => {
                    self.owed = false;
                    return Some(Step::Start);
                }
            }
        }
        let free = self.running == 0 || rules.concurrency == ConcurrencyPolicy::Allow;
        (free && std::mem::take(&mut self.owed)).then_some(Step::Start)
    }

    /// Goes past everything that is due, and says whether a run is due now. The rest was missed.
    fn pass(&mut self, rules: &Rules, now: Timestamp) -> bool {
        let Some(first) = self.next.filter(|next| *next <= now) else {
            return false;
        };
        let (mut latest, mut due) = (first, 1);
        let mut next = rules.timetable.next(latest);
        while let Some(following) = next.filter(|next| *next <= now) {
            if due == COUNTED {
                next = rules.timetable.next(now);
                break;
            }
            latest = following;
            due += 1;
            next = rules.timetable.next(latest);
        }
        self.next = next;
        let on_time = now.duration_since(latest) <= LATE;
        let missed = due - u64::from(on_time);
        self.missed += missed;
        self.owed |= missed > 0 && rules.missed == MissedRuns::RunOnce;
        on_time
    }
}

/// The schedules of a workload.
#[derive(Debug)]
pub(super) struct Agenda {
    jobs: Vec<(Rules, Progress)>,
    /// The latest time that was seen.
    seen: Timestamp,
}

impl Agenda {
    /// What is due before now is nobody's business.
    pub(super) fn new(rules: impl IntoIterator<Item = Rules>, now: Timestamp) -> Self {
        let jobs = rules.into_iter().map(|rules| {
            let next = (!rules.suspend).then(|| rules.timetable.next(now));
            let progress = Progress {
                next: next.flatten(),
                ..Progress::default()
            };
            (rules, progress)
        });
        Self {
            jobs: jobs.collect(),
            seen: now,
        }
    }

    /// What is to be done now. Whoever asks does it.
    pub(super) fn look(&mut self, now: Timestamp) -> Vec<(usize, Step)> {
        if self.seen.duration_since(now) > SET_BACK {
            for (rules, progress) in self.jobs.iter_mut().filter(|(rules, _)| !rules.suspend) {
                progress.next = rules.timetable.next(now);
            }
            self.seen = now;
        }
        self.seen = self.seen.max(now);
        let jobs = self.jobs.iter_mut().enumerate();
        jobs.filter(|(_, (rules, _))| !rules.suspend)
            .filter_map(|(index, (rules, progress))| Some((index, progress.look(rules, now)?)))
            .collect()
    }

    /// How long until it is time to look again.
    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        let next = self.jobs.iter().filter_map(|(_, progress)| progress.next);
        let until = next.min().map(|next| next.duration_since(now));
        let until = until.map(|until| Duration::try_from(until).unwrap_or_default());
        until.map_or(LOOK, |until| until.min(LOOK))
    }

    /// How far a schedule has come.
    pub(super) fn progress(&mut self, index: usize) -> Option<&mut Progress> {
        self.jobs.get_mut(index).map(|(_, progress)| progress)
    }

    /// Goes on where another has come to: for a schedule that asks for the same as it did there.
    pub(super) fn goes_on(&mut self, index: usize, before: &Self, there: usize) {
        if let (Some((rules, progress)), Some((old, come))) =
            (self.jobs.get_mut(index), before.jobs.get(there))
        {
            let next = if old.timetable == rules.timetable && !old.suspend && !rules.suspend {
                come.next
            } else {
                progress.next
            };
            *progress = Progress {
                next,
                running: 0,
                ..come.clone()
            };
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]
mod tests;
