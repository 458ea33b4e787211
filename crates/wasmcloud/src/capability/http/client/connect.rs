//! From a destination to a connection: look the name up, ask the policy about each address, connect to exactly those that it lets
//! through, shake hands.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmtime_wasi_http::{Error, Result};

use super::places::{Place, Socket};
use super::pool::{Connection, Driver, Http1, Http2, Tasks};
use super::{Caller, Client, error};
use crate::workload::{Destination, RemoteHost, Scheme};

/// How long an address is tried before the next one is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// How many headers a response may have.
pub(super) const MAX_HEADERS: usize = 128;

/// How much of responses is taken in ahead of the guest over HTTP/2: of one, and of all on a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// How often the other side of an HTTP/2 connection is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

impl Client {
    pub(super) async fn connect(
        &self,
        caller: &Caller,
        to: &Destination,
        place: Place,
        deadline: Instant,
    ) -> Result<Connection> {
        let addresses = timeout_at(deadline, self.addresses(to))
            .await
            .map_err(|_| Error::DnsTimeout)??;
        let checked = self.reachable(caller, to, addresses)?;
        let connected = timeout_at(deadline, first_of(checked, to.port)).await;
        let stream = connected
            .map_err(|_| Error::ConnectionTimeout)?
            .map_err(|error| error::of_connect(&error))?;
        // Heads and bodies are written whole, so there is nothing to gain from holding small packets back.
        let _ = stream.set_nodelay(true);
        let socket = Socket::new(stream, place);
        timeout_at(deadline, self.shake_hands(to, socket))
            .await
            .map_err(|_| Error::ConnectionTimeout)?
    }

    async fn addresses(&self, to: &Destination) -> Result<Vec<IpAddr>> {
        match &to.host {
            RemoteHost::Address(address) => Ok(vec![*address]),
            RemoteHost::Name(name) => {
                let permit = Arc::clone(&self.lookups).acquire_owned().await;
                let (resolver, name) = (Arc::clone(&self.host.resolver), name.clone());
                // A lookup goes on when nobody waits for it any more, and counts until it is done: else a guest that is in a hurry
                // could keep every thread of the resolver busy.
                let lookup = self.host.runtime.spawn(async move {
                    let _permit = permit;
                    resolver.resolve(&name).await
                });
                let found = lookup.await.map_err(|_| Error::DnsError {
                    rcode: None,
                    info_code: None,
                })?;
                found.map_err(|error| error::of_lookup(&error))
            }
        }
    }

    /// The addresses that may be connected to.
    fn reachable(
        &self,
        caller: &Caller,
        to: &Destination,
        addresses: Vec<IpAddr>,
    ) -> Result<Vec<IpAddr>> {
        if addresses.is_empty() {
            return Err(Error::DestinationNotFound);
        }
        let policy = &self.host.policy;
        let checked: Vec<IpAddr> = addresses
            .into_iter()
            .filter(|address| caller.passes(to, policy.address(*address), policy))
            .collect();
        if checked.is_empty() {
            self.count_denied();
            return Err(Error::DestinationIpProhibited);
        }
        Ok(checked)
    }

    async fn shake_hands(&self, to: &Destination, socket: Socket) -> Result<Connection> {
        if to.scheme != Some(Scheme::Https) {
            return self.http1(socket).await;
        }
        let name = match &to.host {
            RemoteHost::Address(address) => ServerName::from(*address),
            RemoteHost::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?
            }
        };
        let connector = self.tls()?;
        let stream = connector.connect(name, socket).await;
        let stream = stream.map_err(|error| error::of_tls(&error))?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream).await
        } else {
            self.http1(stream).await
        }
    }

    async fn http1<S>(&self, stream: S) -> Result<Connection>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.max_head())
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(error::of_exchange)?;
        let driver = self.drive(connection, None);
        let mut connection = Http1 {
            sender,
            _driver: driver,
        };
        connection
            .sender
            .ready()
            .await
            .map_err(error::of_exchange)?;
        Ok(Connection::Http1(connection))
    }

    async fn http2<S>(&self, stream: S) -> Result<Connection>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let tasks = CancellationToken::new();
        let guard = tasks.clone().drop_guard();
        let head = u32::try_from(self.max_head()).unwrap_or(u32::MAX);
        let (sender, connection) = http2::Builder::new(Tasks(tasks))
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(head)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(error::of_exchange)?;
        let driver = Arc::new(self.drive(connection, Some(guard)));
        Ok(Connection::Http2(Http2 { sender, driver }))
    }

    /// Requests and responses learn of its errors themselves.
    fn drive(
        &self,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
        tasks: Option<DropGuard>,
    ) -> Driver {
        let task = self
            .host
            .runtime
            .spawn(async move { drop(connection.await) });
        Driver::new(task.abort_handle(), tasks)
    }

    /// Hyper has no use for less than 8 KiB.
    fn max_head(&self) -> usize {
        usize::try_from(self.host.options.max_response_head)
            .unwrap_or(usize::MAX)
            .max(8 * 1024)
    }
}

/// The first connection that comes about. Each further address is tried when the one before has failed, or is slow.
async fn first_of(addresses: Vec<IpAddr>, port: u16) -> io::Result<TcpStream> {
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut first_error = None;
    loop {
        if let Some(address) = addresses.next() {
            attempts.push(TcpStream::connect(SocketAddr::new(address, port)));
        }
        let more = !addresses.as_slice().is_empty();
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => drop(first_error.get_or_insert(error)),
                None => break,
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    /// 127.0.0.2 is this machine, too, and nobody listens there.
    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = vec![
            Ipv4Addr::new(127, 0, 0, 2).into(),
            Ipv4Addr::LOCALHOST.into(),
        ];
        let stream = first_of(addresses, port).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn where_all_fail_the_first_failure_is_told() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = first_of(vec![Ipv4Addr::LOCALHOST.into()], port)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
