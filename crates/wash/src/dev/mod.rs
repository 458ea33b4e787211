//! `wash dev`: builds a project, serves it, and does so again whenever a source changes.

mod events;
mod followed;
mod grants;
mod guests;
mod lock;
mod serving;
mod session;
mod tree;
mod watch;

use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use wasmcloud::assembly::{AssembleError, Assembled, HostConfig, assemble};
use wasmcloud::capability::http::{ErrorDetail, HttpOptions};
use wasmcloud::capability::postgres::{Databases, PostgresOptions};
use wasmcloud::capability::secrets::{SecretsOptions, Variables, Workloads};
use wasmcloud::capability::sockets::SocketOptions;
use wasmcloud::capability::wasi::VolumeOptions;
use wasmcloud::control::Control;
use wasmcloud::engine::EngineOptions;
use wasmcloud::host::LocalHost;
use wasmcloud::policy::{EgressHints, EgressOptions};

use crate::build::outside_sources;
use crate::cli::DevArgs;
use crate::failure::Failure;
use crate::images;
use crate::project::{Project, Recipe};
use crate::ui::Ui;
use events::{Event, Reporter};
use guests::Guests;
use lock::Lock;
use serving::Serving;
use session::Session;
use tree::Filter;
use watch::Watch;

/// Where it listens unless told otherwise: only this machine can reach it.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
/// Where capabilities keep what they are given, in the folder of the project.
const KEPT: &str = ".wash/data";
/// How long requests that are being answered may take when everything stops.
const GRACE: Duration = Duration::from_secs(3);

pub(crate) async fn run(args: DevArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let project = Project::open(&args.dir)?;
    let recipe = project.recipe(true)?;
    let mut lock = Lock::take(&project)?;
    let reporter = Reporter::new(ui)
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    let guests = Guests::new(reporter.clone());
    let address = args.http_addr.or(project.config.address).unwrap_or(ADDRESS);
    let Assembled { host, http, .. } = assemble(host_config(address, &args, &project, &guests))
        .await
        .map_err(|error| cannot_start(&error))?;
    let http = http.unwrap_or(address);
    lock.serving(http);
    // Held to the end.
    let _control = control(&host, http, &project);
    let source = images::source(&project.config.images())?;
    let watch = Watch::start(sources(&project, &recipe).await?)?;
    let serving = Serving::new(Arc::clone(&host), guests, reporter.clone(), http);
    let mut session = Session::new(
        project,
        recipe,
        args.profile,
        *ui,
        reporter.clone(),
        serving,
        source,
        watch,
        http,
    );
    let outcome = tokio::select! {
        failure = session.run() => Err(failure),
        () = stop.wanted() => Ok(()),
    };
    // Who asks twice does not want to wait.
    tokio::select! {
        _ = host.shutdown() => {}
        () = stop.wanted() => {}
    }
    if outcome.is_ok() {
        reporter.event(&Event::Stopped, || Some("stopped".to_owned()));
    }
    reporter.finish();
    outcome
}

/// The way in for `wash call`. Without it, everything else works.
fn control(host: &Arc<LocalHost>, http: SocketAddr, project: &Project) -> Option<Control> {
    let folder = project.dir.join(".wash");
    let started = Control::start(Arc::clone(host), Some(http), &folder);
    started
        .inspect_err(|error| {
            tracing::warn!("`wash call` cannot reach what is served here: {error}")
        })
        .ok()
}

