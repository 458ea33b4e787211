//! The project's own tools: `cargo xtask test`, `tidy`, `features` and `bench`.
//! Kept small, because every one of them has to build this program first.

mod bench;
mod features;
mod shell;
mod test;
mod tidy;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tools for working on this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, then run all of them.
    Test {
        /// Handed to `cargo test`; `-p NAME` takes the place of `--workspace`.
        #[arg(allow_hyphen_values = true)]
        cargo_args: Vec<OsString>,
        /// Handed to the test programs.
        #[arg(last = true)]
        test_args: Vec<OsString>,
    },
    /// Check the house rules that a compiler does not know.
    Tidy,
    /// Check that every crate compiles with no feature, and with each feature alone.
    Features,
    /// Measure, side by side with the baselines; writes `bench/results.json` in the target folder.
    Bench {
        /// What to measure, such as `call`, `http` or `capabilities`; all when none is named. `--help` tells the rest.
        #[arg(allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test {
            cargo_args,
            test_args,
        } => test::run(&cargo_args, &test_args),
        Task::Tidy => tidy::run(),
        Task::Features => features::run(),
        Task::Bench { args } => bench::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
