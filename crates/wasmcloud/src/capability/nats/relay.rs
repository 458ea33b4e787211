//! A relay between the client and its server, within the host. The client dials nothing but TCP and holds whatever a server sends, so
//! it dials the relay, which looks at what the server says, speaks TLS where that has to be, and says who the client is.
//!
//! Anybody on this machine can dial the relay as well. Whoever does not know its secret is turned away, and as long as the client may
//! come again, nobody else can listen in its place.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_nats::ServerAddr;
use bytes::{Buf as _, BytesMut};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::frames::{Frames, INFO, Refused};
use super::greeting::{Info, Login, first_line};
use super::{FIRST_PAUSE, NatsError, PATIENCE};
use crate::capability::listen::Refusals;
use crate::net::dial::{Dial, DialError, NamedBy};

/// How much is moved at once. It is on the stack, and only while it is moved: connections on which nothing happens hold nothing.
const PIECE: usize = 64 << 10;
/// How many may be asked at once whether they are the client.
const ASKED: usize = 16;
/// How long the line may be in which the client says who it is. Its own is a tenth of that.
const CONNECT: usize = 4 << 10;
/// How long what a client has said last may be on its way when the client is gone.
const PARTING: Duration = Duration::from_secs(5);

/// Somebody who wants to know when everything is on its way.
type Asks = oneshot::Sender<()>;

/// Where servers are, and how to speak to them.
pub(super) struct Target {
    pub(super) dial: Dial,
    pub(super) by: NamedBy,
    pub(super) places: Vec<Place>,
    /// Whether it has to be TLS, whatever the server says.
    pub(super) tls: bool,
    pub(super) login: Login,
    /// How long a message may be, with its headers.
    pub(super) largest: usize,
}

/// Where a server is.
pub(super) struct Place {
    /// The name that it has in certificates.
    pub(super) host: String,
    pub(super) at: SocketAddr,
}

/// A server that has said what it is.
struct Server {
    stream: Either<TcpStream, TlsStream<TcpStream>>,
    frames: Frames,
    /// What the client hears first.
    greeting: Vec<u8>,
}

impl Target {
    /// Connects to one of the servers. Each is tried once, in any order, so that clients spread over a cluster.
    async fn connect(&self) -> Result<Server, NatsError> {
        let mut places: Vec<&Place> = self.places.iter().collect();
        fastrand::shuffle(&mut places);
        let mut last = NatsError::Away;
        for place in places {
            match timeout(PATIENCE, self.connect_to(place)).await {
                Ok(Ok(server)) => return Ok(server),
                Ok(Err(error)) => last = error,
                Err(_) => last = NatsError::Away,
            }
        }
        Err(last)
    }

    async fn connect_to(&self, place: &Place) -> Result<Server, NatsError> {
        let (ip, port) = (place.at.ip().to_string(), place.at.port());
        let dialled = self.dial.connect(&ip, port, self.by).await;
        let mut stream = dialled.map_err(|error| match error {
            // Where it is exactly changes, and tells little.
            DialError::Connect { .. } => NatsError::Away,
            error => error.into(),
        })?;
        let (line, rest) = first_line(&mut stream, INFO).await?;
        let info = Info::read(&line)?;
        let stream = match self.tls || info.wants_tls() {
            false => Either::Left(stream),
            true if rest.is_empty() => Either::Right(self.dial.secure(&place.host, stream).await?),
            // Whoever is on the way could have said it.
            true => return Err(Refused::Odd.into()),
        };
        let mut frames = Frames::new(self.largest);
        frames.look(&rest)?;
        let mut greeting = info.for_client(self.largest);
        greeting.extend_from_slice(&rest);
        Ok(Server {
            stream,
            frames,
            greeting,
        })
    }

    async fn connect_again(&self) -> Result<Server, NatsError> {
        sleep(FIRST_PAUSE).await;
        self.connect().await
    }
}

/// The side of a relay that has the client.
pub(super) struct Inside {
    /// Where the client finds it, and the token by which it is known there.
    pub(super) address: ServerAddr,
    pub(super) secret: String,
    refused: Arc<OnceLock<Refused>>,
    asks: mpsc::UnboundedSender<Asks>,
}

