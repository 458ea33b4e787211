//! A connection to a server. It comes back by itself.
//!
//! Each tenant has one of its own: answers come in the order of questions, so whoever asks for much keeps all waiting that ask over the
//! same connection.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::bounded::{Bounded, Refused, Sizes};
use super::url::ServerUrl;
use super::{NEGATIVE, OnServer};
use crate::capability::keyvalue::complaint::Complaint;
use crate::capability::keyvalue::{Fault, KeyValueOptions};
use crate::capability::reach::Reach;
use crate::capability::tenant::Tenant;
use crate::net::dial::{Dial, DialError, NamedBy};
use crate::plugin::PluginError;

/// How long connecting and logging in may take, and then each answer.
const PATIENT: Duration = Duration::from_secs(5);
/// How long to leave a server alone that was not there, at first and at last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Whether something may be asked again on a new connection, where the one that carried it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It changes nothing, or the same when it is done twice.
    Once,
    Never,
}

/// A server.
pub(in super::super) struct Server {
    about: String,
    url: ServerUrl,
    dial: Dial,
    live: Mutex<Live>,
    /// Held while somebody connects, so that one does.
    patience: tokio::sync::Mutex<Patience>,
    complaint: Complaint,
    reach: Reach,
    /// How long connecting and logging in may take, and then each answer.
    patient: Duration,
    /// How long what it is asked for may be.
    sizes: Sizes,
    me: Weak<Self>,
}

/// The connection, and which one it is.
#[derive(Default)]
struct Live {
    connection: Option<MultiplexedConnection>,
    generation: u64,
}

/// When to try again.
struct Patience {
    until: Instant,
    next: Duration,
}

impl Server {
    /// `about` says in the log whose it is.
    pub(in super::super) fn new(
        about: String,
        url: ServerUrl,
        dial: Dial,
        options: &KeyValueOptions,
    ) -> Arc<Self> {
        Self::with_patience(about, url, dial, options, PATIENT)
    }

    pub(in super::super) fn with_patience(
        about: String,
        url: ServerUrl,
        dial: Dial,
        options: &KeyValueOptions,
        patient: Duration,
    ) -> Arc<Self> {
        let (host, port) = (url.host(), url.port());
        let reach = Reach::new("redis", dial.clone(), host, port, NamedBy::Workload);
        Arc::new_cyclic(|me| Self {
            about,
            url,
            dial,
            live: Mutex::default(),
            patience: tokio::sync::Mutex::new(Patience {
                until: Instant::now(),
                next: BACKOFF.0,
            }),
            complaint: Complaint::default(),
            reach,
            patient,
            sizes: Sizes::of(options),
            me: me.clone(),
        })
    }

    /// What a tenant keeps there.
    pub(in super::super) fn tenant(self: &Arc<Self>, tenant: &Tenant, prefix: &str) -> OnServer {
        OnServer::new(Arc::clone(self), format!("{prefix}{tenant}/"))
    }

