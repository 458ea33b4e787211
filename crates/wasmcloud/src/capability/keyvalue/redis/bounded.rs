//! Looks at what passes to and from a server, so that no reply is longer than what was asked for: the client holds a reply until it is
//! whole, however long the server goes on.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use redis::RedisError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::STEP;
use crate::capability::keyvalue::KeyValueOptions;

/// What any reply may weigh: a number, a word, an error, or a few of them.
const SMALL: usize = 16 << 10;
/// What a server may say of itself when it is greeted.
const GREETING: usize = 64 << 10;
/// What each value of an array takes besides its bytes.
const EACH: usize = 128;
/// How many times as many keys as it is asked for a server may list at once: it takes that number for a hint.
const PAGES: usize = 4;
/// How deep arrays may be in each other. The client reads no deeper ones.
const DEEPEST: usize = 100;
/// How much of the name of a command is looked at, with the end of its line.
const NAME: usize = 16;

/// Why the rest of what a server says is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the server answers with more than was asked for")]
    TooLong,
    #[error("what the server answers is not understood")]
    Odd,
}

impl Refused {
    /// Whether this is why a command failed.
    pub(super) fn of(error: &RedisError) -> Option<Self> {
        let source = std::error::Error::source(error)?;
        let shared = source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
        let of_stream = shared.downcast_ref::<io::Error>()?;
        of_stream.get_ref()?.downcast_ref().copied()
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        // By this kind, the client knows that there is nothing more to come.
        Self::new(io::ErrorKind::ConnectionAborted, refused)
    }
}

/// How long keys and values may be: replies are as long as these are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    key: usize,
    value: usize,
}

impl Sizes {
    pub(super) fn of(options: &KeyValueOptions) -> Self {
        Self {
            key: options.key_bytes,
            value: options.value_bytes,
        }
    }

    /// What the reply to a command may weigh.
    fn of_reply(self, command: &Values) -> usize {
        let more = match command.name.trim_ascii_end() {
            b"GET" | b"EVAL" | b"EVALSHA" => self.value,
            b"MGET" => each(command.count.saturating_sub(1), self.value),
            b"SCAN" => each(PAGES * STEP, self.key),
            b"HELLO" => GREETING,
            _ => 0,
        };
        more.saturating_add(SMALL)
    }
}

/// What so many values weigh that have at most so many bytes.
fn each(count: usize, bytes: usize) -> usize {
    count.saturating_mul(bytes.saturating_add(EACH))
}

/// A connection on which no reply is longer than what was asked for. A reply that would be is an error as soon as that is known.
pub(super) struct Bounded<S> {
    inner: S,
    sizes: Sizes,
    commands: Values,
    replies: Values,
    /// What the replies may weigh that are still to come, in their order.
    allowed: VecDeque<usize>,
    /// How many replies came before anything was asked: the client takes them for those to the next commands.
    early: usize,
    /// How many bytes of what came last are whole replies.
    whole: usize,
    /// Why nothing more is read.
    refused: Option<Refused>,
}

impl<S> Bounded<S> {
    pub(super) fn new(inner: S, sizes: Sizes) -> Self {
        Self {
            inner,
            sizes,
            commands: Values::default(),
            replies: Values::default(),
            allowed: VecDeque::new(),
            early: 0,
            whole: 0,
            refused: None,
        }
    }

    /// Looks at what is asked.
    fn ask(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while !bytes.is_empty() {
            let (ended, rest) = self.commands.read(bytes, usize::MAX)?;
            bytes = rest;
            match (ended, self.early) {
                (false, _) => {}
                (true, 0) => self.allowed.push_back(self.sizes.of_reply(&self.commands)),
                (true, early) => self.early = early - 1,
            }
        }
        Ok(())
    }

