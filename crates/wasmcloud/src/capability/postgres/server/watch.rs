//! Looks at what a server sends, on its way to the client: whether a transaction is open, whether the session is changed, and whether
//! it is more than is taken: a message that is too long, or many that the client keeps. One that is merely long is read when there is
//! room for it. The client tells none of it.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::long_rows::Coming;
use crate::capability::in_flight::Permit;

/// How much of a message is looked at: the longest name of a command is shorter.
const LOOKED_AT: usize = 32;
/// How many bytes the parameters may have that a server tells, with what it takes to keep each: the client keeps them all, by name.
const PARAMETERS: usize = 64 << 10;
const EACH_PARAMETER: usize = 128;
/// How many questions a server may answer before the client is content. It asks for every type that it does not know, for those that
/// this one is made of, and so on, as deep as the server says.
const ANSWERS: usize = 256;

/// What was seen of a connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `I`, `T` or `E`, as the server says it: no transaction, one, or one that has failed.
    transaction: AtomicU8,
    session: AtomicBool,
    statements: AtomicBool,
    copy: AtomicBool,
    too_long: AtomicUsize,
    /// How many bytes may be heard for now; 0: any number.
    most: AtomicUsize,
    heard: AtomicUsize,
    answers: AtomicUsize,
    too_much: AtomicBool,
    /// The room of its long messages, for as long as anybody has something of it.
    room: Mutex<Vec<Permit>>,
    crowded: AtomicBool,
}

/// What was heard while that was limited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) bytes: usize,
    /// How many questions were answered.
    pub(super) answers: usize,
}

impl Seen {
    /// From now on, the server may say so many bytes: the client keeps what it hears until it is content.
    pub(super) fn limit(&self, bytes: usize) {
        self.heard.store(0, Ordering::Release);
        self.answers.store(0, Ordering::Release);
        self.most.store(bytes, Ordering::Release);
    }

    /// From now on, it may say as much as it likes.
    pub(super) fn unlimit(&self) -> Heard {
        self.most.store(0, Ordering::Release);
        Heard {
            bytes: self.heard.load(Ordering::Acquire),
            answers: self.answers.load(Ordering::Acquire),
        }
    }

    /// Whether the server has said more than is taken.
    pub(super) fn said_too_much(&self) -> bool {
        self.too_much.load(Ordering::Acquire)
    }

    fn is_limited(&self) -> bool {
        self.most.load(Ordering::Acquire) > 0
    }

    /// A message begins.
    fn hear(&self, bytes: usize) {
        let most = self.most.load(Ordering::Acquire);
        if most > 0 {
            let before = self.heard.fetch_add(bytes, Ordering::AcqRel);
            self.note(before.saturating_add(bytes) > most);
        }
    }

    /// A question is answered.
    fn answered(&self) {
        if self.is_limited() {
            let before = self.answers.fetch_add(1, Ordering::AcqRel);
            self.note(before >= ANSWERS);
        }
    }

    fn note(&self, too_much: bool) {
        if too_much {
            self.too_much.store(true, Ordering::Release);
        }
    }

    /// Whether a transaction is open.
    pub(super) fn in_transaction(&self) -> bool {
        matches!(self.transaction.load(Ordering::Acquire), b'T' | b'E')
    }

    /// Whether a command has, or may have, changed the session. It is forgotten with the question.
    pub(super) fn take_session_changed(&self) -> bool {
        self.session.swap(false, Ordering::AcqRel)
    }

    /// Whether a command has changed which statements are prepared: the client is wrong about them from then on.
    pub(super) fn statements_changed(&self) -> bool {
        self.statements.load(Ordering::Acquire)
    }

    /// Whether the server wanted to copy something to or from the client.
    pub(super) fn wanted_copy(&self) -> bool {
        self.copy.load(Ordering::Acquire)
    }

    fn room(&self) -> MutexGuard<'_, Vec<Permit>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether long messages came: what the client has read them into stays as large.
    pub(super) fn was_long(&self) -> bool {
        !self.room().is_empty()
    }

    /// Whether there was no room for a long message, because others had it for too long.
    pub(super) fn was_crowded(&self) -> bool {
        self.crowded.load(Ordering::Acquire)
    }

    /// The length of a message that was too long.
    pub(super) fn too_long(&self) -> Option<usize> {
        Some(self.too_long.load(Ordering::Acquire)).filter(|length| *length > 0)
    }

    fn message(&self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (b'Z', [state, ..]) => {
                self.transaction.store(*state, Ordering::Release);
                self.answered();
            }
            (b'C', body) => self.command(body),
            (b'G' | b'H' | b'W', _) => self.copy.store(true, Ordering::Release),
            _ => {}
        }
    }

    /// What a command was, as the server calls it.
    fn command(&self, tag: &[u8]) {
        let tag = tag.split(|byte| *byte == 0).next().unwrap_or_default();
        let first = tag.split(|byte| *byte == b' ').next().unwrap_or_default();
        match first {
            b"SELECT" | b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE" | b"BEGIN" | b"COMMIT"
            | b"ROLLBACK" | b"EXPLAIN" | b"FETCH" => {}
            b"PREPARE" | b"DEALLOCATE" => self.statements.store(true, Ordering::Release),
            _ if tag == b"DISCARD ALL" => self.statements.store(true, Ordering::Release),
            _ => self.session.store(true, Ordering::Release),
        }
    }
}

