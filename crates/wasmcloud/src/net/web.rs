//! Requests of HTTP to servers: every connection goes through [`Dial`], and neither a connection, an answer nor a body is waited for
//! without an end. No server gets more connections than it may. No redirect is followed, and nothing is tried again: that is for
//! whoever asks.

mod connections;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use self::connections::{Connections, for_a_request};
use super::dial::{Dial, DialError, NamedBy};

/// How many connections there may be to one server, where nothing else is said.
const CONNECTIONS: usize = 64;
/// How many connections wait for the next request, and for how long.
const IDLE: (usize, Duration) = (16, Duration::from_secs(30));

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// There is no connection. [`WebError::dial`] says why.
    #[error("{}", told(.0))]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// The connection broke, or the server does not speak HTTP.
    #[error("the connection broke: {}", told(.0.as_ref()))]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// There was no sign of life for so long.
    #[error("the server did not answer for {} s", .0.as_secs())]
    Late(Duration),
}

impl WebError {
    /// Why there is no connection.
    pub(crate) fn dial(&self) -> Option<&DialError> {
        match self {
            Self::Connect(error) => dial_error(error),
            Self::Broken(_) | Self::Late(_) => None,
        }
    }
}

fn dial_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DialError> {
    let io = error.downcast_ref::<io::Error>();
    let inner = io.and_then(io::Error::get_ref);
    let found = inner.and_then(|inner| inner.downcast_ref::<DialError>());
    found.or_else(|| error.source().and_then(dial_error))
}

/// The innermost cause, which says the most.
fn told(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = dial_error(error) {
        return error.to_string();
    }
    match error.source() {
        Some(source) => told(source),
        None => error.to_string(),
    }
}

/// A client. Its connections are its own.
pub(crate) struct Web<B> {
    client: Client<Way, Watched<B>>,
    patience: Duration,
}

impl<B> Clone for Web<B> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            patience: self.patience,
        }
    }
}

impl<B> Web<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// One that gives up after so long without a sign of life, and has at most 64 connections to each server.
    pub(crate) fn new(dial: Dial, by: NamedBy, patience: Duration) -> Self {
        Self::with_connections(dial, by, patience, CONNECTIONS)
    }

    /// The same with at most so many connections to each server. A request for which there is none left waits for one, as a part of
    /// its patience.
    pub(crate) fn with_connections(
        dial: Dial,
        by: NamedBy,
        patience: Duration,
        most: usize,
    ) -> Self {
        let way = Way {
            dial,
            by,
            patience,
            connections: Arc::new(Connections::new(most)),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE.1)
            .pool_max_idle_per_host(IDLE.0)
            .build(way);
        Self { client, patience }
    }

    /// Sends a request, and waits so long for its answer after the last of its body was taken.
    ///
    /// # Errors
    /// When there is no answer. One that refuses is an answer.
    pub(crate) async fn send(
        &self,
        request: Request<B>,
        patience: Duration,
    ) -> Result<Response<Patient>, WebError> {
        let life = Arc::new(Life::default());
        let request = request.map(|body| Watched {
            body,
            life: Arc::clone(&life),
        });
        let asked = for_a_request(self.client.request(request));
        let answer = life.watch(asked, patience).await?;
        let answer = answer.map_err(|error| match error.is_connect() {
            true => WebError::Connect(error),
            false => WebError::Broken(error.into()),
        })?;
        Ok(answer.map(|body| Patient::new(body, self.patience)))
    }
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
    ) -> Result<T, WebError> {
        self.sign();
        let mut work = std::pin::pin!(work);
        loop {
            let last = Duration::from_millis(self.0.load(Ordering::Relaxed));
            let until = began() + last + patience;
            match tokio::time::timeout_at(until, work.as_mut()).await {
                Ok(done) => return Ok(done),
                Err(_) if last == Duration::from_millis(self.0.load(Ordering::Relaxed)) => {
                    return Err(WebError::Late(patience));
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
struct Watched<B> {
    body: B,
    life: Arc<Life>,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
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
pub(crate) struct Patient {
    body: Incoming,
    patience: Patience,
}

impl Patient {
    fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            patience: Patience::of(patience),
        }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = WebError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WebError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.patience.begin_anew();
            let broken = |error: hyper::Error| WebError::Broken(error.into());
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        ready!(this.patience.poll_over(cx));
        Poll::Ready(Some(Err(WebError::Late(this.patience.most))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How long something is waited for that does not come.
struct Patience {
    most: Duration,
    until: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn of(most: Duration) -> Self {
        Self { most, until: None }
    }

    /// Something has come.
    fn begin_anew(&mut self) {
        self.until = None;
    }

    /// Whether nothing has come for so long, while it was waited for.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let most = self.most;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(most)));
        until.as_mut().poll(cx)
    }

    /// What was written, or that nothing was for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.begin_anew();
            return written;
        }
        ready!(self.poll_over(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The way to a server.
#[derive(Clone)]
struct Way {
    dial: Dial,
    by: NamedBy,
    patience: Duration,
    connections: Arc<Connections>,
}

impl Way {
    async fn connect(self, to: Uri) -> io::Result<Stream> {
        let permit = self.connections.take(&to).await?;
        let wire = self.wire(&to).await?;
        Ok(Stream {
            wire,
            stall: Patience::of(self.patience * 2),
            _permit: permit,
        })
    }

    async fn wire(&self, to: &Uri) -> io::Result<Wire> {
        let host = to.host().unwrap_or_default();
        let tls = to.scheme_str() == Some("https");
        let port = to.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let connected = self.dial.connect(host, port, self.by);
        let connected = timeout(self.patience, connected).await?;
        let stream = connected.map_err(io::Error::other)?;
        if !tls {
            return Ok(TokioIo::new(Either::Left(stream)));
        }
        let secured = timeout(self.patience, self.dial.secure(host, stream)).await?;
        let secured = secured.map_err(io::Error::other)?;
        Ok(TokioIo::new(Either::Right(Box::new(secured))))
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

/// A connection, which counts until it is closed.
struct Stream {
    wire: Wire,
    /// With a server that takes nothing. Whoever waits for an answer has given up long before; without this, the connection would stay
    /// for as long as there is something left to send.
    stall: Patience,
    _permit: OwnedSemaphorePermit,
}

/// Plain, or with TLS.
type Wire = TokioIo<Either<TcpStream, Box<TlsStream<TcpStream>>>>;

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
        Pin::new(&mut self.get_mut().wire).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.wire).poll_write(cx, buf);
        this.stall.watch(cx, written)
    }

    /// Where pieces could not be written together, the client would copy each body into a buffer of its own.
    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.wire).poll_write_vectored(cx, pieces);
        this.stall.watch(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.wire).poll_flush(cx);
        this.stall.watch(cx, flushed)
    }

    /// The farewell of TLS is tried once: a server that takes nothing any more must not keep a connection that nobody needs.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.get_mut().wire).poll_shutdown(cx);
        Poll::Ready(match shut {
            Poll::Ready(shut) => shut,
            Poll::Pending => Ok(()),
        })
    }
}
