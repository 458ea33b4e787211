//! The command line of `wash wit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `wash wit`.
#[derive(Args, Debug)]
pub(crate) struct WitArgs {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: WitCommand,
}

/// What to do with packages of WIT.
#[derive(Debug, Subcommand)]
pub(super) enum WitCommand {
    /// Put the packages that the WIT of the project names into its folder `wit/deps`, as `wkg.lock` says.
    Fetch {
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Import a package in a world of the project, and fetch it.
    Add {
        /// The package, such as `wasi:keyvalue`, or one interface or world of it, such as `wasi:keyvalue/store@0.2.0`. Without a
        /// version it is the newest.
        package: String,
        /// The world, where the project has several.
        #[arg(long, value_name = "NAME")]
        world: Option<String>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Move the packages that the WIT of the project names to their newest compatible versions, and fetch them.
    Update {
        /// Only this package; with a version, such as `wasi:keyvalue@0.2.1`, to just that one.
        package: Option<String>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Take a package out of the worlds of the project, and its files out of `wit/deps`.
    Remove {
        /// The package, such as `wasi:keyvalue`; with a version, only that one.
        package: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Make the WIT of the project a package in one file, as registries have them.
    Build {
        /// Where to put it; by default into the folder of the project, under its name and version.
        #[arg(long, short = 'o', value_name = "FILE")]
        output_file: Option<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Build the package and push it to the registry of its namespace.
    Publish {
        /// Do everything but push.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// Which project.
#[derive(Args, Debug)]
pub(super) struct PlaceArgs {
    /// The folder of the project.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(super) dir: PathBuf,
}

/// What may be asked of registries.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct NetworkArgs {
    /// Fail where `wkg.lock` would have to change. What it names may still be downloaded.
    #[arg(long)]
    pub(super) locked: bool,
    /// Never use the network: packages come from `wit/deps` and from earlier downloads.
    #[arg(long)]
    pub(super) offline: bool,
}