    /// Looks at what is answered.
    fn answer(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut left = bytes;
        self.whole = 0;
        while !left.is_empty() {
            let most = self.allowed.front().copied().unwrap_or(SMALL);
            let (ended, rest) = self.replies.read(left, most)?;
            left = rest;
            if ended {
                self.whole = bytes.len() - left.len();
                if self.allowed.pop_front().is_none() {
                    self.early += 1;
                }
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(refused) = this.refused {
            return Poll::Ready(Err(refused.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        let Err(refused) = this.answer(came) else {
            return Poll::Ready(Ok(()));
        };
        this.refused = Some(refused);
        if this.whole == 0 {
            return Poll::Ready(Err(refused.into()));
        }
        // The client takes an error for the reply to its oldest command: those that have one get it first.
        buf.set_filled(before + this.whole);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        let asked = this.ask(buf.get(..written).unwrap_or(buf));
        Poll::Ready(asked.map(|()| written).map_err(io::Error::from))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Values one after the other, as [RESP](https://redis.io/docs/latest/develop/reference/protocol-spec/) has them: each may have others
/// in it.
#[derive(Default)]
struct Values {
    /// What was read of the line that a value begins with.
    line: Vec<u8>,
    /// How much is still to come of the bytes of a value, with the end of their line.
    left: usize,
    /// How many values are still to come in each array that is open, the innermost last.
    open: Vec<usize>,
    /// What the value weighs as far as is known.
    weight: usize,
    /// How many values it has in it; of a command, its name and its arguments.
    count: usize,
    /// What the first of them is that has bytes; of a command, its name.
    name: Vec<u8>,
    is_named: bool,
}

/// What follows the line that a value begins with.
enum Follows {
    Nothing,
    Bytes(usize),
    Values(usize),
}

impl Follows {
    /// `None`: no value begins like this.
    fn of(line: &[u8]) -> Option<Self> {
        let (kind, rest) = line.split_first()?;
        let length = || {
            let text = std::str::from_utf8(rest).ok()?;
            text.trim().parse::<i64>().ok()
        };
        let some = |length: i64| usize::try_from(length).ok();
        Some(match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Self::Nothing,
            b'$' => some(length()?).map_or(Self::Nothing, Self::Bytes),
            b'!' | b'=' => Self::Bytes(some(length()?)?),
            b'*' | b'~' | b'>' => some(length()?).map_or(Self::Nothing, Self::Values),
            b'%' => Self::Values(some(length()?)?.checked_mul(2)?),
            // Behind the attributes comes what they belong to.
            b'|' => Self::Values(some(length()?)?.checked_mul(2)?.checked_add(1)?),
            _ => return None,
        })
    }
}

impl Values {
    /// Reads on, to the end of a value that stands alone at most. Says whether that was reached, and what is left.
    fn read<'a>(&mut self, bytes: &'a [u8], most: usize) -> Result<(bool, &'a [u8]), Refused> {
        if self.left == 0 {
            return self.read_line(bytes, most);
        }
        let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
        self.left -= body.len();
        if !self.is_named {
            let room = NAME.saturating_sub(self.name.len());
            self.name
                .extend_from_slice(body.get(..room).unwrap_or(body));
            self.is_named = self.left == 0;
        }
        Ok((self.left == 0 && self.ends(), rest))
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8], most: usize) -> Result<(bool, &'a [u8]), Refused> {
        let stands_alone = self.open.is_empty();
        if stands_alone && self.line.is_empty() {
            self.begin();
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.add(line.len(), most)?;
        self.line.extend_from_slice(line);
        if !self.line.ends_with(b"\r\n") {
            return Ok((false, rest));
        }
        // What nobody asks for is pushed, and nobody here asks for that.
        let is_pushed = stands_alone && self.line.starts_with(b">");
        let follows = Follows::of(&self.line).filter(|_| !is_pushed);
        self.line.clear();
        let ended = match follows.ok_or(Refused::Odd)? {
            Follows::Nothing | Follows::Values(0) => self.ends(),
            Follows::Bytes(length) => {
                self.add(length, most)?;
                self.left = length.saturating_add(2);
                false
            }
            Follows::Values(count) => {
                self.add(count.saturating_mul(EACH), most)?;
                self.open(count)?;
                false
            }
        };
        Ok((ended, rest))
    }

    fn begin(&mut self) {
        self.weight = 0;
        self.count = 0;
        self.name.clear();
        self.is_named = false;
    }

    fn add(&mut self, bytes: usize, most: usize) -> Result<(), Refused> {
        self.weight = self.weight.saturating_add(bytes);
        match self.weight <= most {
            true => Ok(()),
            false => Err(Refused::TooLong),
        }
    }

    fn open(&mut self, count: usize) -> Result<(), Refused> {
        match self.open.len() {
            0 => self.count = count,
            DEEPEST.. => return Err(Refused::Odd),
            _ => {}
        }
        self.open.push(count);
        Ok(())
    }

    /// A value has ended. Says whether it stands alone.
    fn ends(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const VALUE: usize = 100_000;

    fn connection() -> Bounded<()> {
        let sizes = Sizes {
            key: 100,
            value: VALUE,
        };
        Bounded::new((), sizes)
    }

    fn command(words: &[&[u8]]) -> Vec<u8> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).into_bytes());
            command.extend([*word, b"\r\n"].concat());
        }
        command
    }

    fn value(length: usize) -> Vec<u8> {
        [
            format!("${length}\r\n").as_bytes(),
            &vec![b'\n'; length][..],
            b"\r\n",
        ]
        .concat()
    }

    /// What becomes of replies to commands, the same in one piece, in small ones and byte by byte.
    fn told(commands: &[&[&[u8]]], replies: &[Vec<u8>]) -> Result<(), Refused> {
        let commands: Vec<u8> = commands.iter().flat_map(|words| command(words)).collect();
        let replies = replies.concat();
        let told = [1, 3, 4096, usize::MAX].map(|size| {
            let mut connection = connection();
            for piece in commands.chunks(size) {
                connection.ask(piece).unwrap();
            }
            let mut pieces = replies.chunks(size);
            let told = pieces.try_for_each(|piece| connection.answer(piece));
            let all_came = connection.allowed.is_empty() && connection.early == 0;
            assert!(told.is_err() || all_came);
            told
        });
        assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
        told[0]
    }

    #[test]
    fn replies_are_as_long_as_what_was_asked_for() {
        let large = vec![0; 1 << 20];
        let commands: [&[&[u8]]; 8] = [
            &[b"CLIENT", b"SETINFO", b"LIB-NAME", b"x"],
            &[b"SET", b"GET", &large],
            &[b"GET", b"k"],
            &[b"MGET", b"a", b"b", b"c"],
            &[b"EVALSHA", b"f", b"1", b"k"],
            &[b"SCAN", b"0", b"COUNT", b"1000"],
            &[b"GET", b"k"],
            &[b"INCRBY", b"n", b"1"],
        ];
        let (whole, key) = (value(VALUE), value(100));
        let keys = [b"*2\r\n$1\r\n7\r\n*2000\r\n".to_vec(), key.repeat(2000)].concat();
        let replies = [
            b"+OK\r\n".to_vec(),
            b"+OK\r\n".to_vec(),
            whole.clone(),
            [b"*3\r\n", &whole[..], b"$-1\r\n", &whole[..]].concat(),
            [b"*2\r\n", &whole[..], &value(40)[..]].concat(),
            keys,
            b"-NOPERM no\r\n".to_vec(),
            b":7\r\n".to_vec(),
        ];
        assert_eq!(told(&commands, &replies), Ok(()));
    }

    #[test]
    fn a_reply_that_is_longer_than_what_was_asked_for_is_refused() {
        let get: [&[&[u8]]; 1] = [&[b"GET", b"k"]];
        let set: [&[&[u8]]; 1] = [&[b"SET", b"k", b"v"]];
        let numbers = [b"*100000\r\n".to_vec(), b":1\r\n".repeat(1000)].concat();
        let deep = [b"*1\r\n$100000\r\n".to_vec(), vec![b'x'; 100_000]].concat();
        for reply in [
            b"$99999999999\r\n".to_vec(),
            b"$9223372036854775807\r\n".to_vec(),
            b"=99999999999\r\n".to_vec(),
            b"*9223372036854775807\r\n".to_vec(),
            b"%99999999\r\n".to_vec(),
            [b"+".to_vec(), vec![b'x'; 200_000]].concat(),
            numbers,
        ] {
            assert_eq!(
                told(&get, std::slice::from_ref(&reply)),
                Err(Refused::TooLong)
            );
            assert_eq!(told(&[], &[reply]), Err(Refused::TooLong));
        }
        // Long enough for another command.
        assert_eq!(told(&set, &[deep]), Err(Refused::TooLong));
        assert_eq!(told(&set, &[value(VALUE)]), Err(Refused::TooLong));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let get: [&[&[u8]]; 1] = [&[b"GET", b"k"]];
        for reply in [
            b"x\r\n".to_vec(),
            b"\r\n".to_vec(),
            b"$x\r\n".to_vec(),
            b"!-1\r\n".to_vec(),
            b"%-1\r\n".to_vec(),
            b">2\r\n+invalidate\r\n*0\r\n".to_vec(),
            b"*1\r\n".repeat(DEEPEST + 1),
        ] {
            let told = told(&get, std::slice::from_ref(&reply));
            assert_eq!(told, Err(Refused::Odd), "{reply:?}");
        }
    }

    /// The client is told of the error in the place of the reply that it is about.
    #[tokio::test]
    async fn replies_before_one_that_is_refused_are_read() {
        let good = value(VALUE / 2);
        let came = [&good[..], &good, b"$99999999999\r\nx"].concat();
        let sizes = connection().sizes;
        let mut connection = Bounded::new(&came[..], sizes);
        connection.ask(&command(&[b"GET", b"k"]).repeat(4)).unwrap();
        let mut read = vec![0; came.len()];
        let length = connection.read(&mut read).await.unwrap();
        assert!(read[..length] == [&good[..], &good].concat());
        for _ in 0..2 {
            let refused = connection.read(&mut read).await.unwrap_err();
            assert_eq!(refused.to_string(), Refused::TooLong.to_string());
        }
    }

    /// As the client does, which takes the oldest reply for that to the oldest command.
    #[test]
    fn a_reply_that_came_too_early_counts_for_the_next_command() {
        let mut connection = connection();
        connection
            .answer(b"-ERR max number of clients\r\n")
            .unwrap();
        connection.ask(&command(&[b"GET", b"k"])).unwrap();
        assert!(connection.allowed.is_empty());
        connection.ask(&command(&[b"GET", b"k"])).unwrap();
        connection.answer(&value(VALUE)).unwrap();
        let none = connection.answer(&value(VALUE));
        assert_eq!(none, Err(Refused::TooLong));
    }
}
