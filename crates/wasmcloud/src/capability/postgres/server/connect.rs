//! Connects to a server: by the egress policy, with TLS where it has to be, and looked at from then on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::tls::Tls;
use super::super::{Fault, ServerUrl};
use super::fault;
use super::long_rows::Coming;
use super::watch::{Seen, Watched};
use crate::net::dial::{Dial, DialError, NamedBy};

/// After how long silence the other side is asked whether it is still there, and then how often.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How much a server may say until somebody has logged in: the client keeps much of it.
const GREETING: usize = 64 << 10;
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where to connect to.
pub(in super::super) struct Target {
    pub(in super::super) url: ServerUrl,
    pub(in super::super) by: NamedBy,
    pub(in super::super) dial: Dial,
    pub(in super::super) tls: Arc<Tls>,
    /// How long a statement may take.
    pub(in super::super) statement: Duration,
    /// How long a message of the server may be.
    pub(in super::super) longest: usize,
}

/// A client that has logged in. Dropping it ends the connection.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) seen: Arc<Seen>,
    /// Ends what moves its messages.
    pub(super) driven: DropGuard,
}

impl Target {
    /// Connects and logs in. Gives up after a while. `coming` is the room for what will come.
    pub(super) async fn connect(&self, coming: Coming) -> Result<Connected, Fault> {
        let connected = timeout(self.url.connect_timeout(), self.log_in(coming)).await;
        connected
            .unwrap_or_else(|_| Err(Fault::Unavailable("its server does not answer".to_owned())))
    }

    async fn log_in(&self, coming: Coming) -> Result<Connected, Fault> {
        let (stream, tls) = self.stream().await?;
        let seen = Arc::new(Seen::default());
        seen.limit(GREETING);
        let closing = CancellationToken::new();
        let mut config = self.url.config().clone();
        let wrong = |error: tokio_postgres::Error| fault::of_connecting(&error);
        let client = match tls {
            None => {
                config.ssl_mode(SslMode::Disable);
                let stream = Watched::new(stream, Arc::clone(&seen), self.longest, coming);
                let (client, connection) =
                    config.connect_raw(stream, NoTls).await.map_err(wrong)?;
                tokio::spawn(drive(connection, closing.clone()));
                client
            }
            Some(tls) => {
                config.ssl_mode(SslMode::Require);
                let tls = Inside {
                    tls: self.named(tls)?,
                    seen: Arc::clone(&seen),
                    longest: self.longest,
                    coming,
                };
                let stream = Watched::not(stream);
                let (client, connection) = config.connect_raw(stream, tls).await.map_err(wrong)?;
                tokio::spawn(drive(connection, closing.clone()));
                client
            }
        };
        let limit = format!("SET statement_timeout = {}", self.statement.as_millis());
        client.batch_execute(&limit).await.map_err(wrong)?;
        seen.unlimit();
        seen.take_session_changed();
        Ok(Connected {
            client,
            seen,
            driven: closing.drop_guard(),
        })
    }

    /// Has the server give up what a connection is doing.
    pub(super) async fn cancel(&self, token: CancelToken) -> Result<(), Fault> {
        let (stream, tls) = self.stream().await?;
        let stream = Watched::not(stream);
        let cancelled = match tls {
            None => token.cancel_query_raw(stream, NoTls).await,
            Some(tls) => token.cancel_query_raw(stream, self.named(tls)?).await,
        };
        cancelled.map_err(|error| fault::of_connecting(&error))
    }

    async fn stream(&self) -> Result<(TcpStream, Option<&MakeRustlsConnect>), Fault> {
        let dialled = self
            .dial
            .connect(self.url.host(), self.url.port(), self.by)
            .await;
        // Where the server is, is no business of anybody's.
        let stream = dialled.map_err(|error| match error {
            DialError::Denied { .. } => Fault::Denied,
            DialError::Name { source, .. } => Fault::Unavailable(source.to_string()),
            DialError::Connect { source, .. } => Fault::Unavailable(source.to_string()),
            DialError::Tls { problem, .. } => Fault::Unavailable(problem),
        })?;
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE.0)
            .with_interval(KEEPALIVE.1);
        // A machine that cannot do it finds a dead connection later.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let loopback = stream
            .peer_addr()
            .is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        let tls = self
            .tls
            .of(self.url.mode, loopback)
            .map_err(Fault::Unavailable)?;
        Ok((stream, tls))
    }

    fn named(
        &self,
        tls: &MakeRustlsConnect,
    ) -> Result<<MakeRustlsConnect as MakeTlsConnect<Watched<TcpStream>>>::TlsConnect, Fault> {
        let mut tls = tls.clone();
        let host = self.url.host().trim_matches(['[', ']']);
        let named = MakeTlsConnect::<Watched<TcpStream>>::make_tls_connect(&mut tls, host);
        named.map_err(|_| {
            Fault::Unavailable("the name of its server cannot be in a certificate".to_owned())
        })
    }
}

/// Moves the messages of a connection. What the server says besides, such as notices, is of no interest, and of nobody's log.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, closing: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = std::pin::pin!(async move {
        while let Some(Ok(_)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {}
    });
    tokio::select! {
        () = &mut messages => {}
        () = closing.cancelled() => {
            let _ = timeout(GOODBYE, messages).await;
        }
    }
}

/// TLS, with what is inside looked at.
struct Inside<T> {
    tls: T,
    seen: Arc<Seen>,
    longest: usize,
    coming: Coming,
}

impl<S, T> TlsConnect<S> for Inside<T>
where
    T: TlsConnect<S, Stream: Send + 'static, Future: Send + 'static>,
{
    type Stream = Watched<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.tls.connect(stream);
        Box::pin(async move {
            let stream = connecting.await?;
            Ok(Watched::new(stream, self.seen, self.longest, self.coming))
        })
    }
}