impl Inside {
    /// Why it has ended, where that is because of what the server says.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    /// Returns when what the client has sent is on its way to the server, or never will be.
    pub(super) async fn flushed(&self) {
        let (asks, told) = oneshot::channel();
        if self.asks.send(asks).is_ok() {
            let _ = told.await;
        }
    }
}

/// A relay with a server that answers.
pub(super) struct Relay {
    target: Target,
    server: Server,
    door: Door,
    refused: Arc<OnceLock<Refused>>,
    asked: mpsc::UnboundedReceiver<Asks>,
}

impl Relay {
    pub(super) async fn open(target: Target) -> Result<(Self, Inside), NatsError> {
        let server = target.connect().await?;
        let door = Door::open().await.map_err(NatsError::Inside)?;
        let refused = Arc::default();
        let (asks, asked) = mpsc::unbounded_channel();
        let inside = Inside {
            address: door.address().map_err(NatsError::Inside)?,
            secret: door.secret.clone(),
            refused: Arc::clone(&refused),
            asks,
        };
        let relay = Self {
            target,
            server,
            door,
            refused,
            asked,
        };
        Ok((relay, inside))
    }

    /// Serves the client until it is gone: whenever it comes, with a server that answers.
    pub(super) async fn run(self, gone: CancellationToken) {
        let Self {
            target,
            mut server,
            door,
            refused,
            mut asked,
        } = self;
        loop {
            let admitted = gone.run_until_cancelled(door.admit(server, &target.login));
            let Some(mut session) = admitted.await else {
                return;
            };
            let ended = tokio::select! {
                ended = session.run(&mut asked) => ended,
                never = door.turn_all_away() => match never {},
                () = gone.cancelled() => {
                    let _ = timeout(PARTING, session.run(&mut asked)).await;
                    return;
                }
            };
            if let Err(why) = ended {
                // The client must not be quicker to notice than those who ask why.
                let _ = refused.set(why);
                break;
            }
            drop(session);
            match gone.run_until_cancelled(target.connect_again()).await {
                Some(Ok(found)) => server = found,
                Some(Err(NatsError::Refused(why))) => {
                    let _ = refused.set(why);
                    break;
                }
                Some(Err(_)) => break,
                None => return,
            }
        }
        drop(asked);
        // The client tries once more, and is not to find anybody else.
        gone.run_until_cancelled(door.turn_all_away()).await;
    }
}

/// Where the client comes in.
struct Door {
    listener: TcpListener,
    secret: String,
}

