//! The servers that capabilities speak to: each on 127.0.0.1, with a folder of its own, and gone with the value.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_postgres::NoTls;

use super::apart::Apart;
use crate::process::{Address, Running, Server, free_address};
use crate::record::target_dir;

/// How long PostgreSQL may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs.
pub(super) struct Served {
    /// Where it is.
    pub(super) url: String,
    running: Running,
    _folder: Arc<TempDir>,
}

impl Served {
    /// Keeps it on a processor of its own until the value is dropped.
    pub(super) fn apart(&self) -> anyhow::Result<Option<Apart>> {
        Apart::from(self.running.pid()?)
    }
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
    // Where `cargo xtask` puts tools that are none of the machine's.
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let installed = home.map(|home| home.join(".cache/wasmcloud-ci/tools/bin/s3s-fs"));
    let installed = installed.filter(|program| program.is_file());
    let mut command = Command::new(installed.unwrap_or_else(|| "s3s-fs".into()));
    command
        .args(["--host", "127.0.0.1"])
        .args(["--port", &address.port().to_string()])
        .args(["--access-key", S3::KEY_ID, "--secret-key", S3::SECRET])
        .arg(folder.path());
    Ok(S3(start("http", "s3s-fs", address, command, folder).await?))
}

/// PostgreSQL, where `postgres` owns the folder: it does not run as root.
pub(super) async fn postgres() -> anyhow::Result<Served> {
    let (address, programs) = (free_address()?, postgres_programs()?);
    // The folders of whoever builds are none of that user's business.
    let folder = Arc::new(tempfile::tempdir()?);
    let mut initdb = as_postgres(&programs.join("initdb"), folder.path()).await?;
    initdb
        .args(["-A", "trust", "-U", "bench", "-D"])
        .arg(folder.path());
    let output = initdb.output().await.context("initdb did not start")?;
    ensure!(
        output.status.success(),
        "initdb ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let mut command = as_postgres(&programs.join("postgres"), folder.path()).await?;
    command
        .args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-D"])
        .arg(folder.path())
        .arg("-k")
        .arg(folder.path());
    let mut server = start("postgres", "postgres", address, command, folder).await?;
    server.url = format!("postgres://bench:bench@{address}/postgres");
    // It takes connections before it answers.
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let answers = async {
        while tokio_postgres::connect(&server.url, NoTls).await.is_err() {
            ticks.tick().await;
        }
    };
    let answers = tokio::time::timeout(PATIENCE, answers).await;
    answers.context("PostgreSQL does not answer")?;
    Ok(server)
}

/// Where the newest version is that there is.
fn postgres_programs() -> anyhow::Result<PathBuf> {
    let all = "/usr/lib/postgresql";
    let missing = "PostgreSQL is needed\nhint: `cargo xtask bench capabilities` installs it";
    let versions = std::fs::read_dir(all).context(missing)?;
    let version = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    };
    let newest = versions.filter_map(version).max().context(missing)?;
    Ok(PathBuf::from(format!("{all}/{newest}/bin")))
}

/// A program that runs as the user `postgres` where this one runs as root, and the folder is that user's.
async fn as_postgres(program: &Path, folder: &Path) -> anyhow::Result<Command> {
    let id = Command::new("id").arg("-u").output().await?;
    if id.stdout.trim_ascii() != b"0" {
        return Ok(Command::new(program));
    }
    let mut chown = Command::new("chown");
    let owned = chown.arg("postgres:").arg(folder).status().await?;
    ensure!(
        owned.success(),
        "the folder of PostgreSQL cannot be given to it"
    );
    // It becomes the program, so that ending it ends that.
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    Ok(command)
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
        running,
        _folder: folder,
    })
}
