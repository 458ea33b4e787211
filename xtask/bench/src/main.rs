//! The benchmark: measures the library beside its baselines, in one run. Started by
//! `cargo xtask bench`; `docs/performance.md` says what is measured and how to read it.

mod bare_hyper;
mod call;
mod capabilities;
mod connections;
mod density;
mod guests;
mod http;
mod library;
mod manifest;
mod many_services;
mod neighbour;
mod network;
mod oci;
mod plain;
mod process;
mod record;
mod services;
mod start;
mod stats;
mod stopwatch;
mod system;
mod talk;
mod workers;
mod wrk;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand, ValueEnum};
use guests::Dialect;
use record::Record;
use serde::Serialize;
use workers::WORKERS;

/// What the library's host uses too, so that no side wins by its allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the library beside its baselines.
#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    /// What to measure; everything when nothing is named.
    #[arg(value_name = "NAME")]
    names: Vec<Bench>,
    /// A `wasmtime` program, to compare with `wasmtime serve`.
    #[arg(long, value_name = "PATH")]
    wasmtime: Option<PathBuf>,
    /// Of the bench `capabilities`, only the cases whose names begin so, such as `redis`.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    only: String,
    #[command(subcommand)]
    role: Option<Role>,
}

/// A group of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Calls from one component to another.
    Call,
    /// Requests a second.
    Http,
    /// From a start request to the first response.
    Start,
    /// What a workload costs that others run beside.
    Density,
    /// How a workload fares beside one that computes for good.
    Neighbour,
    /// The network inside a workload.
    Network,
    /// Many connections inside a workload.
    Connections,
    /// Calls from a service to a component.
    Services,
    /// What a service costs that waits beside many others.
    ManyServices,
    /// Calls of capabilities: keys and values, blobs, messages, databases.
    Capabilities,
    /// Components from registries.
    Oci,
}

/// What this program plays when it starts itself as another process.
#[derive(Subcommand)]
enum Role {
    /// A hyper server that answers with a fixed body.
    #[command(hide = true)]
    BareHyper,
    /// The library serving some workloads, which answers questions about them on its standard input.
    #[command(hide = true)]
    Library {
        /// Their manifests, as JSON.
        #[arg(required = true)]
        manifests: Vec<String>,
        /// How many instances it has room for.
        #[arg(long)]
        instances: Option<u32>,
    },
    /// The library with a workload that has so many connections open inside, which says what they cost.
    #[command(hide = true)]
    Holding {
        /// How many.
        count: u16,
    },
    /// The library with a workload through which a blob flows, which says how much memory that takes.
    #[command(hide = true)]
    Flowing {
        /// Which WASI its guest speaks.
        dialect: Dialect,
        /// The `config` of its entry for blobs, as JSON.
        config: String,
        /// The size of the blob, in bytes.
        bytes: u64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.role {
        Some(Role::BareHyper) => bare_hyper::run(),
        Some(Role::Library {
            manifests,
            instances,
        }) => library::serve(manifests, *instances),
        Some(Role::Holding { count }) => told(library::network::hold(*count)),
        Some(Role::Flowing {
            dialect,
            config,
            bytes,
        }) => match serde_json::from_str(config) {
            Ok(config) => told(capabilities::peak(*dialect, config, *bytes)),
            Err(error) => Err(error.into()),
        },
        None => measure(&cli),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the user something. Stdout is for the results.
fn say(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says on stdout what something has cost, as JSON.
fn told<T: Serialize + Send + 'static>(
    cost: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(WORKERS).enable_all().build()?;
    let cost = runtime.block_on(async { tokio::spawn(cost).await? })?;
    serde_json::to_writer(std::io::stdout().lock(), &cost)?;
    // The guests would hold on to what they have.
    runtime.shutdown_background();
    Ok(())
}

/// Runs what was asked for. One bench that fails does not take the figures of the others with it, but the whole is a failure.
fn measure(cli: &Cli) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        bail!("this is a debug build, its figures mean nothing\nhint: use `cargo xtask bench`");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let all = Bench::value_variants();
    let (mut records, mut failed) = (Vec::new(), Vec::new());
    for bench in all
        .iter()
        .filter(|bench| cli.names.is_empty() || cli.names.contains(bench))
    {
        if let Err(error) = runtime.block_on(run(*bench, cli, &mut records)) {
            say(&format!("error: {bench:?}: {error:#}"));
            failed.push(format!("{bench:?}").to_lowercase());
        }
    }
    std::io::stdout().write_all(record::table(&records).as_bytes())?;
    let file = record::write(&records)?;
    say(&format!("written to {}", file.display()));
    if !failed.is_empty() {
        bail!("not measured to the end: {}", failed.join(", "));
    }
    Ok(())
}

/// What was measured before a bench fails counts.
async fn run(bench: Bench, cli: &Cli, records: &mut Vec<Record>) -> anyhow::Result<()> {
    match bench {
        Bench::Call => call::run(records).await,
        Bench::Http => http::run(records, cli.wasmtime.as_deref()).await,
        Bench::Start => start::run(records).await,
        Bench::Density => density::run(records).await,
        Bench::Neighbour => neighbour::run(records).await,
        Bench::Network => network::run(records).await,
        Bench::Connections => connections::run(records).await,
        Bench::Services => services::run(records).await,
        Bench::ManyServices => many_services::run(records).await,
        Bench::Capabilities => capabilities::run(records, &cli.only).await,
        Bench::Oci => oci::run(records).await,
    }
}
