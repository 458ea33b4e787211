//! The `wasmcloud` binary: runs workload files on this machine.

mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Runs the workloads of some files, follows changes to them, and goes on until it is told to stop.
    Run(run::Args),
}

fn main() -> ExitCode {
    let Cli {
        command: Command::Run(args),
    } = Cli::parse();
    run::run(&args)
}
