//! The `wasmcloud` binary: runs workload files on this machine.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use wasmcloud::assembly::{HostConfig, assemble};
use wasmcloud::capability::http::HttpOptions;
use wasmcloud::engine::EngineOptions;
use wasmcloud::host::{Host as _, LocalHost};
use wasmcloud::supervisor::{FileWorkload, load};

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
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,guest=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(color())
        .init();
    let Command::Run(run) = cli.command;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("error: cannot start: {error}")),
    };
    match runtime.block_on(run.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{message}");
    ExitCode::FAILURE
}

/// Whether to use colour on stderr (<https://no-color.org>).
fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl Run {
    /// Starts everything or nothing, then waits for SIGINT or SIGTERM.
    async fn run(&self) -> Result<(), String> {
        let error = |error: &dyn std::fmt::Display| format!("error: {error}");
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt()).map_err(|e| error(&e))?,
            signal(SignalKind::terminate()).map_err(|e| error(&e))?,
        );
        let workloads = load(&self.paths).map_err(|problems| problems.render(color()))?;
        let config = HostConfig {
            http: Some(HttpOptions::new(self.http_addr)),
            engine: EngineOptions {
                cache_dir: self.cache_dir.clone(),
                ..EngineOptions::default()
            },
            ..HostConfig::default()
        };
        let assembled = assemble(config).await.map_err(|e| error(&e))?;
        let host = &assembled.host;
        tokio::select! {
            started = start_all(host, &workloads) => {
                started?;
                let http = assembled.http.map(|address| address.to_string()).unwrap_or_default();
                self.report("ready", &http, &workloads);
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        host.shutdown().await;
        Ok(())
    }

    fn report(&self, event: &str, http: &str, workloads: &[FileWorkload]) {
        let ids: Vec<&str> = workloads
            .iter()
            .map(|workload| workload.request.id.as_str())
            .collect();
        let line = match self.output {
            Output::Json => json!({"event": event, "http": http, "workloads": ids}).to_string(),
            Output::Text => format!("{event}: http://{http} serves {}", ids.join(", ")),
        };
        // Who closed stdout does not want to know.
        let _ = writeln!(io::stdout().lock(), "{line}");
    }
}

async fn start_all(host: &LocalHost, workloads: &[FileWorkload]) -> Result<(), String> {
    for workload in workloads {
        let started = host.start(workload.request.clone()).await;
        started.map_err(|error| workload.explain(&error).render(color()))?;
    }
    Ok(())
}
