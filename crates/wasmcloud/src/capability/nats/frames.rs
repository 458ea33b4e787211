//! Looks at what a NATS server says, so that nothing of it is longer than it may be: the client holds a line until it ends, and a
//! message until it is whole, however long the server goes on.

/// How long a line may be: sixteen times what servers take themselves, unless they are told otherwise.
const LINE: usize = 64 << 10;
/// How long the line may be by which a server says what it is: all others of its cluster are in it.
pub(super) const INFO: usize = 1 << 20;
/// What that line begins with.
pub(super) const SAYS_WHAT_IT_IS: &[u8] = b"INFO ";
/// Lines that nothing follows.
const ALONE: [&[u8]; 4] = [b"+OK", b"PING", b"PONG", SAYS_WHAT_IT_IS];

/// Why the rest of what a server says is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it sends a line of more than {0} bytes")]
    Line(usize),
    #[error("it sends a message of {bytes} bytes, of at most {most}")]
    Message { bytes: usize, most: usize },
    #[error("what it says is not understood")]
    Odd,
}

/// What a server says, as the [protocol](https://docs.nats.io/reference/reference-protocols/nats-protocol) has it.
///
/// Lines and lengths are read as the client reads them: what is one line here must not be half of one there.
pub(super) struct Frames {
    /// How long a message may be, with its headers.
    largest: usize,
    /// What has come of a line whose end has not.
    line: Vec<u8>,
    /// How much of a message is still to come, with the end of its line.
    left: usize,
}

impl Frames {
    pub(super) fn new(largest: usize) -> Self {
        Self {
            largest,
            line: Vec::new(),
            left: 0,
        }
    }

    /// Looks at what has come.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.look_at_line(bytes)?;
                continue;
            }
            let (passed, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= passed.len();
            bytes = rest;
        }
        Ok(())
    }

    /// Looks at a line, or a part of one. Returns what is behind it.
    fn look_at_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refused> {
        let end = match self.line.ends_with(b"\r") && bytes.starts_with(b"\n") {
            true => Some(1),
            false => end_of_line(bytes),
        };
        let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let line = match end {
            // As a rule it has come in one piece.
            Some(_) if self.line.is_empty() => piece,
            _ => {
                self.line.extend_from_slice(piece);
                self.line.as_slice()
            }
        };
        let most = match line.starts_with(SAYS_WHAT_IT_IS) {
            true => INFO,
            false => LINE,
        };
        if line.len() > most {
            return Err(Refused::Line(most));
        }
        if end.is_some() {
            self.left = follows(line, self.largest)?;
            self.line = Vec::new();
        }
        Ok(rest)
    }
}

/// What is behind the first end of a line.
pub(super) fn end_of_line(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some(at + 2)
}

/// How many bytes follow a line before the next one.
fn follows(line: &[u8], largest: usize) -> Result<usize, Refused> {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    if line.starts_with(b"-ERR") {
        // The client takes for granted that there is more in it.
        return (line.len() > 4).then_some(0).ok_or(Refused::Odd);
    }
    if ALONE.iter().any(|alone| line.starts_with(alone)) {
        return Ok(0);
    }
    let bytes = match line.strip_prefix(b"MSG ") {
        Some(words) => plain(words),
        None => line.strip_prefix(b"HMSG ").and_then(with_headers),
    };
    let bytes = bytes.ok_or(Refused::Odd)?;
    match bytes <= largest {
        true => Ok(bytes.saturating_add(2)),
        false => Err(Refused::Message {
            bytes,
            most: largest,
        }),
    }
}

/// How long a message is: `<subject> <sid> [reply-to] <bytes>`.
fn plain(words: &[u8]) -> Option<usize> {
    let words = str::from_utf8(words).ok()?.split(' ');
    let words = words.filter(|word| !word.is_empty());
    let (count, bytes) = words.fold((0, ""), |(count, _), word| (count + 1, word));
    let bytes = bytes.parse().ok()?;
    (3..=4).contains(&count).then_some(bytes)
}

