//! One connection from outside: a connection of the network inside, and bytes that go both ways.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::door::Target;
use crate::capability::sockets::network::{Connection, NetError, Network, Reader, Writer};

/// How much is read from outside at once. It is on the stack, and only while it is read: idle connections hold no buffer.
const PIECE: usize = 16 * 1024;
/// How much is taken from the network inside at once.
const MOST: usize = 64 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, target: &Target) {
    // Small messages must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    match &target.tls {
        None => bridge(stream, target, |stream| stream).await,
        Some(tls) => match timeout(target.patience, tls.accept(stream)).await {
            Ok(Ok(stream)) => bridge(stream, target, |stream| stream.into_inner().0).await,
            Ok(Err(error)) => {
                tracing::debug!(workload = %target.id, %error, "a TLS handshake failed");
            }
            Err(_) => {
                tracing::debug!(workload = %target.id, "a TLS handshake took too long");
            }
        },
    }
}

async fn bridge<S>(stream: S, target: &Target, socket: impl FnOnce(S) -> TcpStream)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connecting = timeout(target.patience, connect(&target.network, target.port));
    let inside = match connecting.await {
        Ok(Ok(inside)) => inside,
        Ok(Err(error)) => {
            tracing::debug!(workload = %target.id, port = target.port, %error, "a connection from outside cannot go on");
            return;
        }
        Err(_) => {
            tracing::debug!(workload = %target.id, port = target.port, "nobody accepts a connection from outside");
            return;
        }
    };
    let (mut read, mut write) = tokio::io::split(stream);
    if let Err(Broken::Inside) = both_ways(&mut read, &mut write, inside).await {
        // As it was inside, so it is outside.
        let _ = socket(read.unsplit(write)).set_zero_linger();
    }
}

/// To 127.0.0.1, or else to ::1.
async fn connect(network: &Arc<Network>, port: u16) -> Result<Connection, NetError> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    match network.connect(None, v4).await {
        Err(NetError::Refused) => network.connect(None, v6).await,
        connected => connected,
    }
}

/// Who ended a connection in disorder.
#[derive(Debug)]
enum Broken {
    Outside(io::Error),
    Inside,
}

/// Copies until both directions have ended, or one of them breaks.
async fn both_ways<R, W>(read: &mut R, write: &mut W, inside: Connection) -> Result<(), Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Connection { reader, writer, .. } = inside;
    let ended = tokio::try_join!(inward(read, writer), outward(reader, write));
    if let Err(Broken::Outside(error)) = &ended {
        tracing::debug!(%error, "a connection from outside broke");
    }
    ended.map(|_| ())
}

/// What comes from outside goes in. It ends with the outside, or when nobody inside reads any more.
async fn inward<R: AsyncRead + Unpin>(read: &mut R, mut writer: Writer) -> Result<(), Broken> {
    let mut left = Vec::new();
    loop {
        match poll_fn(|cx| poll_inward(cx, read, &mut writer, &mut left)).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                writer.reset();
                return Err(Broken::Outside(error));
            }
        }
    }
}

/// Moves a piece; 0: the end.
fn poll_inward<R: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    read: &mut R,
    writer: &mut Writer,
    left: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    while !left.is_empty() {
        match ready!(writer.poll_write_from(cx, left)) {
            Ok(written) => drop(left.drain(..written)),
            Err(_) => return Poll::Ready(Ok(0)),
        }
        if left.is_empty() {
            *left = Vec::new();
        }
    }
    let Ok(room) = ready!(writer.poll_writable(cx)) else {
        return Poll::Ready(Ok(0));
    };
    let mut piece = [const { MaybeUninit::uninit() }; PIECE];
    let mut piece = ReadBuf::uninit(piece.get_mut(..room.min(PIECE)).unwrap_or_default());
    match Pin::new(read).poll_read(cx, &mut piece) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        Poll::Pending => return writer.poll_closed(cx).map(|()| Ok(0)),
    }
    let bytes = piece.filled();
    let written = match writer.poll_write_from(cx, bytes) {
        Poll::Ready(Ok(written)) => written,
        Poll::Ready(Err(_)) => return Poll::Ready(Ok(0)),
        // Other connections have taken the room that all share.
        Poll::Pending => 0,
    };
    left.extend_from_slice(bytes.get(written..).unwrap_or_default());
    Poll::Ready(Ok(bytes.len()))
}

/// What comes from inside goes out.
async fn outward<W: AsyncWrite + Unpin>(mut reader: Reader, write: &mut W) -> Result<(), Broken> {
    loop {
        let bytes = poll_fn(|cx| reader.poll_read(cx, MOST)).await;
        let bytes = bytes.map_err(|_| Broken::Inside)?;
        let written = if bytes.is_empty() {
            write.shutdown().await
        } else {
            match write.write_all(&bytes).await {
                Ok(()) => write.flush().await,
                Err(error) => Err(error),
            }
        };
        written.map_err(Broken::Outside)?;
        if bytes.is_empty() {
            return Ok(());
        }
    }
}