/// What the client keeps of what a server tells of its settings.
#[derive(Default)]
struct Parameters {
    by_name: HashMap<Vec<u8>, usize>,
    bytes: usize,
}

impl Parameters {
    /// A parameter is told, for the first time or anew. Says whether that is too much.
    fn tell(&mut self, body: &[u8]) -> bool {
        let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
        let bytes = body.len() + EACH_PARAMETER;
        let before = self.by_name.insert(name.to_vec(), bytes);
        self.bytes = (self.bytes + bytes).saturating_sub(before.unwrap_or_default());
        self.bytes > PARAMETERS
    }
}

/// A connection that is looked at, or one that is not yet, as it will be inside TLS.
pub(super) struct Watched<S> {
    inner: S,
    seen: Option<Arc<Seen>>,
    longest: usize,
    coming: Option<Coming>,
    head: Vec<u8>,
    /// How much of the message is still to come.
    left: usize,
    parameters: Parameters,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, seen: Arc<Seen>, longest: usize, coming: Coming) -> Self {
        Self {
            seen: Some(seen),
            longest,
            coming: Some(coming),
            ..Self::not(inner)
        }
    }

    pub(super) fn not(inner: S) -> Self {
        Self {
            inner,
            seen: None,
            longest: 0,
            coming: None,
            head: Vec::new(),
            left: 0,
            parameters: Parameters::default(),
        }
    }

    /// Waits until there is room for what is read next.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Some(coming), Some(seen)) = (&mut self.coming, &self.seen) else {
            return Poll::Ready(Ok(()));
        };
        Poll::Ready(match ready!(coming.poll(cx)) {
            Ok(room) => {
                seen.room().extend(room);
                Ok(())
            }
            Err(error) => {
                seen.crowded.store(true, Ordering::Release);
                Err(error)
            }
        })
    }

    /// Looks at what came.
    fn look(&mut self, mut came: &[u8]) -> io::Result<()> {
        let Some(seen) = self.seen.clone() else {
            return Ok(());
        };
        while !came.is_empty() {
            if self.left == 0 {
                let wanted = 5_usize.saturating_sub(self.head.len());
                let (first, rest) = came.split_at(wanted.min(came.len()));
                self.head.extend_from_slice(first);
                came = rest;
                let Some(&[kind, a, b, c, d]) = self.head.get(..5) else {
                    return Ok(());
                };
                let length = u32::from_be_bytes([a, b, c, d]).saturating_sub(4);
                self.left = usize::try_from(length).unwrap_or(usize::MAX);
                if self.left > self.longest {
                    seen.too_long.store(self.left, Ordering::Release);
                    return Err(io::Error::from(io::ErrorKind::InvalidData));
                }
                seen.hear(self.left.saturating_add(5));
                seen.note(kind == b'S' && self.left > PARAMETERS);
                enough(&seen)?;
                if let Some(coming) = &mut self.coming {
                    coming.begins(self.left);
                }
            }
            let (body, rest) = came.split_at(self.left.min(came.len()));
            let looked_at = match self.head.first() {
                Some(b'S') => PARAMETERS,
                _ => LOOKED_AT,
            };
            let room = (looked_at + 5).saturating_sub(self.head.len());
            self.head
                .extend_from_slice(body.get(..room).unwrap_or(body));
            self.left -= body.len();
            came = rest;
            if self.left == 0 {
                if let [kind, _, _, _, _, body @ ..] = self.head.as_slice() {
                    seen.message(*kind, body);
                    if *kind == b'S' {
                        seen.note(self.parameters.tell(body));
                    }
                }
                self.head.clear();
                enough(&seen)?;
            }
        }
        Ok(())
    }
}