/// The same with headers: `<subject> <sid> [reply-to] <bytes of headers> <bytes of all>`.
fn with_headers(words: &[u8]) -> Option<usize> {
    let words = str::from_utf8(words).ok()?.split_whitespace();
    let last_two = |(count, _, last), word| (count + 1, last, word);
    let (count, headers, all) = words.fold((0, "", ""), last_two);
    let (headers, all) = (headers.parse::<usize>().ok()?, all.parse::<usize>().ok()?);
    ((4..=5).contains(&count) && headers <= all).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: usize = 100_000;

    fn message(length: usize) -> Vec<u8> {
        // What is in a message is never taken for a line.
        let body = b"MSG x 1 99999999\r\n".iter().copied().cycle();
        let body: Vec<u8> = body.take(length).collect();
        let line = format!("MSG a.b 1 {length}\r\n");
        [line.as_bytes(), &body, b"\r\n"].concat()
    }

    fn info(length: usize) -> Vec<u8> {
        format!("INFO {}\r\n", "x".repeat(length - 7)).into_bytes()
    }

    /// What becomes of what is said, the same in one piece, in small ones and byte by byte. Says whether all of it is whole.
    fn told(said: &[u8]) -> Result<bool, Refused> {
        let told = [1, 3, 4096, usize::MAX].map(|size| -> Result<bool, Refused> {
            let mut frames = Frames::new(LARGEST);
            let mut pieces = said.chunks(size);
            pieces.try_for_each(|piece| frames.look(piece))?;
            Ok(frames.left == 0 && frames.line.is_empty())
        });
        assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
        told[0]
    }

    #[test]
    fn what_a_server_may_say_is_whole_where_it_ends() {
        let headers = b"HMSG a 1 _INBOX.x 12 15\r\nNATS/1.0\r\n\r\nabc\r\n";
        let spaces = b"MSG  a  7   reply  3\r\nabc\r\nHMSG\x20a\t1 12 12 \r\nNATS/1.0\r\n\r\n\r\n";
        let said = [
            info(INFO),
            b"PONG\r\n+OK\r\n".to_vec(),
            message(0),
            message(3),
            message(LARGEST),
            headers.to_vec(),
            b"-ERR 'Slow Consumer'\r\nPING\r\n".to_vec(),
            spaces.to_vec(),
            // A line has both at its end; one of them is a part of it.
            b"-ERR '\n\r'\r\n".to_vec(),
            message(2),
        ];
        for whole in &said {
            assert_eq!(told(whole), Ok(true), "{:?}", whole.get(..40));
            let half = &whole[..whole.len() - 1];
            assert_eq!(told(half), Ok(false), "{:?}", whole.get(..40));
        }
        assert_eq!(told(&said.concat()), Ok(true));
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_is_long() {
        for begin in ["", "MSG ", "-ERR ", "INFO", "PING\n"] {
            let line = begin.repeat(LINE).into_bytes();
            let line = [line, vec![b'x'; LINE + 1]].concat();
            assert_eq!(told(&line), Err(Refused::Line(LINE)), "{begin}");
        }
        assert_eq!(told(&info(INFO + 1)), Err(Refused::Line(INFO)));
        assert_eq!(told(&info(INFO)[..INFO - 2]), Ok(false));
    }

    #[test]
    fn a_message_is_refused_by_its_length_before_it_comes() {
        for bytes in [LARGEST + 1, 99_999_999_999, usize::MAX] {
            let too_long = Err(Refused::Message {
                bytes,
                most: LARGEST,
            });
            for line in [
                format!("MSG x 1 {bytes}\r\n"),
                format!("MSG x 1 reply {bytes}\r\n"),
                format!("HMSG x 1 12 {bytes}\r\n"),
                format!("HMSG x 1 {bytes} {bytes}\r\n"),
            ] {
                assert_eq!(told(line.as_bytes()), too_long, "{line}");
            }
        }
    }

    /// Nor what the client would panic on, or read in another way.
    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "\r\n",
            "x\r\n",
            "msg a 1 3\r\n",
            "INFO\r\n",
            "-ERR\r\n",
            "MSG a 1\r\n",
            "MSG a 1 r 3 4\r\n",
            "MSG a 1 -3\r\n",
            "MSG a 1 three\r\n",
            "MSG a 1 99999999999999999999\r\n",
            "HMSG a 1 15\r\n",
            "HMSG a 1 15 12\r\n",
            "HMSG a 1 r s 12 15\r\n",
            "HMSG a 1 -1 15\r\n",
        ] {
            assert_eq!(told(line.as_bytes()), Err(Refused::Odd), "{line:?}");
        }
        assert_eq!(told(b"MSG \xff 1 3\r\n"), Err(Refused::Odd));
    }
}
