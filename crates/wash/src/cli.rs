//! The command line: what can be typed, and its help.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ipnet::IpNet;
use wasmcloud::capability::secrets::Variables;

use crate::images::args::{
    CacheCommandArgs, CompileArgs, CopyArgs, OciArgs, PullArgs, PushArgs, RegistryArgs, TagsArgs,
    VerifyArgs,
};

/// Make, build, inspect and run WebAssembly component workloads while you write them.
#[derive(Debug, Parser)]
#[command(name = "wash", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The form of what is printed on standard output.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Tell more on standard error.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The form of what is printed on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For tools.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new project from a template.
    New(NewArgs),
    /// Build the components of a project into its folder `build`.
    Build(BuildArgs),
    /// Show what a component imports and exports, or how the components of a workload are linked.
    Inspect(InspectArgs),
    /// Build a project, serve it, and do so again whenever a source changes.
    Dev(DevArgs),
    /// Call a function that a component exports, and print what it returns.
    Call(CallArgs),
    /// Show the workloads and schedules of a host that runs on this machine.
    Status(StatusArgs),
    /// Push a component to a registry.
    Push(PushArgs),
    /// Pull a component from a registry into a file.
    Pull(PullArgs),
    /// Copy an image from one registry to another.
    Copy(CopyArgs),
    /// List the tags of a repository.
    Tags(TagsArgs),
    /// Say whether an image in a registry is signed by whom it should be.
    Verify(VerifyArgs),
    /// Push, pull, copy and list, as `wash push` and its like do.
    Oci(OciArgs),
    /// Show, prune or verify the caches of images and of compiled components.
    Cache(CacheCommandArgs),
    /// Pull and compile an image, a component or the workloads of a manifest, and run nothing.
    Compile(CompileArgs),
    /// Fetch, build and publish packages of WIT.
    Wit(crate::wit::WitArgs),
    /// Keep secrets in the encrypted store of a data folder.
    Secrets(SecretsArgs),
    /// Print a completion script for a shell.
    Completion(CompletionArgs),
}

/// Arguments of `wash new`.
#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    /// The name of the project, and of the folder that is made for it.
    #[arg(required_unless_present = "list")]
    pub(crate) name: Option<String>,
    /// What to start from.
    #[arg(long, short, default_value = "http-hello")]
    pub(crate) template: String,
    /// List the templates instead.
    #[arg(long, conflicts_with_all = ["name", "template"])]
    pub(crate) list: bool,
}

/// Arguments of `wash build`.
#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// The folder of the project.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The Cargo profile to build with.
    #[arg(long, default_value = "release")]
    pub(crate) profile: String,
}

/// Arguments of `wash inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// A component (`.wasm`), a manifest (`.yaml`, `.json`), the folder of a project, or an image in a registry
    /// (`registry/repository:tag`), of which no more is fetched than is shown.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// Print the world of a component as WIT.
    #[arg(long)]
    pub(crate) wit: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Arguments of `wash dev`.
#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// The folder of the project.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Where to listen for HTTP; port 0 takes a free one. By default `dev.address` of the project's
    /// configuration, or else 127.0.0.1:8000.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http_addr: Option<SocketAddr>,
    /// Where compiled components are kept between runs; by default below the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// A network that components may reach besides public addresses, such as 127.0.0.1/32; may be repeated. Those of
    /// `dev.allow_egress` in the project's configuration count as well.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) allow_egress: Vec<IpNet>,
    /// A folder of this machine that the manifest may name as `hostPath`; may be repeated.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_folder: Vec<PathBuf>,
    /// Lets components reach ports of this machine's own loopback, as `host.wasmcloud.internal`, that they list in
    /// `allowedHostLoopbackPorts`.
    #[arg(long)]
    pub(crate) allow_host_loopback: bool,
    /// A variable of this environment that the manifest may take secrets from, such as API_KEY, or `SHOP_*` for all that begin so;
    /// may be repeated.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) allow_env: Vec<Variables>,
    /// The Cargo profile to build with.
    #[arg(long, default_value = "release")]
    pub(crate) profile: String,
}

