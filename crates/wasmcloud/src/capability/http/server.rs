//! Accepts connections and speaks HTTP/1.1 and HTTP/2 on them, the latter with prior knowledge.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use http::Version;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::departure::Socket;
use super::dispatch::dispatch;
use super::limits::HttpLimits;
use super::patience::{Activity, Due, Patience};
use super::plugin::Shared;
use super::room::{Admitted, Room};
use super::sent::Streams;

/// How many connections may wait to be accepted. The operating system may have a lower limit of its own.
const BACKLOG: u32 = 4096;
/// How long to wait when no connection can be accepted, such as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After how long the operating system asks whether a silent client is still there, how often, and how many times.
const TCP_KEEP_ALIVE: (Duration, Duration, u32) =
    (Duration::from_secs(60), Duration::from_secs(15), 4);

/// After the server was closed, how long an idle connection stays for a request that is on its way.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// HTTP/2: how much of an answer is held for a client that does not take it, of each stream.
const SEND_BUFFER: usize = 64 * 1024;
/// HTTP/2: how much of a request's body is taken before a guest reads it. Several streams may be left unread without holding up
/// the rest of their connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How many header fields Hyper has room for without taking memory for each request.
const FREE_FIELDS: usize = 100;

/// Listens. Connections inherit that they are looked after while they are silent.
pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A server that starts again finds connections of the last one in the way.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let (idle, interval, probes) = TCP_KEEP_ALIVE;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, idle)?;
    sockopt::set_tcp_keepintvl(&socket, interval)?;
    sockopt::set_tcp_keepcnt(&socket, probes)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until `closed`; then lets the open ones finish the request they are at, or on their way with.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, closed: CancellationToken) {
    let mut room = Room::new(&shared.options.limits);
    let accepting = async {
        loop {
            let place = room.place().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(admitted) = room.admit(place, peer.ip()) {
                        let connection =
                            connection(stream, admitted, Arc::clone(&shared), closed.clone());
                        tokio::spawn(connection);
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = closed.cancelled() => {}
    }
    // The system has let these in already: closing the socket would reset them in the middle of their requests. Tokio may not
    // have heard of them, so the socket itself is asked.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Some(place) = room.place().now_or_never()
        && let Ok((stream, peer)) = listener.accept()
    {
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        if let (Ok(stream), Some(admitted)) = (stream, room.admit(place, peer.ip())) {
            let connection = connection(stream, admitted, Arc::clone(&shared), closed.clone());
            tokio::spawn(connection);
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

fn builder(limits: &HttpLimits) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams {
        write_timeout: limits.write_timeout,
    });
    let mut http1 = builder.http1();
    // The time of heads is minded by `Patience`, which can tell a slow head from an idle connection.
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.head_size());
    if limits.header_fields > FREE_FIELDS {
        http1.max_headers(limits.header_fields);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_interval)
        .max_header_list_size(u32::try_from(limits.head_size()).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.stream_errors)
        .max_send_buf_size(SEND_BUFFER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

async fn connection(
    stream: TcpStream,
    _admitted: Admitted,
    shared: Arc<Shared>,
    closed: CancellationToken,
) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let limits = &shared.options.limits;
    let activity = Activity::new();
    let (socket, peer) = Socket::new(stream, Arc::clone(&activity));
    let begun = Notify::new();
    let service = service_fn(|request| {
        let exchange = activity.begin(request.version());
        if closed.is_cancelled() {
            begun.notify_one();
        }
        // Hyper reads from an HTTP/2 connection all the time, so it sees the client go by itself.
        let peer = (request.version() < Version::HTTP_2).then(|| peer.clone());
        let shared = Arc::clone(&shared);
        async move { dispatch(&shared, request, peer, exchange).await }
    });
    let builder = builder(limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut patience = Patience::new(Arc::clone(&activity), limits);
    // A request may be on its way to whoever is idle: it is answered, and the answer tells the client to leave.
    let mut leave = pin!(async {
        closed.cancelled().await;
        if !activity.is_busy() {
            let _ = timeout(LAST_CHANCE, begun.notified()).await;
        }
    });
    let mut leaving = false;
    loop {
        let due = tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            due = patience.over(limits) => due,
            () = leave.as_mut(), if !leaving => Due::Leave,
        };
        if let Due::Drop(reason) = due {
            tracing::debug!(reason, "a connection is dropped");
            return;
        }
        leaving = true;
        patience.leaving();
        connection.as_mut().graceful_shutdown();
    }
}