fn enough(seen: &Seen) -> io::Result<()> {
    match seen.said_too_much() {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it says more than this host takes",
        )),
        false => Ok(()),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_room(cx))?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(this.look(came))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::time::Duration;

    use futures::FutureExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::super::long_rows::LongRows;
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    /// The same whether it comes in one piece or byte by byte.
    fn seen(messages: &[Vec<u8>]) -> Arc<Seen> {
        seen_by(Seen::default, 100, messages)
    }

    fn seen_by(seen: impl Fn() -> Seen, longest: usize, messages: &[Vec<u8>]) -> Arc<Seen> {
        let all = messages.concat();
        let seen: Vec<Arc<Seen>> = [1, 3, all.len()]
            .into_iter()
            .map(|size| {
                let coming = LongRows::of(0, 0).coming(Duration::ZERO);
                let mut watched = Watched::new((), Arc::new(seen()), longest, coming);
                // Whoever reads gives up with the first error.
                let _ = all.chunks(size).try_for_each(|piece| watched.look(piece));
                watched.seen.unwrap()
            })
            .collect();
        let told: Vec<String> = seen.iter().map(|seen| format!("{seen:?}")).collect();
        assert!(told.iter().all(|other| other == &told[0]), "{told:?}");
        Arc::clone(&seen[0])
    }

    #[test]
    fn what_a_session_went_through_is_seen() {
        let clean = seen(&[
            message(b'D', &[0; 90]),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ]);
        assert!(!clean.in_transaction() && !clean.take_session_changed());
        assert!(!clean.statements_changed() && clean.too_long().is_none());
        let open = seen(&[message(b'C', b"BEGIN\0"), message(b'Z', b"T")]);
        assert!(open.in_transaction() && !open.take_session_changed());
        let set = seen(&[message(b'C', b"SET\0"), message(b'Z', b"I")]);
        assert!(set.take_session_changed() && !set.take_session_changed());
        assert!(seen(&[message(b'C', b"CREATE TABLE\0")]).take_session_changed());
        for spoils in [&b"DEALLOCATE ALL\0"[..], b"PREPARE\0", b"DISCARD ALL\0"] {
            assert!(seen(&[message(b'C', spoils)]).statements_changed());
        }
        assert!(!seen(&[message(b'C', b"DISCARD TEMP\0")]).statements_changed());
        assert!(seen(&[message(b'G', &[0, 0, 0])]).wanted_copy());
        let long = seen(&[message(b'D', &[0; 101]), message(b'Z', b"T")]);
        assert_eq!(long.too_long(), Some(101));
        assert!(!long.in_transaction(), "nothing is read on");
    }

    /// Settings may change as often as they like, but there must not be more and more of them.
    #[test]
    fn a_server_cannot_tell_more_and_more_parameters() {
        let told = |name: usize, value: usize| {
            message(b'S', format!("p{name}\0{}\0", "v".repeat(value)).as_bytes())
        };
        let same: Vec<_> = (0..2000).map(|n| told(n % 20, 50)).collect();
        assert!(!seen_by(Seen::default, 1 << 20, &same).said_too_much());
        let others: Vec<_> = (0..2000).map(|n| told(n, 0)).collect();
        assert!(seen_by(Seen::default, 1 << 20, &others).said_too_much());
        let longer: Vec<_> = (0..20).map(|n| told(n, 5000)).collect();
        assert!(seen_by(Seen::default, 1 << 20, &longer).said_too_much());
        let long = [told(0, PARAMETERS)];
        assert!(seen_by(Seen::default, 1 << 20, &long).said_too_much());
    }

    #[test]
    fn what_the_client_keeps_until_it_is_content_has_an_end() {
        let limited = || {
            let seen = Seen::default();
            seen.limit(10_000);
            seen
        };
        let some = [message(b'T', &[0; 9000]), message(b'Z', b"I")];
        let seen = seen_by(limited, 1 << 20, &some);
        assert!(!seen.said_too_much());
        let heard = seen.unlimit();
        assert_eq!((heard.bytes, heard.answers), (9000 + 5 + 6, 1));
        seen.hear(1 << 20);
        assert!(!seen.said_too_much(), "nobody waits for it any more");
        for much in [
            vec![message(b'D', &[0; 10_000])],
            vec![message(b'N', &[0; 10]); 1000],
            vec![message(b'Z', b"I"); ANSWERS + 1],
        ] {
            assert!(seen_by(limited, 1 << 20, &much).said_too_much());
        }
        let answers = vec![message(b'Z', b"I"); ANSWERS];
        assert!(!seen_by(limited, 1 << 20, &answers).said_too_much());
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_long_message_is_read_when_there_is_room_for_it() {
        let rows = LongRows::of(8 << 20, 0);
        let long = message(b'D', &vec![0; 2 << 20]);
        let watched = || {
            let seen = Arc::new(Seen::default());
            let coming = rows.coming(Duration::from_secs(5));
            let watched = Watched::new(&long[..], Arc::clone(&seen), 16 << 20, coming);
            (watched, seen)
        };
        let (mut all, mut some) = (Vec::new(), vec![0; 1 << 16]);
        let (mut one, of_one) = watched();
        one.read_to_end(&mut all).await.unwrap();
        assert!(all == long && of_one.was_long());
        let (mut two, of_two) = watched();
        two.read_exact(&mut some).await.unwrap();
        let late = two.read(&mut some).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(of_two.was_crowded() && !of_two.was_long());
        let (mut three, _of_three) = watched();
        three.read_exact(&mut some).await.unwrap();
        // The connection is gone, and somebody still has what came over it.
        drop(one);
        assert!(three.read(&mut some).now_or_never().is_none());
        drop(of_one);
        three.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len() + some.len(), 2 * long.len());
    }
}
