//! The `wasmcloud` binary: runs workload files on this machine.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::capability::http::HttpOptions;
use wasmcloud::engine::EngineOptions;
use wasmcloud::host::{Host as _, LocalHost};
use wasmcloud::supervisor::{FileWorkload, load};
use wasmcloud::workload::{Diagnostic, Diagnostics};

/// Fresh instances allocate and free much at a time; this allocator is fast at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs WebAssembly component workloads.
#[derive(Parser)]
#[command(version, name = "wasmcloud")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the workloads of some files until it is told to stop.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// Workload files, YAML or JSON.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Where to listen for HTTP; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    http_addr: SocketAddr,
    /// Where to keep compiled components; without it they are compiled at each start.
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How to report: for people, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    let Cli {
        command: Command::Run(run),
    } = Cli::parse();
    let _writes_what_is_left = log();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return run.output.end(Err(plain(error))),
    };
    // Told while the runtime is there, so that a second signal still ends a process whose output nobody reads.
    let code = run.output.end(runtime.block_on(run.run()));
    // A file that is still being read must not keep the process.
    runtime.shutdown_background();
    code
}

/// Logs to standard error from a thread of its own. Lines are dropped when nobody reads them: guests must never wait for it.
fn log() -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .finish(io::stderr());
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,guest=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(color())
        .init();
    guard
}

/// Whether to use colour on stderr (<https://no-color.org>).
fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn plain(error: impl std::fmt::Display) -> Diagnostics {
    Diagnostic::new(error.to_string()).into()
}

impl Run {
    /// Starts everything or nothing, then waits for SIGINT or SIGTERM.
    async fn run(&self) -> Result<(), Diagnostics> {
        let mut stop = stop_signal().map_err(plain)?;
        let (assembled, workloads) = tokio::select! {
            begun = self.begin() => begun?,
            _ = &mut stop => return Ok(()),
        };
        let host = &assembled.host;
        tokio::select! {
            started = start_all(host, &workloads) => {
                started?;
                self.output.ready(&assembled, &workloads);
                // An error is the other end gone, which only the end of the process does.
                let _ = stop.await;
            }
            _ = &mut stop => {}
        }
        let _ = host.shutdown().await;
        Ok(())
    }

    async fn begin(&self) -> Result<(Assembled, Vec<FileWorkload>), Diagnostics> {
        let paths = self.paths.clone();
        let workloads = tokio::task::spawn_blocking(move || load(&paths));
        let workloads = workloads.await.map_err(plain)??;
        let config = HostConfig {
            http: Some(HttpOptions::new(self.http_addr)),
            engine: EngineOptions {
                cache_dir: self.cache_dir.clone(),
                ..EngineOptions::default()
            },
            ..HostConfig::default()
        };
        Ok((assemble(config).await.map_err(plain)?, workloads))
    }
}

/// Resolves at the first SIGINT or SIGTERM. A second one ends the process at once, as if nothing had caught it.
fn stop_signal() -> io::Result<oneshot::Receiver<()>> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let (first, stop) = oneshot::channel();
    let mut first = Some(first);
    tokio::spawn(async move {
        loop {
            let kind = tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
            };
            match first.take() {
                // Whoever has ended already does not listen.
                Some(first) => drop(first.send(())),
                #[expect(
                    clippy::disallowed_methods,
                    reason = "whoever asks twice waits for nothing, destructors included"
                )]
                None => std::process::exit(128 + kind.as_raw_value()),
            }
        }
    });
    Ok(stop)
}

async fn start_all(host: &LocalHost, workloads: &[FileWorkload]) -> Result<(), Diagnostics> {
    for workload in workloads {
        let started = host.start(workload.request.clone()).await;
        started.map_err(|error| workload.explain(&error))?;
    }
    Ok(())
}

impl Output {
    /// Tells that everything runs, and where.
    fn ready(self, assembled: &Assembled, workloads: &[FileWorkload]) {
        let http = assembled
            .http
            .map(|address| address.to_string())
            .unwrap_or_default();
        let ids: Vec<&str> = workloads
            .iter()
            .map(|workload| workload.request.id.as_str())
            .collect();
        tell(&match self {
            Self::Json => json!({"event": "ready", "http": http, "workloads": ids}).to_string(),
            Self::Text => format!("ready: http://{http} serves {}", ids.join(", ")),
        });
    }

    /// Tells how it ended.
    fn end(self, ended: Result<(), Diagnostics>) -> ExitCode {
        match (self, &ended) {
            (Self::Text, Ok(())) => {}
            (Self::Text, Err(errors)) => {
                // Nobody is left to tell when stderr is closed.
                let _ = writeln!(io::stderr().lock(), "{}", errors.render(color()));
            }
            (Self::Json, Ok(())) => tell(&json!({"event": "stopped"}).to_string()),
            (Self::Json, Err(errors)) => {
                for error in errors {
                    tell(&event(error).to_string());
                }
            }
        }
        if ended.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// An error as an event, with what is known about it.
fn event(error: &Diagnostic) -> Value {
    let file = error.file.as_deref().map(|file| file.display().to_string());
    let mut event = json!({
        "event": "error",
        "message": error.message,
        "hint": error.hint,
        "file": file,
        "line": error.line,
        "column": error.column,
    });
    if let Some(fields) = event.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    event
}

fn tell(line: &str) {
    // Who closed stdout does not want to know.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
