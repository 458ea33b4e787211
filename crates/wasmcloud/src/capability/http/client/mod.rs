//! The HTTP client of guests: what they send is checked against the egress policy, and goes out over connections that belong to
//! their workload alone.
//!
//! A request passes the component's `allowedHosts`, takes a connection of its workload's pool or a place for a new one, and, for a
//! new one, each address that the name stands for passes the policy. Redirects are left to the guest, so that each hop is checked;
//! the variables that name proxies are not read.

mod caller;
mod connect;
pub(super) mod error;
mod exchange;
mod options;
mod places;
mod pool;
mod target;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody};

pub use crate::net::trust::TrustError;
pub use options::{ClientOptions, TrustRoots};
pub use places::ClientStats;
pub(crate) use tls::Trust;

pub(super) use self::caller::Caller;
use self::exchange::{Download, InUse, Sent, Upload};
use self::places::{Place, Places, Waiting};
use self::pool::{Connection, Http1, Pool};
use self::target::Target;
use crate::net::resolve::Resolve;
use crate::policy::EgressPolicy;
use crate::workload::{Destination, WorkloadId};

/// How many names a workload has looked up at once; further ones wait inside their connect timeout.
const LOOKUPS: usize = 16;

/// The client of a host: what its workloads share, which is limits and trust, but no connection. Cheap to clone.
#[derive(Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    options: ClientOptions,
    policy: EgressPolicy,
    resolver: Arc<dyn Resolve>,
    trust: Trust,
    places: Arc<Semaphore>,
    /// Told when a connection becomes idle and there are no places left: who waits for one, of any workload, has it closed.
    idle: Notify,
    runtime: Handle,
    clients: Mutex<HashMap<WorkloadId, Weak<Client>>>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("options", &self.0.options)
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    /// A client with these settings. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub fn new(
        options: ClientOptions,
        policy: EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> std::result::Result<Self, TrustError> {
        Ok(Self(Arc::new(Inner {
            trust: Trust::load(&options)?,
            places: Places::of_host(options.max_connections_of_host),
            options,
            policy,
            resolver,
            idle: Notify::new(),
            runtime: Handle::current(),
            clients: Mutex::default(),
        })))
    }

    /// Whom it trusts.
    #[cfg(feature = "tls")]
    pub(crate) fn trust(&self) -> Trust {
        self.0.trust.clone()
    }

    /// What the client of a workload does and did; `None` when no such workload runs, or it uses no HTTP.
    #[must_use]
    pub fn stats(&self, id: &WorkloadId) -> Option<ClientStats> {
        let client = self.0.clients().get(id)?.upgrade()?;
        Some(client.stats())
    }

    /// How many connections all workloads have open.
    #[must_use]
    pub fn open(&self) -> usize {
        let clients: Vec<_> = self.0.clients().values().cloned().collect();
        let clients = clients.iter().filter_map(Weak::upgrade);
        clients.map(|client| client.stats().open).sum()
    }

    /// The client of a workload.
    pub(super) fn client(&self, id: &WorkloadId) -> Arc<Client> {
        let client = Arc::new(Client {
            host: Arc::clone(&self.0),
            id: id.clone(),
            places: Places::new(self.0.options.max_connections, Arc::clone(&self.0.places)),
            pool: Mutex::default(),
            idle: Notify::new(),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            tls: OnceLock::new(),
        });
        let mut clients = self.0.clients();
        clients.insert(id.clone(), Arc::downgrade(&client));
        client
    }
}

impl Inner {
    fn clients(&self) -> MutexGuard<'_, HashMap<WorkloadId, Weak<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes an idle connection of any workload.
    fn evict(&self) {
        let clients: Vec<_> = self.clients().values().filter_map(Weak::upgrade).collect();
        clients.iter().any(|client| client.pool().evict());
    }
}

/// The client of one workload: its connections, and its TLS sessions.
pub(super) struct Client {
    host: Arc<Inner>,
    id: WorkloadId,
    places: Places,
    pool: Mutex<Pool>,
    /// Told when a connection becomes idle: who waits can take it, or have it closed to make room.
    idle: Notify,
    /// How many names it may have looked up at once.
    lookups: Arc<Semaphore>,
    tls: OnceLock<TlsConnector>,
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut clients = self.host.clients();
        // Another workload may have come under the same id.
        if clients
            .get(&self.id)
            .is_some_and(|client| client.strong_count() == 0)
        {
            clients.remove(&self.id);
        }
    }
}