    /// Whether the workload may go there. A server that is merely not there now is no error.
    pub(in super::super) async fn may_connect(&self) -> Result<(), PluginError> {
        match self.reach.begin().await {
            Err(DialError::Denied { denial, hint }) => {
                let told = format!("the server of `url` may not be reached: {denial}");
                Err(PluginError::new(told).hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Why it cannot be used now, for whoever runs the workload.
    pub(super) fn trouble(&self) -> Option<String> {
        self.reach.trouble()
    }

    /// Asks the server something.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        again: Again,
        command: &Cmd,
    ) -> Result<T, Fault> {
        let answer = self.answer(again, command).await?;
        answer.map_err(|error| fault(&error))
    }

    /// Asks for a script by its digest. `None`: the server does not know it.
    pub(super) async fn ask_known<T: FromRedisValue>(
        &self,
        again: Again,
        command: &Cmd,
    ) -> Result<Option<T>, Fault> {
        match self.answer(again, command).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => Ok(None),
            Err(error) => Err(fault(&error)),
        }
    }

    /// What the server answers, errors among it.
    async fn answer<T: FromRedisValue>(
        &self,
        again: Again,
        command: &Cmd,
    ) -> Result<Result<T, RedisError>, Fault> {
        let answer = self.steady().await?.answer(command).await;
        if again == Again::Once && answer.as_ref().is_err_and(is_broken) {
            return Ok(self.steady().await?.answer(command).await);
        }
        Ok(answer)
    }

    /// The connection, to ask several things over it that belong together.
    pub(super) async fn steady(&self) -> Result<Steady<'_>, Fault> {
        let (generation, connection) = self.connection().await?;
        Ok(Steady {
            server: self,
            generation,
            connection,
        })
    }

    /// A connection has failed.
    fn failed(&self, generation: u64, error: &RedisError) {
        self.lost(generation);
        if Refused::of(error).is_some() {
            self.complaint.about(&self.about, &fault(error));
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self) -> Option<(u64, MultiplexedConnection)> {
        let live = self.live();
        let connection = live.connection.clone()?;
        Some((live.generation, connection))
    }

    /// A connection is of no use any more; a newer one stays.
    fn lost(&self, generation: u64) {
        let mut live = self.live();
        if live.generation == generation {
            live.connection = None;
        }
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), Fault> {
        if let Some(connected) = self.connected() {
            return Ok(connected);
        }
        let mut patience = self.patience.lock().await;
        if let Some(connected) = self.connected() {
            return Ok(connected);
        }
        if Instant::now() < patience.until {
            return Err(Fault::Unavailable(
                "its server cannot be reached".to_owned(),
            ));
        }
        match timeout(self.patient, self.connect()).await {
            Ok(Ok(connected)) => {
                patience.next = BACKOFF.0;
                self.reach.answered();
                Ok(connected)
            }
            failed => {
                patience.until = Instant::now() + patience.next;
                patience.next = (patience.next * 2).min(BACKOFF.1);
                let fault = failed.map_or(Err(Fault::Timeout), |it| it.map(drop)).err();
                let told = fault.unwrap_or(Fault::Timeout);
                self.complaint.about(&self.about, &told);
                match &told {
                    Fault::Denied => self.reach.refuses("access is denied"),
                    Fault::Timeout => self.reach.refuses("it does not answer"),
                    _ => self.reach.away("it cannot be reached"),
                }
                Err(match told {
                    Fault::Denied => Fault::Denied,
                    // Where the server is, is no business of the guest's.
                    _ => Fault::Unavailable("its server cannot be reached".to_owned()),
                })
            }
        }
    }

    async fn connect(&self) -> Result<(u64, MultiplexedConnection), Fault> {
        let (host, port) = (self.url.host(), self.url.port());
        let stream = self.dial.connect(host, port, NamedBy::Workload).await;
        let stream = stream.map_err(|error| unreached(&error))?;
        let stream: Box<dyn Duplex> = match self.url.is_tls() {
            true => {
                let secured = self.dial.secure(host, stream).await;
                Box::new(secured.map_err(|error| unreached(&error))?)
            }
            false => Box::new(stream),
        };
        let stream = Bounded::new(stream, self.sizes);
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.patient));
        let login = self.url.login();
        let connected = MultiplexedConnection::new_with_config(login, stream, config).await;
        let (connection, driver) = connected.map_err(|error| match error.kind() {
            ErrorKind::AuthenticationFailed => Fault::Denied,
            _ => fault(&error),
        })?;
        let generation = {
            let mut live = self.live();
            live.generation += 1;
            live.connection = Some(connection.clone());
            live.generation
        };
        let me = self.me.clone();
        // It ends with the connection, which nobody holds once the server is dropped.
        tokio::spawn(async move {
            driver.await;
            if let Some(server) = me.upgrade() {
                server.lost(generation);
                server.reach.look();
            }
        });
        Ok((generation, connection))
    }
}

/// One connection, which leads to the same process of the server as long as it does not fail.
pub(super) struct Steady<'a> {
    server: &'a Server,
    generation: u64,
    connection: MultiplexedConnection,
}

impl Steady<'_> {
    /// Asks the server something.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Fault> {
        let answer = self.answer(command).await;
        answer.map_err(|error| fault(&error))
    }

    async fn answer<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        let answer = command.query_async(&mut self.connection).await;
        answer.inspect_err(|error: &RedisError| {
            if error.is_io_error() {
                self.server.failed(self.generation, error);
            }
        })
    }
}

/// Whether the connection broke before there was an answer, and not because of the answer: the server would give the same again.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout() && Refused::of(error).is_none()
}

/// A connection, with TLS or without.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

fn unreached(error: &DialError) -> Fault {
    match error {
        DialError::Denied { .. } => Fault::Denied,
        error => Fault::Unavailable(error.to_string()),
    }
}

/// What the server says is told in our words: its own may hold keys and values.
fn fault(error: &RedisError) -> Fault {
    if error.is_timeout() {
        return Fault::Timeout;
    }
    if let Some(refused) = Refused::of(error) {
        return Fault::Other(refused.to_string());
    }
    if error.is_io_error() {
        return Fault::Unavailable("the connection to its server broke".to_owned());
    }
    let detail = error.detail().unwrap_or_default();
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _)
        | (ErrorKind::Server(ServerErrorKind::NoPerm), _)
        | (_, Some("NOAUTH" | "WRONGPASS")) => Fault::Denied,
        (_, Some("OOM")) => Fault::Full("the server is full".to_owned()),
        // It cannot save what it has: its disk is full, or nobody can write there.
        (_, Some("MISCONF")) => Fault::Full("the server cannot save more".to_owned()),
        (_, Some("WRONGTYPE")) => {
            Fault::Other("the key holds something else than a value".to_owned())
        }
        (_, Some(NEGATIVE)) => Fault::OutOfRange,
        (
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly,
            ),
            _,
        ) => Fault::Unavailable("its server is not ready".to_owned()),
        _ if detail.contains("overflow") => Fault::OutOfRange,
        _ if detail.contains("not an integer") => Fault::NotACounter,
        (_, code) => {
            let code = code.unwrap_or("an error");
            Fault::Other(format!("the server answers with {code}"))
        }
    }
}
