//! The servers that capabilities speak to: each on 127.0.0.1, with a folder of its own, and gone with the value.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Address, Running, Server, free_address};
use crate::record::target_dir;

/// A server that runs.
pub(super) struct Served {
    /// Where it is.
    pub(super) url: String,
    _running: Running,
    _folder: Arc<TempDir>,
}

/// A folder on the disk that Cargo builds on; one for temporary files may be in memory.
pub(super) fn folder() -> anyhow::Result<Arc<TempDir>> {
    let parent = target_dir()?.join("bench");
    std::fs::create_dir_all(&parent)?;
    let folder = tempfile::tempdir_in(&parent);
    let folder = folder.with_context(|| format!("no folder in {}", parent.display()))?;
    Ok(Arc::new(folder))
}

/// Redis, in memory only: what its disk costs is not the question.
pub(super) async fn redis() -> anyhow::Result<Served> {
    let (address, folder) = (free_address()?, folder()?);
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &address.port().to_string(), "--dir"])
        .arg(folder.path());
    start("redis", "redis-server", address, command, folder).await
}

/// NATS with JetStream.
pub(super) async fn nats() -> anyhow::Result<Served> {
    let (address, folder) = (free_address()?, folder()?);
    let mut command = Command::new("nats-server");
    command
        .args(["-a", "127.0.0.1", "-js", "-sd"])
        .arg(folder.path())
        .args(["-p", &address.port().to_string()]);
    start("nats", "nats-server", address, command, folder).await
}

async fn start(
    name: &'static str,
    package: &str,
    address: std::net::SocketAddr,
    mut command: Command,
    folder: Arc<TempDir>,
) -> anyhow::Result<Served> {
    command.stderr(Stdio::null());
    let server = Server {
        name,
        command,
        address: Address::Chosen(address),
        path: "",
    };
    let running = server.start().await;
    let running = running.with_context(|| {
        format!("{name} is needed\nhint: `cargo xtask bench capabilities` installs `{package}` where apt can")
    })?;
    Ok(Served {
        url: format!("{name}://{address}"),
        _running: running,
        _folder: folder,
    })
}
