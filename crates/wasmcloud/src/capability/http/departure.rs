//! The socket under a connection, and how the server learns at once that the client has gone, also behind bytes that nobody reads.
//!
//! Hyper reads from an HTTP/1 connection only as far as somebody wants what comes, so it does not see the end of the stream behind
//! a body that a guest leaves unread, or behind a request that was sent ahead. The operating system sees it and says so, once: its
//! events tell of changes. Tokio keeps what they said until a read finds nothing, so with unread bytes there is always an event, and
//! nobody can wait for the next. [`Peer::departed`] therefore takes back what Tokio keeps, and the [`Socket`] makes up for it:
//!
//! - Who takes an event back sets `taken` first. Who finds no event looks at `taken` afterwards, and if it is set reads from the
//!   operating system itself. So whatever had come before the event was taken back is found.
//! - By then the reader's waker is registered. What comes later is another event, and wakes it.
//! - The end of the stream is never taken back: Tokio keeps it apart, for good.
//!
//! This holds whichever threads the two run on. A segment that arrives costs one look at the socket, no more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::patience::Activity;

/// How much is read at once without Tokio.
const PIECE: usize = 64 * 1024;

/// The other side of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    write: OwnedWriteHalf,
    /// Somebody took an event back, so there may be bytes that Tokio knows nothing of.
    taken: AtomicBool,
}

impl Shared {
    fn stream(&self) -> &TcpStream {
        self.write.as_ref()
    }
}

impl Peer {
    /// Completes when the other side has closed its end or the connection broke.
    pub(super) async fn departed(self) {
        let stream = self.0.stream();
        while let Ok(ready) = stream.ready(Interest::READABLE).await {
            if ready.is_read_closed() {
                return;
            }
            self.0.taken.store(true, Ordering::Release);
            // An operation that finds nothing makes Tokio forget the event, and only the one that it was told about.
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = stream.try_io(Interest::READABLE, nothing);
        }
    }
}

/// A connection that can be asked for its [`Peer`], and that notes what happens on it.
#[derive(Debug)]
pub(super) struct Socket {
    read: OwnedReadHalf,
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    /// The last write found no room.
    blocked: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> (Self, Peer) {
        let (read, write) = stream.into_split();
        let taken = AtomicBool::new(false);
        let shared = Arc::new(Shared { write, taken });
        let peer = Peer(Arc::clone(&shared));
        let socket = Self {
            read,
            shared,
            activity,
            blocked: false,
        };
        (socket, peer)
    }

    /// Reads what is there although Tokio says that nothing is.
    fn read_taken(&self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let space = buf.initialize_unfilled_to(buf.remaining().min(PIECE));
        let stream = self.shared.stream();
        let read = retry_on_intr(|| recv(stream, &mut *space, RecvFlags::DONTWAIT));
        match read {
            Ok((read, _)) => {
                // There may be more.
                self.shared.taken.store(true, Ordering::Release);
                buf.advance(read);
                Poll::Ready(Ok(()))
            }
            Err(Errno::AGAIN) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&self.shared.write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.note_blocked(true);
                    ready!(self.shared.stream().poll_write_ready(cx))?;
                }
                written => {
                    self.note_blocked(false);
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn note_blocked(&mut self, blocked: bool) {
        if self.blocked != blocked {
            self.blocked = blocked;
            self.activity.write_blocked(blocked);
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
        let mut read = Pin::new(&mut self.read).poll_read(cx, buf);
        if read.is_pending() && self.shared.taken.swap(false, Ordering::AcqRel) {
            read = self.read_taken(buf);
        }
        if let Some(bytes) = buf.filled().get(before..).filter(|_| read.is_ready()) {
            self.activity.received(bytes);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |half| half.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
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
    use std::time::Duration;

    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, Socket, Peer) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (server, _) = listener.accept().await.unwrap();
        let (socket, peer) = Socket::new(server, Activity::new());
        (client.unwrap(), socket, peer)
    }

    async fn within<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), what)
            .await
            .unwrap()
    }

