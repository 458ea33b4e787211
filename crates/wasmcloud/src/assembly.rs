//! Puts a host together: typed configuration in, a running host out. The only place that names concrete plugins, for the
//! binaries, embedders and tests alike.

mod ahead;
mod images;
mod kept;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::artifact::{Fetch, Files};
#[cfg(feature = "blobstore")]
use crate::capability::blobstore::BlobOptions;
use crate::capability::caller::Caller;
#[cfg(feature = "config")]
use crate::capability::config::Config;
#[cfg(feature = "http")]
use crate::capability::http::{ClientOptions, Http, HttpOptions, Outgoing};
#[cfg(feature = "keyvalue")]
use crate::capability::keyvalue::KeyValueOptions;
#[cfg(feature = "logging")]
use crate::capability::logging::Logging;
#[cfg(feature = "messaging")]
use crate::capability::messaging::MessagingOptions;
#[cfg(feature = "postgres")]
use crate::capability::postgres::PostgresOptions;
#[cfg(feature = "schedule")]
use crate::capability::schedule::Schedules;
#[cfg(feature = "secrets")]
use crate::capability::secrets::SecretsOptions;
use crate::capability::sockets::{SocketOptions, Sockets};
#[cfg(feature = "tls")]
use crate::capability::tls::Tls;
use crate::capability::wasi::{VolumeOptions, Wasi};
use crate::engine::plan::Offers;
use crate::engine::{Engine, EngineOptions, LinkPlan, Machine, inspect, plan, remove_leftovers};
use crate::host::{
    self, ComponentPlugin, ComponentPluginError, Graces, HostIdentity, LocalHost, PluginComponent,
    Restarts, StartError, StartRequest,
};
use crate::instance::HostRoom;
use crate::net::resolve::{Resolve, SystemResolver};
#[cfg(any(feature = "http", feature = "servers"))]
use crate::net::trust::TrustError;
use crate::plugin::{GuestOutput, Plugin, TracingOutput};
use crate::policy::{EgressOptions, EgressPolicy, GuestLimits};
#[cfg(feature = "oci")]
use crate::registry::{ImageOptions, ImagesError};
use crate::workload::{ComponentName, Workload, unsupported};
pub use ahead::{Compiled, Compiler};
pub use images::sources;
use images::sources_as_they_are;
use kept::{configured, examined, unconfigured};

