//! What can be typed about images in registries, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// How registries are spoken with.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RegistryArgs {
    /// A registry that speaks HTTP without TLS, as `host` or `host:port`; may be repeated. No other one is spoken to so.
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) plain_http: Vec<String>,
    /// A PEM file with authorities that may certify the registries of this command, besides those that the system trusts; may be
    /// repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// The user name for the registry of this command, for `copy` that of the target; by default what Docker and Podman know.
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
}

/// Where images are kept.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CacheArgs {
    /// Where images are kept; by default below the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) image_cache: Option<PathBuf>,
}

/// The caches that are looked after.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CachesArgs {
    #[command(flatten)]
    pub(crate) images: CacheArgs,
    /// Where compiled components are kept; by default below the user's cache folder, and none with `--image-cache` alone.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// Arguments of `wash push`.
#[derive(Args, Debug)]
pub(crate) struct PushArgs {
    /// The component (`.wasm`).
    pub(crate) component: PathBuf,
    /// Where to push it: `registry/repository:tag`.
    pub(crate) reference: String,
    /// Something to say about it, as `KEY=VALUE`; may be repeated. It beats what the component and Git say.
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// Sign it with this private key, in PEM; the password of one that cosign has encrypted is taken from `COSIGN_PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) sign: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Arguments of `wash pull`.
#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// The component: `registry/repository:tag` or `registry/repository@sha256:…`.
    pub(crate) reference: String,
    /// The file to write; by default the last step of the repository, with `.wasm` behind it. `-` is standard output.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// When to ask the registry: always, if-not-present or never.
    #[arg(long, value_name = "POLICY", default_value = "always")]
    pub(crate) policy: String,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Arguments of `wash copy`.
#[derive(Args, Debug)]
pub(crate) struct CopyArgs {
    /// What to copy: `registry/repository:tag` or `registry/repository@sha256:…`.
    pub(crate) from: String,
    /// Where to copy it.
    pub(crate) to: String,
    /// Copy its signatures as well.
    #[arg(long)]
    pub(crate) signatures: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Arguments of `wash tags`.
#[derive(Args, Debug)]
pub(crate) struct TagsArgs {
    /// The repository: `registry/repository`.
    pub(crate) repository: String,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Arguments of `wash verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The image: `registry/repository:tag` or `registry/repository@sha256:…`.
    pub(crate) reference: String,
    /// A public key in PEM that may have signed it; may be repeated.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["trust_root", "digest"], conflicts_with_all = ["trust_root", "digest"])]
    pub(crate) key: Vec<PathBuf>,
    /// A digest that its manifest may have; may be repeated.
    #[arg(long, value_name = "DIGEST", conflicts_with = "trust_root")]
    pub(crate) digest: Vec<String>,
    /// The authorities and logs that are believed, as Sigstore publishes them in `trusted_root.json`.
    #[arg(long, value_name = "FILE", requires_all = ["issuer", "subject"])]
    pub(crate) trust_root: Option<PathBuf>,
    /// Who has said who signed it: the URL of an OIDC issuer.
    #[arg(long, value_name = "URL", requires = "trust_root")]
    pub(crate) issuer: Option<String>,
    /// Who signed it: an address, or the URI of a workflow; `*` stands for any characters but `/`, `**` for any.
    #[arg(long, value_name = "WHO", requires = "trust_root")]
    pub(crate) subject: Option<String>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Arguments of `wash oci`.
#[derive(Args, Debug)]
pub(crate) struct OciArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: OciCommand,
}

/// What to do with registries. Each is a command of its own as well.
#[derive(Debug, Subcommand)]
pub(crate) enum OciCommand {
    /// Push a component to a registry.
    Push(PushArgs),
    /// Pull a component from a registry into a file.
    Pull(PullArgs),
    /// Copy an image from one registry to another.
    Copy(CopyArgs),
    /// List the tags of a repository.
    Tags(TagsArgs),
}

/// Arguments of `wash cache`.
#[derive(Args, Debug)]
pub(crate) struct CacheCommandArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

/// What to do with the caches of images and of compiled components.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show what is in them.
    Show {
        #[command(flatten)]
        caches: CachesArgs,
    },
    /// Remove what is not in use.
    Prune {
        /// Only what was not used for so long, such as `30d` or `12h`.
        #[arg(long, value_name = "TIME", value_parser = since)]
        unused_for: Option<Duration>,
        /// Only until no more than this is left in each of the two, such as `1GiB`.
        #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "unused_for")]
        to_size: Option<u64>,
        #[command(flatten)]
        caches: CachesArgs,
    },
    /// Read everything, and remove what is damaged.
    Verify {
        #[command(flatten)]
        caches: CachesArgs,
    },
}

/// Arguments of `wash compile`.
#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// An image (`registry/repository:tag`), a component (`.wasm`) or a manifest.
    pub(crate) what: String,
    /// The configuration of the host that will run it, YAML or JSON: its registries and credentials, what it demands of images, its
    /// plugins and its folders.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where compiled components are kept; by default where the host keeps them, or below the user's cache folder. A host finds them
    /// with `--cache-dir`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

fn since(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Ok(Duration::from_secs(u64::from(days) * 24 * 60 * 60)),
        _ => wasmcloud::workload::duration(text)
            .map_err(|wanted| format!("{wanted}, or days such as `30d`")),
    }
}

fn size(text: &str) -> Result<u64, String> {
    wasmcloud::workload::size(text)
}