impl Client {
    /// Sends a request of a guest.
    pub(super) async fn send(
        self: Arc<Self>,
        caller: Caller,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>> {
        self.places
            .counters
            .requests
            .fetch_add(1, Ordering::Relaxed);
        let target = Target::of(&request)?;
        let policy = &self.host.policy;
        let allowed = policy.host(&caller.component.allowed_hosts, &target.to);
        if !caller.passes(&target.to, allowed, policy) {
            self.count_denied();
            return Err(Error::HttpRequestDenied);
        }
        let (ours, asked) = (&self.host.options, options.unwrap_or_default());
        let connect = asked.connect_timeout.unwrap_or(ours.connect_timeout);
        let first_byte = asked.first_byte_timeout.unwrap_or(ours.first_byte_timeout);
        let between = asked.between_bytes_timeout;
        let between = between.unwrap_or(ours.between_bytes_timeout);
        let deadline = far(connect);
        let (head, body) = request.into_parts();
        let (body, upload) = Upload::wrap(body, &caller.gone);
        let mut request = Request::from_parts(head, body);
        loop {
            let mut in_use = self.connection(&caller, &target.to, deadline).await?;
            match in_use.send(&target, request, &upload, first_byte).await? {
                Sent::Answered(response) => {
                    return Ok(Download::wrap(response, in_use, caller.gone, between));
                }
                // The other side closed a connection that was idle, as it may.
                Sent::Unsent(unsent) => request = unsent,
            }
        }
    }

    /// A connection of the pool, or a new one.
    async fn connection(
        self: &Arc<Self>,
        caller: &Caller,
        to: &Destination,
        deadline: Instant,
    ) -> Result<InUse> {
        let taken = self.pool().take(to);
        if let Some(connection) = taken {
            return Ok(InUse::new(self, to, connection, true));
        }
        let place = match self.places.take_now() {
            Some(place) => place,
            None => match self.wait(caller, to, deadline).await? {
                Waited::Connection(connection) => {
                    return Ok(InUse::new(self, to, connection, true));
                }
                Waited::Place(place) => place,
            },
        };
        let connection = self.connect(caller, to, place, deadline).await?;
        if let Connection::Http2(shared) = &connection {
            self.pool().share(to.clone(), shared);
            self.idle.notify_one();
            self.sweep_later();
        }
        Ok(InUse::new(self, to, connection, false))
    }

    /// Waits until there is a connection to the destination, or a place for one. Idle connections to elsewhere make room.
    async fn wait(&self, caller: &Caller, to: &Destination, deadline: Instant) -> Result<Waited> {
        let Some(_waiting) = Waiting::new(&self.places.counters) else {
            caller.tell_limit(self.host.options.max_connections);
            return Err(Error::ConnectionLimitReached);
        };
        let patience = far(self.host.options.connection_wait);
        let place = self.places.take(|| self.host.evict());
        let late = sleep_until(patience.min(deadline));
        tokio::pin!(place, late);
        loop {
            let (idle, of_host) = (self.idle.notified(), self.host.idle.notified());
            tokio::pin!(idle, of_host);
            // From here on nothing is missed.
            idle.as_mut().enable();
            of_host.as_mut().enable();
            let taken = self.pool().take(to);
            if let Some(connection) = taken {
                // It may be one that others can share.
                self.idle.notify_one();
                return Ok(Waited::Connection(connection));
            }
            let made_room = self.pool().evict();
            if !made_room && self.places.host_is_full() {
                self.host.evict();
            }
            tokio::select! {
                biased;
                place = &mut place => {
                    return place.map(Waited::Place).ok_or(Error::ConnectionLimitReached);
                }
                () = idle => {}
                () = of_host => {}
                () = &mut late => {
                    caller.tell_limit(self.host.options.max_connections);
                    return Err(if deadline < patience {
                        Error::ConnectionTimeout
                    } else {
                        Error::ConnectionLimitReached
                    });
                }
            }
        }
    }

    fn keep(self: &Arc<Self>, to: Destination, connection: Http1) {
        self.pool().keep(to, connection);
        self.wake();
        self.sweep_later();
    }

    fn used(&self, to: &Destination) {
        self.pool().used(to);
        self.wake();
    }

    /// Wakes one who waits, as there is a connection to take or to close; where the host is full, also one of any workload.
    fn wake(&self) {
        self.idle.notify_one();
        if self.places.host_is_full() {
            self.host.idle.notify_one();
        }
    }

    /// Sees to it that idle connections are closed in time.
    fn sweep_later(self: &Arc<Self>) {
        if std::mem::replace(&mut self.pool().swept, true) {
            return;
        }
        let patience = self.host.options.idle_timeout;
        let client = Arc::downgrade(self);
        self.host.runtime.spawn(async move {
            loop {
                tokio::time::sleep(patience).await;
                let Some(client) = client.upgrade() else {
                    return;
                };
                let mut pool = client.pool();
                if !pool.sweep(patience) {
                    pool.swept = false;
                    return;
                }
            }
        });
    }

    fn tls(&self) -> Result<&TlsConnector> {
        if let Some(connector) = self.tls.get() {
            return Ok(connector);
        }
        let connector = self.host.trust.connector().map_err(|error| {
            tracing::error!("TLS of the HTTP client cannot be set up: {error}");
            Error::ConfigurationError
        })?;
        Ok(self.tls.get_or_init(|| connector))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_denied(&self) {
        self.places.counters.denied.fetch_add(1, Ordering::Relaxed);
    }

    fn stats(&self) -> ClientStats {
        let counters = &self.places.counters;
        ClientStats {
            open: counters.open.load(Ordering::Relaxed),
            idle: self.pool().idle(),
            waiting: counters.waiting.load(Ordering::Relaxed),
            opened: counters.opened.load(Ordering::Relaxed),
            requests: counters.requests.load(Ordering::Relaxed),
            denied: counters.denied.load(Ordering::Relaxed),
        }
    }
}

/// What came first.
enum Waited {
    Connection(Connection),
    Place(Place),
}

/// A moment from now; one that is too far to tell is in thirty years.
fn far(patience: std::time::Duration) -> Instant {
    let now = Instant::now();
    let limit = std::time::Duration::from_secs(30 * 365 * 24 * 3600);
    now + patience.min(limit)
}