/// Everything that can be said about a host. The default denies whatever can be denied and listens nowhere.
pub struct HostConfig {
    /// How components are compiled and instantiated.
    pub engine: EngineOptions,
    /// What guests may use.
    pub limits: GuestLimits,
    /// The HTTP server; without it, no workload can serve HTTP.
    #[cfg(feature = "http")]
    pub http: Option<HttpOptions>,
    /// Whether nobody calls its workloads from outside but the program around it: they serve no HTTP and run no schedules, whatever
    /// their manifests say, and need not export anything that this host calls. [`LocalHost::call`] calls them.
    pub calls_only: bool,
    /// The HTTP client that sends what components ask for, with an HTTP server or without one.
    #[cfg(feature = "http")]
    pub http_client: ClientOptions,
    /// Which addresses workloads may reach; by default public ones only.
    pub egress: EgressOptions,
    /// Where the addresses of names come from; by default the operating system.
    pub resolver: Arc<dyn Resolve>,
    /// Where the sockets of workloads may lead; by default as far as requests may.
    pub sockets: SocketOptions,
    /// What volumes workloads may have.
    pub volumes: VolumeOptions,
    /// What blobs workloads may keep, and where.
    #[cfg(feature = "blobstore")]
    pub blobstore: BlobOptions,
    /// Where capabilities keep what they are given; by default nowhere, so that it is lost with the host. For one host only.
    pub data_dir: Option<PathBuf>,
    /// How much workloads may keep as keys and values.
    #[cfg(feature = "keyvalue")]
    pub keyvalue: KeyValueOptions,
    /// What messages may be, and how many may wait.
    #[cfg(feature = "messaging")]
    pub messaging: MessagingOptions,
    /// What databases workloads may have; by default those that they name.
    #[cfg(feature = "postgres")]
    pub postgres: PostgresOptions,
    /// What secrets workloads may read of the machine; by default none.
    #[cfg(feature = "secrets")]
    pub secrets: SecretsOptions,
    /// Where components are fetched from that are in no registry.
    pub fetch: Arc<dyn Fetch>,
    /// How components in registries are come by, and what is demanded of them.
    #[cfg(feature = "oci")]
    pub images: ImageOptions,
    /// PEM files with certificates of authorities that may certify the servers of backends, besides those that the operating system
    /// trusts. They are read once, at the start.
    #[cfg(feature = "servers")]
    pub backend_authorities: Vec<PathBuf>,
    /// Where guests' lines go.
    pub output: Arc<dyn GuestOutput>,
    /// Plugins besides the ones that this crate brings; they come first.
    pub plugins: Vec<Arc<dyn Plugin>>,
    /// Components that are plugins: what they export is offered to all workloads. They come after those above.
    pub component_plugins: Vec<PluginComponent>,
    /// How long a workload that is stopped may finish what it is answering.
    pub grace: Duration,
    /// How long a workload that another replaced may finish what it is answering.
    pub replaced_grace: Duration,
    /// How services that crashed come back.
    pub restarts: Restarts,
    /// A name for people; by default the machine's.
    pub friendly_name: Option<String>,
    /// What a scheduler may select by.
    pub labels: BTreeMap<String, String>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            engine: EngineOptions::default(),
            limits: GuestLimits::default(),
            #[cfg(feature = "http")]
            http: None,
            calls_only: false,
            #[cfg(feature = "http")]
            http_client: ClientOptions::default(),
            egress: EgressOptions::default(),
            resolver: Arc::new(SystemResolver::default()),
            sockets: SocketOptions::default(),
            volumes: VolumeOptions::default(),
            #[cfg(feature = "blobstore")]
            blobstore: BlobOptions::default(),
            data_dir: None,
            #[cfg(feature = "keyvalue")]
            keyvalue: KeyValueOptions::default(),
            #[cfg(feature = "messaging")]
            messaging: MessagingOptions::default(),
            #[cfg(feature = "postgres")]
            postgres: PostgresOptions::default(),
            #[cfg(feature = "secrets")]
            secrets: SecretsOptions::default(),
            fetch: Arc::new(Files::default()),
            #[cfg(feature = "oci")]
            images: ImageOptions::default(),
            #[cfg(feature = "servers")]
            backend_authorities: Vec::new(),
            output: Arc::new(TracingOutput),
            plugins: Vec::new(),
            component_plugins: Vec::new(),
            grace: Duration::from_secs(30),
            replaced_grace: Duration::from_secs(600),
            restarts: Restarts::default(),
            friendly_name: None,
            labels: BTreeMap::new(),
        }
    }
}

/// A host that runs, and how to reach it.
#[derive(Debug)]
pub struct Assembled {
    /// The host.
    pub host: Arc<LocalHost>,
    /// Where its HTTP server listens, if it has one.
    pub http: Option<SocketAddr>,
    /// Its HTTP client, which can tell what it does.
    #[cfg(feature = "http")]
    pub outgoing: Outgoing,
}

