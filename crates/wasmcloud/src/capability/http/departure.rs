//! Notices clients that go away while a guest leaves their request's body unread, and clients that say nothing from the start.
//!
//! Hyper reads from an HTTP/1 connection only as far as somebody wants the body, so it does not see the end of the stream behind a
//! body that a guest does not read. The operating system does: it says that the other side has closed, whatever is still unread.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Sleep;

/// How often to ask. Only requests with an unread body ask at all.
const INTERVAL: Duration = Duration::from_secs(1);

/// The other side of a connection.
#[derive(Clone)]
pub(super) struct Peer(Arc<OwnedWriteHalf>);

impl Peer {
    /// Completes when the other side has closed its end or the connection broke.
    pub(super) async fn departed(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let stream: &TcpStream = self.0.as_ref().as_ref();
            match stream.ready(Interest::READABLE).now_or_never() {
                Some(Ok(ready)) if ready.is_read_closed() => return,
                Some(Err(_)) => return,
                _ => {}
            }
        }
    }
}

/// How much Hyper reads at most to tell HTTP/2 from HTTP/1, before it minds the time itself: the client's preface of HTTP/2.
const PREFACE: usize = 24;

/// A connection that can be asked for its [`Peer`], and that fails when its first bytes do not come in time.
pub(super) struct Socket {
    read: OwnedReadHalf,
    write: Arc<OwnedWriteHalf>,
    beginning: Option<Beginning>,
}

/// The time in which neither version of HTTP has been agreed on.
struct Beginning {
    read: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> (Self, Peer) {
        let (read, write) = stream.into_split();
        let write = Arc::new(write);
        let peer = Peer(Arc::clone(&write));
        let beginning = Some(Beginning {
            read: 0,
            deadline: Box::pin(tokio::time::sleep(patience)),
        });
        let socket = Self {
            read,
            write,
            beginning,
        };
        (socket, peer)
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream: &TcpStream = self.write.as_ref().as_ref();
        loop {
            match write(&self.write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.read).poll_read(cx, buf);
        let Some(beginning) = &mut self.beginning else {
            return read;
        };
        if read.is_pending() {
            let late = || Err(io::ErrorKind::TimedOut.into());
            return beginning.deadline.as_mut().poll(cx).map(|()| late());
        }
        beginning.read += buf.filled().len() - before;
        if beginning.read >= PREFACE {
            self.beginning = None;
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |half| half.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |half| half.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Dropping both halves closes the connection, and Hyper drops it right after.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair(patience: Duration) -> (TcpStream, Socket, Peer) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (server, _) = listener.accept().await.unwrap();
        let (socket, peer) = Socket::new(server, patience);
        (client.unwrap(), socket, peer)
    }

    #[tokio::test]
    async fn a_connection_that_does_not_begin_in_time_fails() {
        for beginning in ["", "PRI * HTTP/2.0\r\n"] {
            let (mut client, mut socket, _) = pair(Duration::from_millis(20)).await;
            client.write_all(beginning.as_bytes()).await.unwrap();
            let mut read = Vec::new();
            let error = socket.read_to_end(&mut read).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{beginning:?}");
            assert_eq!(read, beginning.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_begun_is_left_alone() {
        let (mut client, mut begun, _) = pair(Duration::from_millis(300)).await;
        let (_client, mut silent, _) = pair(Duration::from_millis(300)).await;
        client.write_all(&[b'x'; PREFACE]).await.unwrap();
        begun.read_exact(&mut [0; PREFACE]).await.unwrap();
        // When the silent one fails, the other would, too.
        silent.read_u8().await.unwrap_err();
        client.write_all(b"y").await.unwrap();
        assert_eq!(begun.read_u8().await.unwrap(), b'y');
    }

    #[tokio::test]
    async fn a_client_that_goes_is_noticed_behind_what_it_sent() {
        let (mut client, _socket, peer) = pair(Duration::MAX).await;
        client.write_all(b"unread").await.unwrap();
        drop(client);
        peer.departed().await;
    }
}
