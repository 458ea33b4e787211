//! What an open connection inside a workload costs in memory.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::record::Record;
use crate::say;
use crate::stats::median;
use crate::talk::Held;

/// How many connections the workload has open.
const CONNECTIONS: u16 = 10_000;

/// Processes that are measured, one after another: memory that was used once is not given back.
const ROUNDS: usize = 3;

/// All cases of this bench.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let (mut all, mut without) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("connections: round {round} of {ROUNDS} …"));
        let held = hold().await.context("the host with the connections")?;
        all.push(bytes_each(held.all));
        without.push(bytes_each(held.all - held.guests));
    }
    for (case, figures) in [("memory", all), ("memory-without-guests", without)] {
        let figure = median(&figures).context("no rounds")?;
        records.push(Record::new("connections", case, figure, "bytes"));
    }
    Ok(())
}

fn bytes_each(kibibytes: f64) -> f64 {
    kibibytes * 1024.0 / f64::from(CONNECTIONS)
}

/// A host in a process of its own, which is this program in another role.
async fn hold() -> anyhow::Result<Held> {
    let program = std::env::current_exe().context("this program cannot find itself")?;
    let mut command = Command::new(program);
    command.arg("holding").arg(CONNECTIONS.to_string());
    // Unlike `output`, it leaves stderr alone.
    let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).with_context(|| format!("it said {}", text.trim_end()))
}