/// Arguments of `wash call`.
#[derive(Args, Debug)]
#[command(
    allow_negative_numbers = true,
    override_usage = "wash call [OPTIONS] [WORKLOAD] EXPORT [ARG]..."
)]
pub(crate) struct CallArgs {
    /// The workload, if one that runs is to be called; the function, such as `add` or `demo:math/calc#add`; and its arguments in
    /// WAVE, such as 42, '"text"', '[1, 2]' or '{name: "x", age: 3}'. What begins with `-` and is no number stands after `--`.
    #[arg(value_name = "WORD", required_unless_present = "schedule")]
    pub(crate) words: Vec<String>,
    /// Call a component in this file, in a host of its own.
    #[arg(long, value_name = "WASM", conflicts_with_all = ["manifest", "host", "workload"])]
    pub(crate) file: Option<PathBuf>,
    /// Call a component of this manifest, in a host of its own.
    #[arg(long, short = 'f', value_name = "FILE", conflicts_with = "host")]
    pub(crate) manifest: Option<PathBuf>,
    /// The workload, apart from the other words: one that runs, or with `--manifest` one of several there.
    #[arg(long, value_name = "NAME")]
    pub(crate) workload: Option<String>,
    /// The component, where several export the function.
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Option<String>,
    /// Run a schedule of a workload now, with the function and arguments of its manifest.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "manifest", "component"])]
    pub(crate) schedule: Option<String>,
    /// The host that runs the workload: the data folder of `wasmcloud run`, or the folder of a project that `wash dev` serves. By
    /// default the `wash dev` of this folder or one around it.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) host: Option<PathBuf>,
    /// Where compiled components are kept between calls; by default below the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// A network that components may reach besides public addresses, such as 127.0.0.1/32; may be repeated. For calls in a host of
    /// their own.
    #[arg(long, value_name = "NETWORK", conflicts_with = "host")]
    pub(crate) allow_egress: Vec<IpNet>,
    /// Lets components reach ports of this machine's own loopback, as `host.wasmcloud.internal`, that they list in
    /// `allowedHostLoopbackPorts`. For calls in a host of their own.
    #[arg(long, conflicts_with = "host")]
    pub(crate) allow_host_loopback: bool,
    /// A folder of this machine that the manifest may name as `hostPath`; may be repeated. For calls in a host of their own.
    #[arg(long, value_name = "FOLDER", conflicts_with = "host")]
    pub(crate) allow_folder: Vec<PathBuf>,
}

/// Arguments of `wash status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// The host: the data folder of `wasmcloud run`, or the folder of a project that `wash dev` serves. By default the `wash dev` of
    /// this folder or one around it.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) host: Option<PathBuf>,
}

/// Arguments of `wash secrets`.
#[derive(Args, Debug)]
pub(crate) struct SecretsArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SecretsCommand,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Keep a secret; its value is read from standard input, without a line end.
    Set {
        /// The name by which components ask for it.
        name: String,
        #[command(flatten)]
        owner: OwnerArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show whose secrets there are, by name.
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Forget a secret.
    Remove {
        /// The name by which components ask for it.
        name: String,
        #[command(flatten)]
        owner: OwnerArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Whose a secret is.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct OwnerArgs {
    /// The workload, by its name or as NAMESPACE/NAME.
    #[arg(long, value_name = "WORKLOAD")]
    pub(crate) workload: Option<String>,
    /// Those workloads whose entry says `shared: NAME`; of another namespace than `default` as NAMESPACE/NAME.
    #[arg(long, value_name = "NAME")]
    pub(crate) shared: Option<String>,
}

/// Where the encrypted store is.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// The folder of the store. The default is that of `wash dev`, seen from the folder of the project; for `wasmcloud run` it is the
    /// folder `kept` in its data folder.
    #[arg(long, value_name = "FOLDER", default_value = ".wash/data")]
    pub(crate) folder: PathBuf,
    /// The file with the key, if it is not `secrets.key` in that folder. The variable WASMCLOUD_SECRETS_KEY beats it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// Arguments of `wash completion`.
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
