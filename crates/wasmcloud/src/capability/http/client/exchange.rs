//! One request and its response on one connection: whoever lets go before the end closes the connection, and a connection that
//! carried a response to its end goes back to the pool.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmtime_wasi_http::{Error, Result, WasiBody};

use super::connect::MAX_HEADERS;
use super::pool::Connection;
use super::target::Target;
use super::{Client, error};
use crate::workload::Destination;

/// A connection that an exchange uses. Dropping it closes one over HTTP/1.1, and resets the stream of one over HTTP/2.
pub(super) struct InUse {
    client: Arc<Client>,
    to: Destination,
    connection: Option<Connection>,
    /// The body that it sends, once it does.
    upload: Option<Uploading>,
    /// Whether it carried an exchange before.
    pub(super) reused: bool,
}

/// How the body of a request fares.
#[derive(Clone)]
pub(super) struct Uploading {
    /// Cancelled when the body was sent, or given up.
    over: CancellationToken,
    /// Cancelled when the guest is gone.
    gone: CancellationToken,
}

impl Uploading {
    /// Whether the guest has left before its end.
    fn is_left(&self) -> bool {
        self.gone.is_cancelled() && !self.over.is_cancelled()
    }
}

/// What became of a request.
pub(super) enum Sent {
    /// Its head was answered.
    Answered(Response<Incoming>),
    /// The connection was closed before anything of it went out.
    Unsent(Request<WasiBody>),
}

impl InUse {
    pub(super) fn new(
        client: &Arc<Client>,
        to: &Destination,
        connection: Connection,
        reused: bool,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            to: to.clone(),
            connection: Some(connection),
            upload: None,
            reused,
        }
    }

    /// Sends a request, and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        target: &Target,
        mut request: Request<WasiBody>,
        upload: &Uploading,
        patience: Duration,
    ) -> Result<Sent> {
        self.upload = Some(upload.clone());
        let outcome = match &mut self.connection {
            None => return Err(Error::ConnectionTerminated),
            Some(Connection::Http1(connection)) => {
                target.http1(&mut request);
                timeout(patience, connection.sender.try_send_request(request)).await
            }
            Some(Connection::Http2(connection)) => {
                target.http2(&mut request);
                timeout(patience, connection.sender.try_send_request(request)).await
            }
        };
        match outcome {
            Err(_) => Err(Error::HttpResponseTimeout),
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Error::HttpUpgradeFailed)
            }
            // Over HTTP/2, nobody else counts them.
            Ok(Ok(response)) if response.headers().len() > MAX_HEADERS => {
                Err(Error::HttpResponseHeaderSectionSize(None))
            }
            Ok(Ok(response)) => Ok(Sent::Answered(response)),
            Ok(Err(mut failed)) => match failed.take_message() {
                Some(request) if self.reused => {
                    self.client.pool().forget(&self.to);
                    Ok(Sent::Unsent(request))
                }
                _ => Err(error::of_exchange(failed.into_error())),
            },
        }
    }

    /// The response was read to its end. The connection is ready for the next request when the request is sent to its end, too; a
    /// guest that is gone before takes it along.
    fn over(mut self, gone: CancellationToken) {
        if matches!(self.connection, Some(Connection::Http2(_))) {
            self.uploaded();
            return;
        }
        let Some(Connection::Http1(mut connection)) = self.connection.take() else {
            return;
        };
        let (client, to) = (Arc::clone(&self.client), self.to.clone());
        match connection.sender.ready().now_or_never() {
            Some(Ok(())) => client.keep(to, connection),
            Some(Err(_)) => {}
            None => {
                let runtime = client.host.runtime.clone();
                // Whoever waits for a connection holds the client; this need not.
                let client = Arc::downgrade(&client);
                runtime.spawn(async move {
                    let ready = tokio::select! {
                        ready = connection.sender.ready() => ready.is_ok(),
                        () = gone.cancelled() => false,
                    };
                    if let Some(client) = client.upgrade().filter(|_| ready) {
                        client.keep(to, connection);
                    }
                });
            }
        }
    }
}

impl InUse {
    /// Lets go of a shared connection when the request is sent to its end, or its guest is gone.
    fn uploaded(self) {
        let Some(upload) = self
            .upload
            .clone()
            .filter(|upload| !upload.over.is_cancelled())
        else {
            return;
        };
        let runtime = self.client.host.runtime.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = upload.over.cancelled() => {}
                () = upload.gone.cancelled() => {}
            }
            drop(self);
        });
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let shared = matches!(self.connection, Some(Connection::Http2(_)));
        self.connection = None;
        if shared {
            if self.upload.as_ref().is_some_and(Uploading::is_left) {
                // What is left of the body may never be taken. The connection ends with the last who uses it.
                self.client.pool().forget(&self.to);
            }
            self.client.used(&self.to);
        }
    }
}

/// The body of a request. It tells a guest that is gone from one that has said all it had to say: without that, half a body would
/// look whole to the server.
pub(super) struct Upload {
    body: WasiBody,
    gone: CancellationToken,
    _over: DropGuard,
}

impl Upload {
    pub(super) fn wrap(body: WasiBody, gone: &CancellationToken) -> (WasiBody, Uploading) {
        let over = CancellationToken::new();
        let upload = Self {
            body,
            gone: gone.clone(),
            _over: over.clone().drop_guard(),
        };
        let gone = gone.clone();
        (WasiBody::new(upload), Uploading { over, gone })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) && self.gone.is_cancelled() {
            return Poll::Ready(Some(Err(Error::ConnectionTerminated)));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response.
pub(super) struct Download {
    body: Incoming,
    in_use: Option<InUse>,
    gone: CancellationToken,
    /// How long it may pause while somebody wants more.
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Download {
    pub(super) fn wrap(
        response: Response<Incoming>,
        in_use: InUse,
        gone: CancellationToken,
        patience: Duration,
    ) -> Response<WasiBody> {
        response.map(|body| {
            let mut download = Self {
                body,
                in_use: Some(in_use),
                gone,
                patience,
                pause: None,
            };
            download.end_if_whole();
            WasiBody::new(download)
        })
    }

    fn end_if_whole(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(in_use) = self.in_use.take() {
            in_use.over(self.gone.clone());
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause = None;
                self.end_if_whole();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.in_use = None;
                Poll::Ready(Some(Err(error::of_body(error))))
            }
            Poll::Pending => {
                let patience = self.patience;
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(patience)));
                std::task::ready!(pause.as_mut().poll(cx));
                self.in_use = None;
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
