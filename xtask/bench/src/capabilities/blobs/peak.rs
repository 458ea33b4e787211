//! How much memory a large blob takes on its way: a host in a process of its own, whose guest writes one, then reads it and writes
//! what comes to another.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::start;
use crate::guests::Dialect;
use crate::record::Record;
use crate::{say, system};

/// How large the blob is.
const GIB: u64 = 1 << 30;

/// MiB above those of a host that does nothing.
pub(super) async fn measure(
    name: String,
    dialect: Dialect,
    config: &Value,
) -> anyhow::Result<Record> {
    say(&format!("capabilities: {name} …"));
    let program = std::env::current_exe().context("this program cannot find itself")?;
    let mut command = Command::new(program);
    let (config, bytes) = (config.to_string(), GIB.to_string());
    command.args(["flowing", dialect.name(), &config, &bytes]);
    let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = child.wait_with_output().await?;
    let status = output.status;
    ensure!(
        status.success(),
        "the host with the blob ended with {status}"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let kibibytes: f64 =
        serde_json::from_str(&text).with_context(|| format!("it said {}", text.trim_end()))?;
    let record = Record::new("capabilities", name, kibibytes / 1024.0, "MiB");
    Ok(record.aiming_at(Some("< 64 MiB")))
}

/// The role of that host: the KiB that its resident memory had at most, above those before.
pub(crate) async fn peak(dialect: Dialect, config: Value, bytes: u64) -> anyhow::Result<f64> {
    let driven = start(dialect, config).await?;
    let name = |name: &str| name.to_owned();
    // Whatever a host takes for its first blob, such as connections, it takes now.
    driven
        .call::<_, u64>("write", (name("first"), 1_u64))
        .await?;
    let pipe = (name("first"), name("second"));
    driven.call::<_, u64>("pipe", pipe).await?;
    let me = std::process::id();
    let idle = system::resident(me)?;
    system::forget_peak()?;
    driven
        .call::<_, u64>("write", (name("large"), bytes))
        .await?;
    let pipe = (name("large"), name("copy"));
    driven.call::<_, u64>("pipe", pipe).await?;
    let peak = system::peak(me)?;
    driven.call::<_, u64>("read", (name("copy"), bytes)).await?;
    Ok(peak - idle)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn memory_is_told_of_a_blob_that_arrives_whole() {
        let config = json!({ "backend": "in-memory" });
        let kept = peak(Dialect::P3, config, 128 << 20).await.unwrap();
        // Two blobs in memory take as much as they are; other tests may give some back meanwhile.
        assert!(kept > 128.0 * 1024.0, "{kept} KiB");
    }
}