impl Door {
    async fn open() -> io::Result<Self> {
        let mut secret = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        let filled = random.fill(&mut secret);
        filled.map_err(|_| io::Error::other("the system has no random bytes"))?;
        Ok(Self {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
            secret: secret.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    fn address(&self) -> io::Result<ServerAddr> {
        format!("nats://{}", self.listener.local_addr()?).parse()
    }

    /// Waits for the client. Others who come keep it from nothing.
    async fn admit(&self, server: Server, login: &Login) -> Session {
        let tls = matches!(server.stream, Either::Right(_));
        let mut refusals = Refusals::of("relay to NATS");
        let mut asked = FuturesUnordered::new();
        let (local, said) = loop {
            tokio::select! {
                accepted = self.listener.accept(), if asked.len() < ASKED => match accepted {
                    Ok((stream, _)) => {
                        let greeted = self.greet(stream, &server.greeting, login, tls);
                        asked.push(timeout(PATIENCE, greeted));
                    }
                    Err(error) => refusals.recover(&error).await,
                },
                Some(answered) = asked.next() => if let Ok(Some(client)) = answered {
                    break client;
                },
            }
        };
        drop(asked);
        Session {
            local,
            server: server.stream,
            frames: server.frames,
            to_server: BytesMut::from(said.as_slice()),
            to_client: BytesMut::new(),
            server_first: false,
        }
    }

    /// The client, and what it has said so far, as the server is to hear it. `None`: it is a stranger.
    async fn greet(
        &self,
        mut stream: TcpStream,
        greeting: &[u8],
        login: &Login,
        tls: bool,
    ) -> Option<(TcpStream, Vec<u8>)> {
        // Small questions must not wait for each other.
        let _ = stream.set_nodelay(true);
        stream.write_all(greeting).await.ok()?;
        let (line, rest) = first_line(&mut stream, CONNECT).await.ok()?;
        let mut said = login.of_client(&line, &self.secret, tls)?;
        said.extend_from_slice(&rest);
        Some((stream, said))
    }

    async fn turn_all_away(&self) -> Infallible {
        let mut refusals = Refusals::of("relay to NATS");
        loop {
            if let Err(error) = self.listener.accept().await {
                refusals.recover(&error).await;
            }
        }
    }
}

/// A client and a server that are connected.
struct Session {
    local: TcpStream,
    server: Either<TcpStream, TlsStream<TcpStream>>,
    frames: Frames,
    /// What was read and is not written yet.
    to_server: BytesMut,
    to_client: BytesMut,
    /// Whether what the server says is moved before what the client does.
    server_first: bool,
}

impl Session {
    /// Moves everything until either side ends, or the server says what is not passed on.
    async fn run(&mut self, asked: &mut mpsc::UnboundedReceiver<Asks>) -> Result<(), Refused> {
        let mut asking = Vec::new();
        poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_both(cx) {
                return Poll::Ready(ended);
            }
            while let Poll::Ready(Some(asks)) = asked.poll_recv(cx) {
                asking.push(asks);
            }
            if !asking.is_empty() && self.is_flushed() {
                for asks in asking.drain(..) {
                    // Whoever wanted to know may be gone.
                    let _ = asks.send(());
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether nothing of what the client has sent is still here. What is comes up by itself.
    fn is_flushed(&self) -> bool {
        let unread = rustix::io::ioctl_fionread(&self.local).unwrap_or(0);
        unread == 0 && self.to_server.is_empty()
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        // Tokio has a task pause after so much. Who comes first takes turns, so that one that goes on and on does not stop the other.
        self.server_first = !self.server_first;
        for of_server in [self.server_first, !self.server_first] {
            let ended = match of_server {
                true => {
                    let look = |bytes: &[u8]| self.frames.look(bytes);
                    let (from, to) = (&mut self.server, &mut self.local);
                    poll_move(cx, from, to, &mut self.to_client, look)
                }
                false => {
                    let (from, to) = (&mut self.local, &mut self.server);
                    poll_move(cx, from, to, &mut self.to_server, |_| Ok(()))
                }
            };
            if ended.is_ready() {
                return ended;
            }
        }
        Poll::Pending
    }
}

/// Moves what there is, and looks at it before. Ready when there is no more, or nobody who takes it: `left` is what was read already.
fn poll_move<R, W>(
    cx: &mut Context<'_>,
    from: &mut R,
    to: &mut W,
    left: &mut BytesMut,
    mut look: impl FnMut(&[u8]) -> Result<(), Refused>,
) -> Poll<Result<(), Refused>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        while !left.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(cx, left)) {
                Ok(0) | Err(_) => return Poll::Ready(Ok(())),
                Ok(written) if written < left.len() => left.advance(written),
                Ok(_) => *left = BytesMut::new(),
            }
        }
        let mut piece = [const { MaybeUninit::<u8>::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        let read = Pin::new(&mut *from).poll_read(cx, &mut piece);
        let bytes = piece.filled();
        match read {
            Poll::Ready(Ok(())) if !bytes.is_empty() => look(bytes)?,
            // TLS may have kept the end of what was written before.
            Poll::Ready(_) => return Pin::new(&mut *to).poll_flush(cx).map(|_| Ok(())),
            Poll::Pending => {
                return match Pin::new(&mut *to).poll_flush(cx) {
                    Poll::Ready(Err(_)) => Poll::Ready(Ok(())),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                };
            }
        }
        match Pin::new(&mut *to).poll_write(cx, bytes) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(())),
            Poll::Ready(Ok(written)) => {
                left.extend_from_slice(bytes.get(written..).unwrap_or_default());
            }
            Poll::Pending => left.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
