//! `wash wit`: the packages of WIT that a project names are fetched, and its own is built and published.

mod add;
mod args;
mod build;
mod cache;
mod compatible;
mod fetch;
mod files;
mod folder;
mod local;
mod lock;
mod manifest;
mod name;
mod place;
mod publish;
mod reach;
mod registries;
mod remote;
mod remove;
mod resolve;
mod session;
mod settings;
mod text;
mod update;
mod vendor;

pub(crate) use args::WitArgs;
pub(crate) use fetch::ensure;
pub(crate) use settings::{RawWit, Settings};

use args::{NetworkArgs, PlaceArgs, WitCommand};

use crate::failure::Failure;
use crate::project::Project;
use crate::ui::Ui;

pub(crate) async fn run(args: WitArgs, ui: &Ui) -> Result<(), Failure> {
    let open = |place: &PlaceArgs, network| {
        let project = Project::open(&place.dir)?;
        session::Session::open(&project, network)
    };
    let online = NetworkArgs::default();
    match args.command {
        WitCommand::Fetch { place, network } => fetch::run(&open(&place, network)?, ui).await,
        WitCommand::Add {
            package,
            world,
            place,
        } => add::run(open(&place, online)?, &package, world.as_deref(), ui).await,
        WitCommand::Update { package, place } => {
            update::run(open(&place, online)?, package.as_deref(), ui).await
        }
        WitCommand::Remove { package, place } => {
            remove::run(open(&place, online)?, &package, ui).await
        }
        WitCommand::Build {
            output_file,
            place,
            network,
        } => build::run(&open(&place, network)?, output_file.as_deref(), ui).await,
        WitCommand::Publish { dry_run, place } => {
            publish::run(&open(&place, online)?, dry_run, ui).await
        }
    }
}
