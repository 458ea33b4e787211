//! Calls that a clock makes, as a manifest asks for them. The words are those of a Kubernetes CronJob.

use super::function::FunctionName;
use super::names::{ComponentName, ScheduleName};

/// A call that is made again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, unique in the workload.
    pub name: ScheduleName,
    /// The component that is called.
    pub component: ComponentName,
    /// Its function; without one, it is run as a command (`wasi:cli/run`).
    pub function: Option<FunctionName>,
    /// The arguments, in WAVE.
    pub args: Vec<String>,
    /// When: a cron expression of five fields, or six with seconds in front, or a word such as `@hourly`.
    pub schedule: String,
    /// By which clock: a time zone of the IANA database. `None`: UTC.
    pub time_zone: Option<String>,
    /// What happens when a run is due and the one before is still at work.
    pub concurrency: ConcurrencyPolicy,
    /// What happens when runs were missed.
    pub missed: MissedRuns,
    /// Whether it waits until the manifest says otherwise.
    pub suspend: bool,
}

/// What happens when a run is due and the one before is still at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyPolicy {
    /// The new one is skipped.
    #[default]
    Forbid,
    /// Both run.
    Allow,
    /// The old one is ended.
    Replace,
}

impl ConcurrencyPolicy {
    /// Every policy, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Forbid, Self::Allow, Self::Replace];

    /// The word a manifest uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbid => "Forbid",
            Self::Allow => "Allow",
            Self::Replace => "Replace",
        }
    }
}

/// What happens when runs were missed: the machine slept, the clock was set forward, or the one before was still at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedRuns {
    /// Nothing; the next one runs when it is due.
    #[default]
    Skip,
    /// However many were missed, one runs as soon as it can.
    RunOnce,
}

impl MissedRuns {
    /// Every policy, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Skip, Self::RunOnce];

    /// The word a manifest uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "Skip",
            Self::RunOnce => "RunOnce",
        }
    }
}