/// Why a host could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The HTTP server cannot listen.
    #[error("cannot listen for HTTP on {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP client cannot be set up.
    #[cfg(feature = "http")]
    #[error("the HTTP client cannot be set up: {0}")]
    Trust(#[from] TrustError),
    /// The certificates that servers of backends are checked by cannot be read.
    #[cfg(feature = "servers")]
    #[error("the servers of backends cannot be checked: {0}")]
    Authorities(TrustError),
    /// Components in registries cannot be come by in this way.
    #[cfg(feature = "oci")]
    #[error("{0}")]
    Images(#[from] ImagesError),
    /// A component cannot be a plugin.
    #[error("the plugin `{id}` cannot be used: {source}")]
    Plugin {
        /// Which one.
        id: ComponentName,
        /// Why.
        source: ComponentPluginError,
    },
}

/// Puts a host together and starts listening. Must be called inside a Tokio runtime; the host lives until its last handle is
/// dropped.
///
/// # Errors
/// When the HTTP server cannot listen where it should, or certificates that should be trusted cannot be read.
pub async fn assemble(config: HostConfig) -> Result<Assembled, AssembleError> {
    let configured = configured(&config)?;
    let fetch = sources(&config)?;
    let mut plugins = config.plugins;
    plugins.extend(configured);
    let policy = EgressPolicy::new(config.egress);
    let sockets = Sockets::new(config.sockets, policy.clone(), Arc::clone(&config.resolver));
    #[cfg(feature = "http")]
    let (http, outgoing) = {
        let outgoing = Outgoing::new(config.http_client, policy, config.resolver)?;
        let http = match config.http {
            _ if config.calls_only => Http::unopened(),
            Some(options) => listen(options).await?,
            None => Http::without_server(),
        };
        let address = http.local_addr();
        #[cfg(feature = "tls")]
        plugins.push(Arc::new(Tls::new(outgoing.trust())));
        plugins.push(Arc::new(http.with_client(outgoing.clone())));
        (address, outgoing)
    };
    #[cfg(not(feature = "http"))]
    let http: Option<SocketAddr> = None;
    let wasi = Wasi::new(config.volumes);
    wasi.sweep().await;
    plugins.extend(free_plugins(wasi, sockets));
    let of_components =
        component_plugins(&config.component_plugins, fetch.as_ref(), &plugins).await?;
    let before: Vec<Arc<dyn Plugin>> = of_components.iter().map(|it| Arc::clone(it) as _).collect();
    plugins.splice(0..0, before);
    if let Some(cache) = config.engine.cache_dir.clone() {
        // Nobody waits for it: what is left over only takes room.
        tokio::task::spawn_blocking(move || remove_leftovers(&cache));
    }
    let engine = if config.calls_only {
        Engine::closed(config.engine, plugins.into())
    } else {
        Engine::new(config.engine, plugins.into())
    };
    let identity = HostIdentity::new(
        config.friendly_name,
        config.labels,
        http.map(|address| address.port()),
    );
    let room = HostRoom::new(config.limits, Machine::here().memory);
    let graces = Graces {
        stopped: config.grace,
        replaced: config.replaced_grace,
    };
    let host = LocalHost::new(
        engine,
        fetch,
        config.output,
        room,
        graces,
        config.restarts,
        identity,
    );
    for plugin in of_components {
        if let Err(error) = host.start_plugin(&plugin).await {
            let (id, source) = (plugin.name().clone(), error.into());
            return Err(AssembleError::Plugin { id, source });
        }
    }
    Ok(Assembled {
        host: Arc::new(host),
        http,
        #[cfg(feature = "http")]
        outgoing,
    })
}

/// Looks at the components that are to be plugins.
async fn component_plugins(
    specs: &[PluginComponent],
    fetch: &dyn Fetch,
    others: &[Arc<dyn Plugin>],
) -> Result<Vec<Arc<ComponentPlugin>>, AssembleError> {
    let mut plugins = Vec::new();
    for spec in specs {
        let plugin = ComponentPlugin::load(spec.clone(), fetch, others).await;
        plugins.push(Arc::new(plugin.map_err(|source| {
            AssembleError::Plugin {
                id: spec.component.name.clone(),
                source,
            }
        })?));
    }
    Ok(plugins)
}

#[cfg(feature = "http")]
async fn listen(options: HttpOptions) -> Result<Http, AssembleError> {
    let addr = options.addr;
    Http::listen(options)
        .await
        .map_err(|source| AssembleError::Listen { addr, source })
}

/// The plugins that every host has.
fn free_plugins(wasi: Wasi, sockets: Sockets) -> Vec<Arc<dyn Plugin>> {
    vec![
        Arc::new(Caller),
        #[cfg(feature = "config")]
        Arc::new(Config),
        #[cfg(feature = "logging")]
        Arc::new(Logging),
        #[cfg(feature = "schedule")]
        Arc::new(Schedules::default()),
        Arc::new(wasi),
        Arc::new(sockets),
    ]
}

/// What would keep [`assemble`] from putting a host together, so far as it shows without listening anywhere. Must be called inside
/// a Tokio runtime.
///
/// # Errors
/// When certificates that should be trusted cannot be read, or a component cannot be a plugin.
pub async fn check_config(config: &HostConfig) -> Result<(), AssembleError> {
    #[cfg(feature = "servers")]
    kept::authorities(config)?;
    let fetch = sources_as_they_are(config)?;
    let others = unopened(Wasi::default());
    component_plugins(&config.component_plugins, fetch.as_ref(), &others).await?;
    #[cfg(feature = "http")]
    {
        let (policy, resolver) = (EgressPolicy::default(), Arc::clone(&config.resolver));
        Outgoing::new(config.http_client.clone(), policy, resolver)?;
    }
    Ok(())
}

/// What a host with an HTTP server offers, without starting one: for planning a workload where nothing is to run.
#[must_use]
pub fn offers() -> Offers {
    Offers::of(&[unopened(Wasi::default()), unconfigured()].concat())
}

/// What a host of this configuration, and with an HTTP server, offers, without starting one.
///
/// # Errors
/// When a component cannot be a plugin.
pub async fn offers_of(config: &HostConfig) -> Result<Offers, AssembleError> {
    let mut plugins = [
        config.plugins.clone(),
        examined(config),
        unopened(Wasi::default()),
    ]
    .concat();
    let fetch = sources_as_they_are(config)?;
    let of_components =
        component_plugins(&config.component_plugins, fetch.as_ref(), &plugins).await?;
    plugins.splice(0..0, of_components.into_iter().map(|it| it as _));
    Ok(Offers::of(&plugins))
}

/// Everything that such a host would find wrong with the settings of a workload's capabilities, before it fetches anything.
///
/// # Errors
/// With what is wrong, see [`StartError::places`].
pub fn check(workload: &Workload) -> Result<(), StartError> {
    let plugins = [unopened(Wasi::default()), unconfigured()].concat();
    host::check(&plugins, workload)
}

/// Everything that would keep a host of this configuration, and with an HTTP server, from starting a workload, found without
/// starting it: settings, limits and folders that the host does not allow, components that are not there or are none, links that do
/// not work out. What two workloads want of each other is not looked at, see [`clashes`].
///
/// # Errors
/// With all of it; never empty.
pub async fn validate(
    request: &StartRequest,
    config: &HostConfig,
) -> Result<LinkPlan, Vec<StartError>> {
    let workload = &request.workload;
    let wasi = Wasi::new(config.volumes.clone());
    let fetch = sources_as_they_are(config);
    let fetch = fetch.map_err(|error| vec![StartError::Host(error.to_string())])?;
    let plugins = examined_plugins(config, fetch.as_ref(), &wasi).await;
    let mut errors = refusals(workload, config, &plugins);
    errors.extend(wasi.examine(workload).await.into_iter().map(|error| {
        let (plugin, source) = (wasi.id(), Arc::new(error));
        StartError::Plugin { plugin, source }
    }));
    let inspect = |bytes: &[u8], _| inspect(bytes);
    let (components, missing) = host::look_at_all(fetch.as_ref(), request, inspect).await;
    // Without all worlds, a plan would only repeat in other words that some are missing.
    if !missing.is_empty() {
        errors.extend(missing);
        return Err(errors);
    }
    let worlds = host::worlds(&components);
    match plan(workload, &worlds, &Offers::of(&plugins)) {
        Ok(plan) if errors.is_empty() => return Ok(plan),
        Ok(_) => {}
        Err(wrong) => errors.push(StartError::Plan(Arc::new(wrong))),
    }
    Err(errors)
}

/// The plugins of a host of this configuration, none of which does anything yet.
async fn examined_plugins(
    config: &HostConfig,
    fetch: &dyn Fetch,
    wasi: &Wasi,
) -> Vec<Arc<dyn Plugin>> {
    let mut plugins = [
        config.plugins.clone(),
        examined(config),
        unopened(wasi.clone()),
    ]
    .concat();
    // Why one of these cannot be used is told where the configuration is checked.
    let of_components = component_plugins(&config.component_plugins, fetch, &plugins).await;
    let of_components = of_components.into_iter().flatten();
    plugins.splice(0..0, of_components.map(|it| it as _));
    plugins
}

/// What a start looks at before it fetches anything.
fn refusals(
    workload: &Workload,
    config: &HostConfig,
    plugins: &[Arc<dyn Plugin>],
) -> Vec<StartError> {
    let unsupported = unsupported(workload);
    let unsupported = (!unsupported.is_empty()).then(|| StartError::Unsupported(unsupported));
    let settings = host::check(plugins, workload).err();
    let limits = host::check_limits(&config.limits, workload).err();
    [unsupported, settings, limits]
        .into_iter()
        .flatten()
        .collect()
}

/// Which of some workloads could not run beside those before them: their places in the list, and why.
#[must_use]
pub fn clashes(workloads: &[&Workload]) -> Vec<(usize, StartError)> {
    #[cfg(feature = "http")]
    let found = crate::capability::http::clashes(workloads);
    #[cfg(not(feature = "http"))]
    let found: Vec<(usize, crate::plugin::PluginError)> = {
        let _ = workloads;
        Vec::new()
    };
    found
        .into_iter()
        .map(|(index, error)| (index, StartError::Settings([error].into())))
        .collect()
}

fn unopened(wasi: Wasi) -> Vec<Arc<dyn Plugin>> {
    let plugins: Vec<Arc<dyn Plugin>> = vec![
        #[cfg(feature = "http")]
        Arc::new(Http::unopened()),
        #[cfg(feature = "tls")]
        Arc::new(Tls::default()),
    ];
    [plugins, free_plugins(wasi, Sockets::default())].concat()
}
