//! `wash`: make, build, inspect and run WebAssembly workloads while you write them.

mod build;
mod call;
mod cli;
mod completion;
mod dev;
mod failure;
mod images;
mod inspect;
mod new;
mod project;
mod secrets;
mod ui;
mod wit;

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
        Command::Push(args) => images::push(args, ui).await,
        Command::Pull(args) => images::pull(args, ui).await,
        Command::Copy(args) => images::copy(args, ui).await,
        Command::Tags(args) => images::tags(args, ui).await,
        Command::Verify(args) => images::verify(args, ui).await,
        Command::Oci(args) => images::oci(args, ui).await,
        Command::Cache(args) => images::cache(args, ui).await,
        Command::Compile(args) => images::compile(args, ui).await,
        Command::Wit(args) => wit::run(args, ui).await,
        Command::Secrets(args) => secrets::run(args, ui),
        Command::Completion(args) => completion::run(&args, ui),
    };
    done.map(|()| ExitCode::SUCCESS)
}