/// The wish to end: Ctrl-C, or a polite request of the system.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error: io::Error| {
                Failure::new(format!("cannot listen for signals: {error}"))
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wanted(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn host_config(
    address: SocketAddr,
    args: &DevArgs,
    project: &Project,
    guests: &Guests,
) -> HostConfig {
    let folders = project.config.volumes.iter().map(|volume| &volume.host);
    let networks = args.allow_egress.iter().chain(&project.config.allow_egress);
    HostConfig {
        http: Some(HttpOptions {
            errors: ErrorDetail::Full,
            access: Some(Arc::new(guests.clone())),
            ..HttpOptions::new(address)
        }),
        engine: EngineOptions {
            cache_dir: args.cache_dir.clone().or_else(usual_cache),
            ..EngineOptions::default()
        },
        egress: EgressOptions {
            allow: networks.copied().collect(),
            hints: egress_hints("start `wash dev`"),
            ..EgressOptions::default()
        },
        sockets: SocketOptions {
            allow_host_loopback: args.allow_host_loopback,
            ..SocketOptions::default()
        },
        volumes: VolumeOptions {
            roots: folders.chain(&args.allow_folder).cloned().collect(),
            ..VolumeOptions::default()
        },
        component_plugins: project.config.host_plugins.clone(),
        images: project.config.images(),
        data_dir: Some(project.path(KEPT)),
        postgres: PostgresOptions {
            url: project.config.postgres_url.clone(),
            // Who names the server writes the manifest as well.
            databases: vec![(Workloads::All, Databases::All)],
            ..PostgresOptions::default()
        },
        secrets: secrets(project, &args.allow_env),
        output: Arc::new(guests.clone()),
        grace: GRACE,
        ..HostConfig::default()
    }
}

/// Files of the project, and the variables that were asked for on the command line.
pub(crate) fn secrets(project: &Project, variables: &[Variables]) -> SecretsOptions {
    let variables = variables.iter().cloned();
    SecretsOptions {
        environment: variables.map(|it| (Workloads::All, it)).collect(),
        folders: vec![(Workloads::All, project.dir.clone())],
        key_file: None,
    }
}

/// What to do where a component is denied something. `how` is how networks are allowed.
pub(crate) fn egress_hints(how: &str) -> EgressHints {
    EgressHints {
        host: "list it in `allowedHosts`, in workload.yaml or else in .wash/config.yaml".to_owned(),
        name: "list it in `allowedIpNameLookups`, in workload.yaml or else in .wash/config.yaml"
            .to_owned(),
        address: format!(
            "if it is meant to be reached, {how} with `--allow-egress` and its network"
        ),
        loopback: format!("if it is meant to be reached, {how} with `--allow-host-loopback`"),
    }
}

/// The folder for compiled components below the user's cache folder, if the user has one.
pub(crate) fn usual_cache() -> Option<PathBuf> {
    user_cache().map(|cache| cache.join("compiled"))
}

/// The user's cache folder for this program, if the user has one.
pub(crate) fn user_cache() -> Option<PathBuf> {
    let absolute = |key: &str| {
        env::var_os(key)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("wash"))
}

fn cannot_start(error: &AssembleError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        AssembleError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            failure.hint("another program listens there; choose another address with `--http-addr`, such as 127.0.0.1:0 for any free port")
        }
        AssembleError::Listen { .. } => failure.hint("choose another address with `--http-addr`, such as 127.0.0.1:0 for any free port"),
        AssembleError::Trust(_)
        | AssembleError::Authorities(_)
        | AssembleError::Images(_)
        | AssembleError::Plugin { .. } => failure,
    }
}

/// What to watch: the project, and what it takes its sources from elsewhere.
async fn sources(project: &Project, recipe: &Recipe) -> Result<Filter, Failure> {
    let root = absolute(&project.dir)?;
    let mut roots = vec![root.clone()];
    let mut without = std::collections::BTreeSet::new();
    match recipe {
        Recipe::Cargo => roots.extend(outside_sources(&project.dir).await),
        Recipe::Command { component, .. } => drop(without.insert(root.join(component))),
        Recipe::None => {}
    }
    Ok(Filter {
        roots,
        extra: std::collections::BTreeSet::new(),
        without,
    })
}

fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    dir.canonicalize()
        .map_err(|error| Failure::io("cannot open", dir.display(), &error))
}
