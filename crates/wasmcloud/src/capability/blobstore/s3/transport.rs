//! HTTP to a server of S3: every connection goes through the egress policy, and neither a connection, an answer nor a body is waited
//! for without an end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::capability::blobstore::cause;
use crate::capability::dial::{Dial, DialError, NamedBy};

/// How many connections wait for the next request, and for how long.
const IDLE: (usize, Duration) = (16, Duration::from_secs(30));

/// How long not to repeat that a server does not answer.
const SILENCE: Duration = Duration::from_secs(60);

/// How long something may take before it counts as gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Between two signs of life.
    pub(super) usual: Duration,
    /// After the last of a body was handed to the operating system, which may hold much of it on a slow way.
    pub(super) sent: Duration,
    /// For an answer to what the server has to work for: putting parts together, and copies.
    pub(super) work: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            usual: Duration::from_secs(10),
            sent: Duration::from_secs(30),
            work: Duration::from_secs(300),
        }
    }
}

/// What a server has answered that is told apart from other failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server answers with {0}")]
pub(super) struct Refusal(pub(super) StatusCode);

/// The egress policy says no.
#[derive(Debug, thiserror::Error)]
#[error("the server may not be reached")]
pub(super) struct Denied;

/// Requests to one server.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client<Way, Watched>,
    patience: Patience,
    /// When it was said last that a server does not answer.
    told: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    pub(super) fn new(dial: Dial, patience: Patience) -> Self {
        let way = Way {
            dial,
            patience: patience.usual,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE.1)
            .pool_max_idle_per_host(IDLE.0)
            .build(way);
        Self {
            client,
            patience,
            told: Arc::default(),
        }
    }

    /// Says in the log that a server does not answer, but not again and again.
    fn tell(&self, error: HttpError) -> HttpError {
        // What the policy denies was told when the workload was started.
        if cause::<Denied>(&error).is_some() {
            return error;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| last.elapsed() >= SILENCE) {
            *told = Some(Instant::now());
            tracing::warn!(kind = ?error.kind(), "a server of S3 does not answer");
        }
        error
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let patience = match request.body().content_length() {
            _ if is_work(&request) => self.patience.work,
            0 => self.patience.usual,
            _ => self.patience.sent,
        };
        let life = Arc::new(Life::default());
        let request = request.map(|body| Watched {
            body,
            life: Arc::clone(&life),
        });
        let answer = self.client.request(request);
        let answer = life.watch(answer, patience).await;
        let answer = answer.and_then(|answer| answer.map_err(of_exchange));
        let answer = answer.map_err(|error| self.tell(error))?;
        let status = answer.status();
        // The library tells these from nothing else.
        if [
            StatusCode::RANGE_NOT_SATISFIABLE,
            StatusCode::NOT_IMPLEMENTED,
        ]
        .contains(&status)
        {
            return Err(HttpError::new(HttpErrorKind::Unknown, Refusal(status)));
        }
        let usual = self.patience.usual;
        Ok(answer.map(|body| HttpResponseBody::new(Patient::new(body, usual))))
    }
}

/// Whether the server has to do something before it can answer that takes time.
fn is_work(request: &HttpRequest) -> bool {
    request.headers().contains_key("x-amz-copy-source") || request.method() == Method::POST
}

fn of_exchange(error: hyper_util::client::legacy::Error) -> HttpError {
    let kind = if !error.is_connect() {
        HttpErrorKind::Interrupted
    } else if is_denied(&error) {
        return HttpError::new(HttpErrorKind::Unknown, Denied);
    } else {
        HttpErrorKind::Connect
    };
    HttpError::new(kind, error)
}

fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    let inner = io.and_then(io::Error::get_ref);
    let inner = inner.and_then(|inner| inner.downcast_ref::<DialError>());
    matches!(inner, Some(DialError::Denied { .. })) || error.source().is_some_and(is_denied)
}

fn late() -> HttpError {
    let told = io::Error::from(io::ErrorKind::TimedOut);
    HttpError::new(HttpErrorKind::Timeout, told)
}

/// When the server has last taken something of a request.
#[derive(Default)]
struct Life(AtomicU64);

impl Life {
    fn sign(&self) {
        let now = u64::try_from(began().elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.store(now, Ordering::Relaxed);
    }

    /// Waits for something until there has been no sign of life for so long.
    async fn watch<T>(
        &self,
        work: impl Future<Output = T>,
        patience: Duration,
    ) -> Result<T, HttpError> {
        self.sign();
        let mut work = std::pin::pin!(work);
        loop {
            let last = Duration::from_millis(self.0.load(Ordering::Relaxed));
            let until = began() + last + patience;
            match tokio::time::timeout_at(until, work.as_mut()).await {
                Ok(done) => return Ok(done),
                Err(_) if last == Duration::from_millis(self.0.load(Ordering::Relaxed)) => {
                    return Err(late());
                }
                Err(_) => {}
            }
        }
    }
}

/// What time is counted from.
fn began() -> Instant {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *BEGAN
}

/// A body of a request that tells when something of it is taken.
struct Watched {
    body: HttpRequestBody,
    life: Arc<Life>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.life.sign();
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of an answer that fails when nothing more of it comes for too long while somebody waits for it.
struct Patient {
    body: Incoming,
    patience: Duration,
    until: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            patience,
            until: None,
        }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.until = None;
            let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let patience = this.patience;
        let until = this.until.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(until.as_mut().poll(cx));
        Poll::Ready(Some(Err(late())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The way to a server.
#[derive(Clone)]
struct Way {
    dial: Dial,
    patience: Duration,
}

impl Way {
    async fn connect(self, to: Uri) -> io::Result<Stream> {
        let host = to.host().unwrap_or_default();
        let tls = to.scheme_str() == Some("https");
        let port = to.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let connected = self.dial.connect(host, port, NamedBy::Workload);
        let connected = timeout(self.patience, connected).await?;
        let stream = connected.map_err(io::Error::other)?;
        if !tls {
            return Ok(Stream::Plain(TokioIo::new(stream)));
        }
        let secured = timeout(self.patience, self.dial.secure(host, stream)).await?;
        let secured = secured.map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(TokioIo::new(secured))))
    }
}

impl tower_service::Service<Uri> for Way {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().connect(to))
    }
}

/// A connection.
enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    /// Where pieces could not be written together, the client would copy each body into a buffer of its own.
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
