//! The plugin: binds a workload's routes, links `wasi:http`, and opens routes to its entry.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmtime::component::LinkerInstance;

use super::access::AccessLog;
use super::call::Handler;
use super::client::{Client, Outgoing};
use super::dispatch::Target;
use super::limits::HttpLimits;
use super::route::{Clash, Pattern, Routes};
use super::{link, server, settings};
use crate::plugin::{
    BindRequest, Binding, Import, NothingHeld, Offer, Opening, Plugin, PluginError, State,
    StoreData,
};
use crate::workload::{Interface, Workload, WorkloadId};

/// What a client is told about a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorDetail {
    /// An id under which the log has the rest.
    #[default]
    Reference,
    /// Everything: which component, why, and the Wasm backtrace. For developers' machines.
    Full,
}

/// Settings of the HTTP server.
#[derive(Clone)]
pub struct HttpOptions {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// What clients are told about failures.
    pub errors: ErrorDetail,
    /// Who is told of each request.
    pub access: Option<Arc<dyn AccessLog>>,
    /// What is taken from clients, and how long they are waited for.
    pub limits: HttpLimits,
}

impl HttpOptions {
    /// Listens at an address, tells clients no details, keeps no access log, and has the default limits.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            errors: ErrorDetail::default(),
            access: None,
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("addr", &self.addr)
            .field("errors", &self.errors)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The plugin for `wasi:http`.
#[derive(Debug)]
pub struct Http {
    server: Mode,
    client: Option<Outgoing>,
}

/// What becomes of workloads that export a handler.
#[derive(Debug)]
enum Mode {
    /// They are served.
    Listening(Server),
    /// They cannot be: this host has no HTTP server.
    Absent,
    /// They could be, but this is only for planning.
    Unopened,
}

/// A listener and the routes behind it. It closes when it is dropped.
#[derive(Debug)]
struct Server {
    table: Arc<Table>,
    local_addr: SocketAddr,
    closed: CancellationToken,
    /// Cancelled when the listener and all connections are gone.
    deserted: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// What the listener and its connections share, and nobody else: when all of them are gone, so is this.
pub(super) struct Shared {
    pub(super) options: HttpOptions,
    pub(super) routes: Arc<ArcSwap<Routes<Arc<Target>>>>,
    _deserted: DropGuard,
}

/// The routes, for the bindings of all workloads.
struct Table {
    routes: Arc<ArcSwap<Routes<Arc<Target>>>>,
    /// Held by whoever changes the routes.
    changing: Mutex<()>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Http {
    /// Listens and begins to answer. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn listen(options: HttpOptions) -> io::Result<Self> {
        let listener = server::bind(options.addr)?;
        let local_addr = listener.local_addr()?;
        let routes = Arc::default();
        let (closed, deserted) = (CancellationToken::new(), CancellationToken::new());
        let shared = Arc::new(Shared {
            options,
            routes: Arc::clone(&routes),
            _deserted: deserted.clone().drop_guard(),
        });
        tokio::spawn(server::serve(listener, shared, closed.clone()));
        let table = Arc::new(Table {
            routes,
            changing: Mutex::default(),
        });
        Ok(Self {
            server: Mode::Listening(Server {
                table,
                local_addr,
                closed,
                deserted,
            }),
            client: None,
        })
    }

    /// Answers imports of `wasi:http` but serves nobody: for a host without an HTTP server.
    #[must_use]
    pub fn without_server() -> Self {
        Self {
            server: Mode::Absent,
            client: None,
        }
    }

    /// Sends the requests of guests, as far as they are allowed; without a client, all are denied.
    #[must_use]
    pub fn with_client(mut self, client: Outgoing) -> Self {
        self.client = Some(client);
        self
    }

    /// Offers what a listening one does, but neither listens nor binds workloads.
    #[must_use]
    pub(crate) fn unopened() -> Self {
        Self {
            server: Mode::Unopened,
            client: None,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.server {
            Mode::Listening(server) => Some(server.local_addr),
            Mode::Absent | Mode::Unopened => None,
        }
    }
}

fn interface(name: &str, (major, minor, patch): (u64, u64, u64)) -> Interface {
    Interface {
        namespace: "wasi".to_owned(),
        package: "http".to_owned(),
        name: name.to_owned(),
        version: Some(semver::Version::new(major, minor, patch)),
    }
}

#[async_trait]
impl Plugin for Http {
    fn id(&self) -> &'static str {
        "wasi-http"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![
            Offer::shared(interface("types", (0, 2, 12))),
            Offer::identity(interface("outgoing-handler", (0, 2, 12))),
            Offer::shared(interface("types", (0, 3, 0))),
            Offer::identity(interface("client", (0, 3, 0))),
        ]
    }

    fn handles(&self) -> Vec<Interface> {
        match self.server {
            Mode::Listening(_) | Mode::Unopened => vec![
                interface("handler", (0, 3, 0)),
                interface("incoming-handler", (0, 2, 12)),
            ],
            Mode::Absent => Vec::new(),
        }
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        settings::patterns(workload).1
    }

