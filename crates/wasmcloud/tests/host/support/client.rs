//! An HTTP client that keeps to what it is told: one connection, one version, every frame visible.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::within;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.1.
    H1,
    /// HTTP/2 with prior knowledge.
    H2,
}

enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

/// One connection. Dropping it closes it, also in the middle of an answer.
pub(crate) struct Connection {
    sender: Sender,
    task: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr, version: Version) -> Self {
        let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        match version {
            Version::H1 => {
                let (sender, connection) = within(http1::handshake(io)).await.unwrap();
                let (sender, task) = (Sender::H1(sender), tokio::spawn(connection));
                Self { sender, task }
            }
            Version::H2 => {
                let handshake = http2::handshake(TokioExecutor::new(), io);
                let (sender, connection) = within(handshake).await.unwrap();
                let (sender, task) = (Sender::H2(sender), tokio::spawn(connection));
                Self { sender, task }
            }
        }
    }

    /// Sends a request and returns when the head of the answer is there.
    pub(crate) async fn try_send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::H1(sender) => {
                within(sender.ready()).await?;
                within(sender.send_request(request)).await
            }
            Sender::H2(sender) => {
                within(sender.ready()).await?;
                within(sender.send_request(request)).await
            }
        }
    }

    /// Sends a request that must be answered.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.try_send(request).await.expect("an answer")
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn begin(
        &mut self,
        request: Request<Body>,
    ) -> JoinHandle<hyper::Result<Response<Incoming>>> {
        match &mut self.sender {
            Sender::H1(sender) => tokio::spawn(sender.send_request(request)),
            Sender::H2(sender) => tokio::spawn(sender.send_request(request)),
        }
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(self) {
        let _ = within(self.task).await;
    }

    /// Goes away at once, whatever is under way.
    pub(crate) async fn leave(self) {
        self.task.abort();
        let _ = within(self.task).await;
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    /// Reads an answer whose body must be whole.
    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.expect("a whole body");
        let trailers = body.trailers().cloned();
        Self {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_bytes().into()).expect("a text"),
            trailers,
        }
    }
}

/// A request in the form that a version of HTTP wants: HTTP/2 has the host in the target, HTTP/1.1 in a header.
pub(crate) fn request(
    version: Version,
    method: &str,
    host: &str,
    path: &str,
    body: Body,
) -> Request<Body> {
    let builder = Request::builder().method(method);
    let builder = match version {
        Version::H1 => builder.uri(path).header("host", host),
        Version::H2 => builder.uri(format!("http://{host}{path}")),
    };
    builder.body(body).unwrap()
}

pub(crate) fn empty() -> Body {
    Empty::new().boxed_unsync()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that is sent frame by frame; it ends when the sender is dropped.
pub(crate) fn frames() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = futures::stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async move {
        Some((Ok(receiver.recv().await?), receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// Reads from a body until all of `wanted` is there, and nothing else.
pub(crate) async fn body_of(body: &mut Incoming, wanted: &str) {
    let mut got = Vec::new();
    while got.len() < wanted.len() {
        let frame = within(body.frame()).await.expect("more of the body");
        got.extend_from_slice(frame.expect("a whole body").data_ref().expect("data"));
    }
    assert_eq!(String::from_utf8_lossy(&got), wanted);
}
