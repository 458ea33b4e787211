//! As much of HTTP/1.1 as the servers of this crate speak themselves.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};

use crate::link::Link;

/// Everything before the body, of a request or an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) line: String,
    /// As they came.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// `None`: there is no further one on this connection.
    pub(crate) fn read(from: &mut BufReader<Link>) -> Option<Self> {
        let line = read_line(from)?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(from)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Some(Self { line, headers })
    }

    /// One word of the first line.
    pub(crate) fn word(&self, place: usize) -> &str {
        self.line.split(' ').nth(place).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers
            .retain(|(it, _)| !it.eq_ignore_ascii_case(name));
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn write(&self, to: &mut Link) -> io::Result<()> {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text += "\r\n";
        to.write_all(text.as_bytes())?;
        to.flush()
    }

    fn chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|it| it.eq_ignore_ascii_case("chunked"))
    }

    fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// How long the body of a request is.
    pub(crate) fn body_of_request(&self) -> Framing {
        match self.length() {
            _ if self.chunked() => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::Length(0),
        }
    }

    /// How long the body of an answer to such a request is.
    pub(crate) fn body_of_answer(&self, method: &str) -> Framing {
        let status = self.word(1);
        if method == "HEAD" || status == "204" || status == "304" {
            return Framing::Length(0);
        }
        match self.length() {
            _ if self.chunked() => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::ToTheEnd,
        }
    }
}

/// The value of a header, whatever the case of its name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    ToTheEnd,
}

/// Reads a body, whatever its framing.
pub(crate) struct Body<'a> {
    from: &'a mut BufReader<Link>,
    framing: Framing,
    /// What is left of it, or of the chunk.
    left: u64,
    begun: bool,
    over: bool,
}

impl<'a> Body<'a> {
    pub(crate) fn new(from: &'a mut BufReader<Link>, framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => length,
            Framing::Chunked => 0,
            Framing::ToTheEnd => u64::MAX,
        };
        Self {
            from,
            framing,
            left,
            begun: false,
            over: false,
        }
    }

    /// Reads the line that a chunk begins with, and after the last one whatever trails.
    fn next_chunk(&mut self) -> io::Result<()> {
        let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
        if self.begun {
            read_line(self.from).ok_or_else(cut)?;
        }
        self.begun = true;
        let line = read_line(self.from).ok_or_else(cut)?;
        let size = line.split(';').next().unwrap_or_default();
        self.left = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        if self.left == 0 {
            self.over = true;
            while !read_line(self.from).ok_or_else(cut)?.is_empty() {}
        }
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.framing == Framing::Chunked && self.left == 0 && !self.over {
            self.next_chunk()?;
        }
        if self.over || self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        let length = self.from.read(&mut into[..most])?;
        if length == 0 && self.framing != Framing::ToTheEnd {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Writes a body, as the head said that it would come.
pub(crate) struct Pieces<'a> {
    to: &'a mut Link,
    chunked: bool,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(to: &'a mut Link, framing: Framing) -> Self {
        let chunked = framing == Framing::Chunked;
        Self { to, chunked }
    }

    pub(crate) fn put(&mut self, piece: &[u8]) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.chunked {
            self.to
                .write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
        }
        self.to.write_all(piece)?;
        if self.chunked {
            self.to.write_all(b"\r\n")?;
        }
        self.to.flush()
    }

    pub(crate) fn end(self) -> io::Result<()> {
        if self.chunked {
            self.to.write_all(b"0\r\n\r\n")?;
        }
        self.to.flush()
    }
}

/// Writes an answer with its body. The connection stays as it is.
pub(crate) fn answer(
    to: &mut Link,
    method: &str,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = Head {
        line: format!("HTTP/1.1 {status} {}", reason(status)),
        headers: headers.to_vec(),
    };
    if head.header("content-length").is_none() && !head.chunked() {
        head.set("Content-Length", &body.len().to_string());
    }
    head.write(to)?;
    let framing = head.body_of_answer(method);
    if method != "HEAD" && framing != Framing::Length(0) {
        let mut pieces = Pieces::new(to, framing);
        pieces.put(body)?;
        pieces.end()?;
    }
    to.flush()
}

/// What is written after a status. Nobody reads it.
fn reason(status: u16) -> &'static str {
    match status {
        200..=299 => "Fine",
        300..=399 => "Elsewhere",
        400..=499 => "Refused",
        _ => "Failed",
    }
}

/// `None`: the connection has ended, or what came is no text.
fn read_line(from: &mut BufReader<Link>) -> Option<String> {
    let mut line = String::new();
    let length = from.by_ref().take(1 << 16).read_line(&mut line).ok()?;
    let line = line.strip_suffix('\n').filter(|_| length > 0)?;
    Some(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
