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

/// A server of S3, and as whom to go there.
pub(super) struct S3(Served);

impl S3 {
    /// The bucket that it has.
    pub(super) const BUCKET: &str = "bench";
    /// Who may go there.
    pub(super) const KEY_ID: &str = "bench-key";
    /// What requests are signed with.
    pub(super) const SECRET: &str = "bench-secret";

    /// Where it is.
    pub(super) fn endpoint(&self) -> &str {
        &self.0.url
    }
}

/// S3, with files on the disk.
pub(super) async fn s3() -> anyhow::Result<S3> {
    let (address, folder) = (free_address()?, folder()?);
    std::fs::create_dir(folder.path().join(S3::BUCKET))?;
    let mut command = Command::new("s3s-fs");
    command
        .args(["--host", "127.0.0.1"])
        .args(["--port", &address.port().to_string()])
        .args(["--access-key", S3::KEY_ID, "--secret-key", S3::SECRET])
        .arg(folder.path());
    Ok(S3(start("http", "s3s-fs", address, command, folder).await?))
}

async fn start(
    scheme: &str,
    program: &'static str,
    address: std::net::SocketAddr,
    mut command: Command,
    folder: Arc<TempDir>,
) -> anyhow::Result<Served> {
    command.stderr(Stdio::null());
    let server = Server {
        name: program,
        command,
        address: Address::Chosen(address),
        path: "",
    };
    let running = server.start().await;
    let running = running.with_context(|| {
        format!("{program} is needed\nhint: `cargo xtask bench capabilities` installs it")
    })?;
    Ok(Served {
        url: format!("{scheme}://{address}"),
        _running: running,
        _folder: folder,
    })
}
