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
use tokio::net::{TcpListener, TcpStream};
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
use crate::capability::listen::{self, Refusals};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;
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

/// Listens.
pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    listen::tcp(addr, BACKLOG, false)
}

/// Accepts connections until `closed`; then lets the open ones finish the request they are at, or on their way with.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, closed: CancellationToken) {
    let mut room = Room::new(&shared.options.limits);
    let speak = |stream, admitted| {
        let (shared, closed) = (Arc::clone(&shared), closed.clone());
        tokio::spawn(connection(stream, admitted, shared, closed));
    };
    let accepting = async {
        let mut refusals = Refusals::of("http");
        loop {
            let place = room.place().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(admitted) = room.admit(place, peer.ip()) {
                        speak(stream, admitted);
                    }
                }
                Err(error) => refusals.recover(&error).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = closed.cancelled() => {}
    }
    let Ok(mut left) = listen::leftover(listener).await else {
        return;
    };
    while let Some(place) = room.place().now_or_never()
        && let Some((stream, peer)) = left.next()
    {
        if let Some(admitted) = room.admit(place, peer.ip()) {
            speak(stream, admitted);
        }
    }
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
