//! What a workload costs that others of the same component run beside: memory, the time of a start, and whether a live one
//! notices the idle ones.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::http::{library, middle};
use crate::manifest::Http;
use crate::process::Running;
use crate::record::Record;
use crate::talk::{Copies, Question};
use crate::wrk::{self, Load, Target};
use crate::{guests, say, system};

/// How many workloads there are, and what their cases are called after: the larger number is the one that aims are set for.
const CROWDS: [(usize, &str); 2] = [(1_000, "-1000"), (10_000, "")];

/// Rounds of the live workload.
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(4);

/// How long a host gets to come to rest after the last request, and how long it is watched then.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);

/// The host name of the workload that lives.
const LIVE: &str = "live.bench";

/// All cases of this bench: a host with one workload, beside one that gets more and more.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let component = guests::http_p2()?;
    let manifest = Http {
        name: "live",
        image: &component,
        fields: json!({}),
        host: Some(LIVE),
    };
    let manifest = manifest.manifest();
    let mut alone = library(std::slice::from_ref(&manifest))?.start().await?;
    let mut crowd = library(&[manifest])?.start().await?;
    // What a host takes for its pool of instances, it takes with the first load.
    for server in [&alone, &crowd] {
        wrk::run(live(server), WARM_UP).await?;
    }
    let mut growth = 0.0;
    for (count, suffix) in CROWDS {
        say(&format!("density: {count} workloads …"));
        let before = system::resident(crowd.pid()?)?;
        let copies: Copies = crowd.ask(&Question::Copies(count)).await?;
        growth += system::resident(crowd.pid()?)? - before;
        let case = |name: &str| format!("{name}{suffix}");
        let each = |total: f64, count: usize| Some(total / f64::from(u32::try_from(count).ok()?));
        let memory = each(growth, count - 1).context("too many")?;
        records.push(Record::new("density", case("copy-memory"), memory, "KiB"));
        let start = each(copies.milliseconds, copies.started).context("too many")?;
        records.push(Record::new("density", case("copy-start"), start, "ms"));
        records.push(live_p99(case("live-p99"), &mut alone, &mut crowd).await?);
        records.push(idle("density", case("idle-cpu"), IDLE, &alone, &crowd).await?);
    }
    Ok(())
}

fn live(server: &Running) -> Target<'_> {
    Target {
        host: Some(LIVE),
        ..Target::new(&server.url)
    }
}

/// The slowest of a hundred requests of the live workload, beside that of one that is alone.
async fn live_p99(
    case: String,
    alone: &mut Running,
    crowd: &mut Running,
) -> anyhow::Result<Record> {
    let (mut theirs, mut ours): (Vec<Load>, Vec<Load>) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("density: {case}, round {round} of {ROUNDS} …"));
        theirs.push(wrk::run(live(alone), ROUND).await?);
        ours.push(wrk::run(live(crowd), ROUND).await?);
    }
    let (theirs, ours) = (middle(&theirs), middle(&ours));
    let (theirs, ours) = theirs.zip(ours).context("no rounds")?;
    let record = Record::new("density", case, ours.p99_ms, "ms");
    Ok(record.with(&ours).against("alone", theirs.p99_ms))
}

/// The processor time of a host that nobody asks anything, beside that of one with one workload, over the same seconds.
pub(crate) async fn idle(
    bench: &'static str,
    case: String,
    watched: Duration,
    alone: &Running,
    crowd: &Running,
) -> anyhow::Result<Record> {
    say(&format!("{bench}: {case} …"));
    tokio::time::sleep(SETTLE).await;
    let pids = (alone.pid()?, crowd.pid()?);
    let times = || {
        anyhow::Ok((
            system::processor_time(pids.0)?,
            system::processor_time(pids.1)?,
        ))
    };
    let before = times()?;
    tokio::time::sleep(watched).await;
    let after = times()?;
    let percent = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() / watched.as_secs_f64() * 100.0
    };
    let record = Record::new(bench, case, percent(before.1, after.1), "% of a core");
    Ok(record.against("alone", percent(before.0, after.0)))
}
