//! What the command line says, over what the configuration file says, over the defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::ValueEnum;
use wasmcloud::assembly::HostConfig;
use wasmcloud::capability::http::HttpOptions;
use wasmcloud::config::{HostFile, LogSection};
use wasmcloud::workload::Diagnostics;

/// Where it listens unless told otherwise: only this machine can reach it.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
/// Where capabilities keep what they are given, in the data folder.
const KEPT: &str = "kept";
/// Where ephemeral volumes are, in the data folder.
const VOLUMES: &str = "volumes";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Workload files, YAML or JSON, and folders of them.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Where to listen for HTTP; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    http_addr: Option<SocketAddr>,
    /// Where to keep what is kept, for one host only; without it, nothing is.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to keep compiled components, instead of in the data folder.
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// The configuration of the host, YAML or JSON; what is given here beats it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to report: for people, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
    /// Let no program of this user ask and call the running host through its data folder.
    #[arg(long)]
    no_control: bool,
    /// Say what is wrong with the files and the configuration, and run nothing.
    #[arg(long)]
    pub(super) check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

/// Everything that was decided before anything runs.
pub(super) struct Settings {
    pub(super) paths: Vec<PathBuf>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) host: HostConfig,
    pub(super) log: LogSection,
    /// Whether programs of this user may ask and call the host.
    pub(super) control: bool,
}

impl Settings {
    /// Reads the configuration file, if there is one.
    pub(super) fn resolve(args: &Args) -> Result<Self, Diagnostics> {
        let file = args.config.as_deref().map(HostFile::load).transpose()?;
        let file = file.unwrap_or_default();
        let mut host = HostConfig {
            http: Some(HttpOptions::new(ADDRESS)),
            ..HostConfig::default()
        };
        file.apply(&mut host);
        if let (Some(addr), Some(http)) = (args.http_addr, &mut host.http) {
            http.addr = addr;
        }
        let data_dir = args.data_dir.clone().or_else(|| file.data_dir.clone());
        let compiled = || file.compiled_in(data_dir.as_deref());
        host.engine.cache_dir = args.cache_dir.clone().or_else(compiled);
        #[cfg(feature = "oci")]
        {
            host.images.cache = file.images_in(data_dir.as_deref());
        }
        if let (Some(data), None) = (&data_dir, &host.volumes.ephemeral_dir) {
            host.volumes.ephemeral_dir = Some(data.join(VOLUMES));
        }
        host.data_dir = data_dir.as_ref().map(|data| data.join(KEPT));
        Ok(Self {
            paths: args.paths.clone(),
            data_dir,
            host,
            log: file.log,
            control: !args.no_control && file.control.unwrap_or(true),
        })
    }
}
