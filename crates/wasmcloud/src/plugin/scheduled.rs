//! How schedules stand, and how one is run on demand: what the plugin that runs them tells the host.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::{Serialize, Serializer};

use super::{Answer, WaveError};
use crate::workload::{ComponentName, FunctionName, ScheduleName};

/// The schedules of a workload that runs.
#[async_trait]
pub trait Scheduled: Send + Sync + 'static {
    /// How they stand, in the order of the manifest.
    fn status(&self) -> Vec<ScheduleStatus>;

    /// Runs one now, whatever its policies say; it counts as a run of it. Dropping the future ends the run. `None`: there is no
    /// schedule of the name.
    async fn run(&self, name: &ScheduleName) -> Option<Result<Answer, WaveError>>;
}

/// How a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// Its name.
    pub name: ScheduleName,
    /// The component that it calls.
    pub component: ComponentName,
    /// The function.
    pub function: FunctionName,
    /// When it runs next, by its time zone; nothing when it is suspended or is never due again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How the last run went that has come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
    /// How many runs are under way.
    pub running: usize,
    /// How often it was run.
    pub runs: u64,
    /// How many runs fell out because the machine slept, or its clock was set forward.
    pub missed: u64,
    /// How many runs fell out because the one before was still at work.
    pub skipped: u64,
    /// Whether it waits until the manifest says otherwise.
    pub suspended: bool,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// When it began, by the time zone of its schedule.
    pub started: String,
    /// The same as a point in time.
    #[serde(skip)]
    pub started_at: SystemTime,
    /// How long it took.
    #[serde(rename = "tookMs", serialize_with = "millis")]
    pub took: Duration,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: RunOutcome,
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "reason")]
pub enum RunOutcome {
    /// It did what it should.
    Ok,
    /// It failed, for this reason.
    Failed(String),
    /// It was ended before it was done, for this reason.
    Ended(String),
}
