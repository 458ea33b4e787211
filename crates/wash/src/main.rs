//! `wash`: make, build, inspect and run WebAssembly workloads while you write them.

mod build;
mod call;
mod cli;
mod completion;
mod dev;
mod failure;
mod inspect;
mod new;
mod project;
mod secrets;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use failure::Failure;
use ui::Ui;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.output, cli.verbose);
    match run(cli.command, &ui) {
        Ok(code) => code,
        Err(failure) => ui.fail(&failure),
    }
}

#[tokio::main]
async fn run(command: Command, ui: &Ui) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Call(args) => return call::run(args, ui).await,
        Command::Status(args) => call::status(args, ui).await,
        Command::New(args) => new::run(&args, ui),
        Command::Build(args) => build::run(args, ui).await,
        Command::Inspect(args) => inspect::run(&args, ui).await,
        Command::Dev(args) => dev::run(args, ui).await,
        Command::Secrets(args) => secrets::run(args, ui),
        Command::Completion(args) => completion::run(&args, ui),
    };
    done.map(|()| ExitCode::SUCCESS)
}