    /// Lets the one who waits for the end take back everything that Tokio keeps so far.
    async fn take(departed: &mut Pin<Box<impl Future<Output = ()>>>, socket: &Socket) {
        within(socket.shared.stream().readable()).await.unwrap();
        assert!(departed.as_mut().now_or_never().is_none());
        assert!(socket.shared.taken.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn a_client_that_goes_is_noticed_behind_what_it_sent() {
        let (mut client, socket, peer) = pair().await;
        let mut departed = Box::pin(peer.departed());
        client.write_all(b"unread").await.unwrap();
        take(&mut departed, &socket).await;
        client.write_all(b"unread").await.unwrap();
        drop(client);
        within(departed).await;
    }

    /// The operating system tells; nobody asks it again and again. Without a clock there would be nothing to ask by.
    #[test]
    fn no_clock_is_needed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut client, socket, peer) = pair().await;
            let mut departed = Box::pin(peer.departed());
            client.write_all(b"unread").await.unwrap();
            socket.shared.stream().readable().await.unwrap();
            assert!(departed.as_mut().now_or_never().is_none());
            drop(client);
            departed.await;
        });
    }

    #[tokio::test]
    async fn a_client_that_went_before_is_noticed() {
        let (mut client, _socket, peer) = pair().await;
        client.write_all(b"unread").await.unwrap();
        drop(client);
        within(peer.departed()).await;
    }

    #[tokio::test]
    async fn a_reset_is_noticed_behind_what_was_sent() {
        let (mut client, socket, peer) = pair().await;
        let mut departed = Box::pin(peer.departed());
        client.write_all(b"unread").await.unwrap();
        take(&mut departed, &socket).await;
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        within(departed).await;
    }

    #[tokio::test]
    async fn what_came_is_read_although_the_event_was_taken_back() {
        let (mut client, mut socket, peer) = pair().await;
        let mut departed = Box::pin(peer.departed());
        client.write_all(b"before").await.unwrap();
        take(&mut departed, &socket).await;
        let mut read = [0; 6];
        within(socket.read_exact(&mut read)).await.unwrap();
        assert_eq!(&read, b"before");
        // And what comes while the reader waits, whoever sees it first.
        let reading = tokio::spawn(async move {
            let mut read = [0; 5];
            socket.read_exact(&mut read).await.unwrap();
            (read, socket)
        });
        let waiting = tokio::spawn(departed);
        tokio::task::yield_now().await;
        client.write_all(b"after").await.unwrap();
        let (read, mut socket) = within(reading).await.unwrap();
        assert_eq!(&read, b"after");
        assert!(!waiting.is_finished());
        drop(client);
        within(waiting).await.unwrap();
        assert_eq!(within(socket.read(&mut [0; 1])).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn more_than_is_read_at_once_stays_there_to_be_read() {
        let (mut client, mut socket, peer) = pair().await;
        let mut departed = Box::pin(peer.departed());
        client.write_all(b"one two").await.unwrap();
        take(&mut departed, &socket).await;
        for part in [b"one", b" tw"] {
            let mut read = [0; 3];
            within(socket.read_exact(&mut read)).await.unwrap();
            assert_eq!(&read, part);
        }
        assert_eq!(within(socket.read_u8()).await.unwrap(), b'o');
    }

    /// Many small pieces, with a reader and somebody who waits for the end on other threads, get across whole and in order.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_lost_between_two_who_look() {
        const PIECES: u32 = 20_000;
        let (mut client, mut socket, peer) = pair().await;
        client.set_nodelay(true).unwrap();
        let waiting = tokio::spawn(peer.departed());
        let reading = tokio::spawn(async move {
            for piece in 0..PIECES {
                assert_eq!(socket.read_u32().await.unwrap(), piece);
            }
            assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
        });
        for piece in 0..PIECES {
            client.write_all(&piece.to_be_bytes()).await.unwrap();
            if piece % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
        drop(client);
        within(reading).await.unwrap();
        within(waiting).await.unwrap();
    }

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Each arrival is looked at once: with bytes unread and nothing new, nobody is woken.
    #[tokio::test]
    async fn unread_bytes_keep_nobody_busy() {
        let (mut client, socket, peer) = pair().await;
        let mut departed = Box::pin(peer.departed());
        client.write_all(b"unread").await.unwrap();
        take(&mut departed, &socket).await;
        let woken = Arc::new(Woken::default());
        let waker = std::task::Waker::from(Arc::clone(&woken));
        for _ in 0..100 {
            let mut cx = Context::from_waker(&waker);
            assert!(departed.as_mut().poll(&mut cx).is_pending());
            tokio::task::yield_now().await;
        }
        // Tokio guesses that a new connection can be read, and is told once more that it can.
        assert!(woken.0.load(Ordering::Acquire) <= 1);
    }
}