    fn close(&self) {
        if let Mode::Listening(server) = &self.server {
            server.closed.cancel();
        }
    }

    async fn closed(&self) {
        if let Mode::Listening(server) = &self.server {
            server.deserted.cancelled().await;
        }
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let served = self.serve(request)?;
        Ok(match &self.client {
            Some(client) => Box::new(WithClient {
                client: client.client(request.id),
                served,
            }),
            None => served,
        })
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        link::link(import, linker)
    }
}

impl Http {
    fn serve(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let Mode::Listening(server) = &self.server else {
            return Ok(Box::new(NothingHeld));
        };
        let (patterns, wrong) = settings::patterns(request.workload);
        if let Some(wrong) = wrong.into_iter().next() {
            return Err(wrong);
        }
        Ok(Box::new(Bound {
            table: Arc::clone(&server.table),
            id: request.id.clone(),
            patterns,
            opened: None,
        }))
    }
}

/// The client of one workload, beside what serves it. Guests that finish what they answer go on using it: its connections close
/// with the last of them.
struct WithClient {
    client: Arc<Client>,
    served: Box<dyn Binding>,
}

#[async_trait]
impl Binding for WithClient {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.client)))
    }

    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        self.served.open(opening).await
    }

    fn go_live(&mut self) {
        self.served.go_live();
    }
}

/// The routes of one workload.
struct Bound {
    table: Arc<Table>,
    id: WorkloadId,
    patterns: Vec<Pattern>,
    opened: Option<Opened>,
}

/// Routes that were found free, or held by the workload that this one replaces.
struct Opened {
    target: Arc<Target>,
    replaces: Option<WorkloadId>,
}

impl Bound {
    fn change(
        &self,
        change: impl FnOnce(&Routes<Arc<Target>>) -> Result<Routes<Arc<Target>>, Clash<Arc<Target>>>,
    ) -> Result<(), Clash<Arc<Target>>> {
        let _changing = self
            .table
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let routes = change(&self.table.routes.load())?;
        self.table.routes.store(Arc::new(routes));
        Ok(())
    }
}

#[async_trait]
impl Binding for Bound {
    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        let Some(entry) = opening.entries.into_iter().next() else {
            return Ok(());
        };
        let handler = Handler::find(&entry, entry.callee.pre()).map_err(|error| {
            PluginError::new(format!(
                "`{}` of component `{}` cannot be called: {error:#}",
                entry.export, entry.component
            ))
        })?;
        let target = Arc::new(Target { entry, handler });
        // A dry run: the host lets one workload open at a time, so what is free now still is when it goes live.
        self.table
            .routes
            .load()
            .with(&self.id, &self.patterns, &target, opening.replaces.as_ref())
            .map_err(|clash| refused(&clash, &target))?;
        self.opened = Some(Opened {
            target,
            replaces: opening.replaces,
        });
        Ok(())
    }

    fn go_live(&mut self) {
        if let Some(Opened { target, replaces }) = self.opened.take() {
            let changed = self
                .change(|routes| routes.with(&self.id, &self.patterns, &target, replaces.as_ref()));
            if let Err(clash) = changed {
                tracing::error!("{}", refused(&clash, &target));
            }
        }
    }
}

fn refused(clash: &Clash<Arc<Target>>, target: &Target) -> PluginError {
    let name = |target: &Target| target.entry.callee.context().workload.to_string();
    both_want(&name(&clash.holder), &name(target), &clash.pattern)
}

fn both_want(holder: &str, other: &str, pattern: &Pattern) -> PluginError {
    PluginError::new(format!(
        "workloads `{holder}` and `{other}` both want to answer {pattern}"
    ))
    .hint("give one of them another `host` or `path` in the `config` of its wasi:http entry")
    .at("spec.hostInterfaces")
}

/// Which workloads ask for requests that one before them answers: their places in the list, and the error.
pub(crate) fn clashes(workloads: &[&Workload]) -> Vec<(usize, PluginError)> {
    let mut routes: Routes<Arc<usize>> = Routes::default();
    let mut found = Vec::new();
    let answer = |workload: &Workload| {
        let mut entries = workload.host_interfaces.iter();
        entries.any(crate::workload::HostInterface::is_http_handler)
    };
    for (index, workload) in workloads.iter().enumerate().filter(|(_, it)| answer(it)) {
        let (patterns, _) = settings::patterns(workload);
        let Ok(id) = index.to_string().parse() else {
            continue;
        };
        match routes.with(&id, &patterns, &Arc::new(index), None) {
            Ok(with) => routes = with,
            Err(clash) => {
                let name = |index: usize| {
                    let workload = workloads.get(index);
                    workload
                        .map(|it| format!("{}/{}", it.namespace, it.name))
                        .unwrap_or_default()
                };
                let error = both_want(&name(*clash.holder), &name(index), &clash.pattern);
                found.push((index, error));
            }
        }
    }
    found
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = self.change(|routes| Ok(routes.without(&self.id)));
    }
}
