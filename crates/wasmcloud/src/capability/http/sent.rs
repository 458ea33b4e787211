//! Bodies of answers, on their way to the client: they break off when nobody is there to read them, and say so when the client
//! keeps them waiting.

use std::cell::Cell;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::departure::Peer;
use super::head;
use super::limits::HttpLimits;
use super::patience::Exchange;
use super::received::{Fault, Faults};
use crate::plugin::WorkloadContext;

/// The most that is given to one stream of HTTP/2 at once. It asks for more when the client has taken nearly all of it, so this is
/// also how finely its progress shows.
const PIECE: usize = 16 * 1024;

/// What a word about an answer counts for in the log of its workload, in bytes.
const WORD: usize = 128;

tokio::task_local! {
    /// On the task of a stream of HTTP/2: since when the stream has had something to send.
    static HANDED_OVER: Cell<Option<Instant>>;
}

/// Notes whether the client is next, or the guest. Over HTTP/1 nobody asks: there the socket knows.
fn note(handed_over: bool) {
    let _ = HANDED_OVER.try_with(|since| since.set(handed_over.then(Instant::now)));
}

/// The body of an answer.
pub(super) struct Sent {
    inner: WasiBody,
    client: Client,
    faults: Option<Faults>,
    limits: (usize, usize),
    /// Whose answer it is, where it is not the server's own.
    workload: Option<Arc<WorkloadContext>>,
    /// Cut off from what the guest wrote, to be sent next.
    rest: Bytes,
    _exchange: Exchange,
}

/// How the client is reached, and so how its departure shows.
enum Client {
    /// Hyper reads from an HTTP/2 connection all the time, and drops the bodies of streams that are reset.
    Stream,
    /// Over HTTP/1 the socket has to be asked, from when there is a time to wait.
    Connection(Peer),
    Asked(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Client {
    fn poll_departed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Connection(peer) = self {
            *self = Self::Asked(Box::pin(peer.clone().departed()));
        }
        match self {
            Self::Asked(departed) => departed.as_mut().poll(cx),
            Self::Stream | Self::Connection(_) => Poll::Pending,
        }
    }
}

impl Sent {
    /// A body for the client behind `peer`, or for one of HTTP/2. `faults` are those of the request's body.
    pub(super) fn new(
        inner: WasiBody,
        peer: Option<Peer>,
        faults: Option<Faults>,
        limits: &HttpLimits,
        exchange: Exchange,
    ) -> Self {
        note(true);
        Self {
            inner,
            client: peer.map_or(Client::Stream, Client::Connection),
            faults,
            limits: (limits.header_fields, limits.head_size()),
            workload: None,
            rest: Bytes::new(),
            _exchange: exchange,
        }
    }

    /// Says whose answer it is: what is wrong with it is logged under that name, as far as the workload may write.
    pub(super) fn of(mut self, workload: Option<Arc<WorkloadContext>>) -> Self {
        self.workload = workload;
        self
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Err(excess) = head::check(trailers, self.limits)
        {
            self.log_unsent(&excess);
            return Poll::Ready(Some(Err(Error::HttpResponseTrailerSectionSize(None))));
        }
        frame
    }

    /// Nobody whose answer this is may fill the log with it.
    fn log_unsent(&self, excess: &impl fmt::Display) {
        match &self.workload {
            Some(workload) if workload.log.admits(WORD) => {
                tracing::error!(%workload, "the trailers of an answer are not sent: {excess}");
            }
            Some(_) => {}
            None => tracing::debug!("the trailers of an answer are not sent: {excess}"),
        }
    }

    /// Keeps back what is too much at once.
    fn cut(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) => {
                if matches!(self.client, Client::Stream) && data.len() > PIECE {
                    self.rest = data.split_off(PIECE);
                }
                Frame::data(data)
            }
            Err(frame) => frame,
        }
    }

    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.client.poll_departed(cx).is_ready() {
            return Poll::Ready(Error::ConnectionTerminated);
        }
        match self.faults.as_ref().and_then(Faults::fault) {
            Some(Fault::TooSlow) => Poll::Ready(Error::ConnectionReadTimeout),
            _ => Poll::Pending,
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = self.poll_inner(cx);
        note(frame.is_ready());
        match frame {
            Poll::Pending => self.poll_given_up(cx).map(|error| Some(Err(error))),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(self.cut(frame)))),
            ended => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// Runs the streams of an HTTP/2 connection, and resets those whose client opens no window for what they have to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) write_timeout: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let stream = impatient(stream, self.write_timeout);
        tokio::spawn(HANDED_OVER.scope(Cell::new(None), stream));
    }
}

async fn impatient(stream: impl Future<Output = ()>, timeout: Duration) {
    let mut stream = pin!(stream);
    let mut timer: Option<(Instant, Pin<Box<Sleep>>)> = None;
    std::future::poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = HANDED_OVER.with(Cell::get) else {
            timer = None;
            return Poll::Pending;
        };
        let (_, sleep) = match timer.take().filter(|(running, _)| *running == since) {
            Some(running) => timer.insert(running),
            None => timer.insert((since, Box::pin(tokio::time::sleep(timeout)))),
        };
        let late = sleep.as_mut().poll(cx);
        if late.is_ready() {
            tracing::debug!("a stream is reset: the client did not read its answer");
        }
        late
    })
    .await;
}
