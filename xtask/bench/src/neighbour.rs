//! How a workload fares beside another one that computes for good: the slowest of a hundred requests, with and without it.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::http::{library, middle};
use crate::manifest::Http;
use crate::process::Running;
use crate::record::Record;
use crate::talk::{Question, Usage};
use crate::wrk::{self, Target};
use crate::{guests, say};

/// Rounds with and without the neighbour.
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(4);

/// Requests for each processor that compute for good.
const SPINNERS: usize = 2;

/// How often the host is asked whether they run, and how often at most.
const GLANCE: Duration = Duration::from_millis(20);
const GLANCES: usize = 500;

const QUIET: &str = "quiet.bench";
const BUSY: &str = "busy.bench";

/// Connections to the quiet workload: one that takes all it can get, and one with few requests at a time.
const CASES: [(&str, usize); 2] = [("loaded-p99", wrk::CONNECTIONS), ("light-p99", 2)];

/// All cases of this bench.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let (hello, spinner) = (guests::http_p2()?, guests::spinner());
    let quiet_one = Http {
        name: "quiet",
        image: &hello,
        fields: json!({}),
        host: Some(QUIET),
    };
    let busy_one = Http {
        name: "busy",
        image: &spinner,
        fields: json!({ "localResources": { "cpuLimit": "none", "timeoutMs": "none" } }),
        host: Some(BUSY),
    };
    let manifests = [quiet_one.manifest(), busy_one.manifest()];
    let mut server = library(&manifests)?.start().await?;
    for (case, connections) in CASES {
        records.push(measure(case, connections, &mut server).await?);
    }
    Ok(())
}

async fn measure(
    case: &'static str,
    connections: usize,
    server: &mut Running,
) -> anyhow::Result<Record> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    wrk::run(quiet(server, connections), WARM_UP).await?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("neighbour: {case}, round {round} of {ROUNDS} …"));
        alone.push(wrk::run(quiet(server, connections), ROUND).await?);
        let spinners = spin(server, SPINNERS * cores).await?;
        beside.push(wrk::run(quiet(server, connections), ROUND).await?);
        ensure!(
            busy(server).await?.invocations >= spinners.len(),
            "the neighbour came to an end during the round"
        );
        drop(spinners);
        until(server, |usage| usage.invocations == 0).await?;
    }
    let (alone, beside) = (middle(&alone), middle(&beside));
    let (alone, beside) = alone.zip(beside).context("no rounds")?;
    let record = Record::new("neighbour", case, beside.p99_ms, "ms");
    Ok(record.with(&beside).against("alone", alone.p99_ms))
}

fn quiet(server: &Running, connections: usize) -> Target<'_> {
    Target {
        url: &server.url,
        host: Some(QUIET),
        connections,
    }
}

/// Requests that compute until their connections are dropped.
async fn spin(server: &mut Running, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let request = format!("GET {} HTTP/1.1\r\nhost: {BUSY}\r\n\r\n", guests::SPIN);
    let before = busy(server).await?;
    let mut spinners = Vec::new();
    for _ in 0..count {
        let mut connection = TcpStream::connect(server.address).await?;
        connection.write_all(request.as_bytes()).await?;
        spinners.push(connection);
    }
    // Each of them gets an instance of its own.
    let wanted = before.misses + count as u64;
    until(server, |usage| usage.misses >= wanted).await?;
    Ok(spinners)
}

async fn until(server: &mut Running, happened: impl Fn(Usage) -> bool) -> anyhow::Result<()> {
    for _ in 0..GLANCES {
        if happened(busy(server).await?) {
            return Ok(());
        }
        tokio::time::sleep(GLANCE).await;
    }
    bail!(
        "waited in vain for the neighbour, which has {:?}",
        busy(server).await?
    )
}

/// How the neighbour is.
async fn busy(server: &mut Running) -> anyhow::Result<Usage> {
    server.ask(&Question::Usage("busy".to_owned())).await
}
