//! A connection with TLS, whichever dialect asked for it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_tls::{Error, TlsTransport};

use super::MOST;
use crate::plugin::StoreData;
use crate::workload::quoted;

/// What the host functions see of one workload.
pub(super) struct Bound {
    pub(super) config: Arc<ClientConfig>,
    /// How many connections it may still have.
    pub(super) room: Arc<Semaphore>,
}

impl Bound {
    /// That of the workload which a store belongs to.
    pub(super) fn of(data: &StoreData) -> Option<Arc<Self>> {
        data.workload().states.get_arc()
    }
}

/// The right of a workload to one of its connections.
pub(super) struct Place {
    config: Arc<ClientConfig>,
    _room: OwnedSemaphorePermit,
}

impl Place {
    /// # Errors
    /// When the workload has as many connections as it may.
    pub(super) fn take(bound: Option<&Bound>) -> Result<Arc<Self>, Error> {
        let bound = bound.ok_or_else(|| Error::msg("TLS is not set up for this workload"))?;
        let room = Arc::clone(&bound.room).try_acquire_owned();
        let room = room.map_err(|_| {
            Error::msg(format!(
                "the workload has {MOST} connections with TLS, as many as it may: end some of them first"
            ))
        })?;
        Ok(Arc::new(Self {
            config: Arc::clone(&bound.config),
            _room: room,
        }))
    }
}

/// A connection that the server has proved its name for.
pub(super) struct Secured {
    stream: TlsStream<Box<dyn TlsTransport>>,
    _place: Arc<Place>,
}

/// Agrees with the server of that name.
///
/// # Errors
/// When it is no name, the server proves another one or none, or the transport fails.
pub(super) async fn secure(
    place: Arc<Place>,
    name: String,
    transport: Box<dyn TlsTransport>,
) -> Result<Secured, Error> {
    let wrong = |_| Error::msg(format!("{} is no name of a server", quoted(&name)));
    let server = ServerName::try_from(name.clone()).map_err(wrong)?;
    let connector = TlsConnector::from(Arc::clone(&place.config));
    let stream = connector.connect(server, transport).await?;
    Ok(Secured {
        stream,
        _place: place,
    })
}

impl wasmtime_wasi_tls::TlsStream for Secured {}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
