//! How a faulty registry passes requests and answers on.

use std::io::{self, BufReader, Read as _, Write as _};
use std::ops::ControlFlow;

use super::rules::{self, Answer, Fault};
use super::{Request, Shared};
use crate::link::Link;
use crate::wire::{self, Body, Framing, Head, Pieces};

/// How an answer went.
enum Ended {
    /// The connection may be used again.
    Whole,
    /// The client is told of the end.
    Close,
    /// The client is told of an error.
    Reset,
}

/// How much an endless body is at most: more than any client may take.
const ENDLESS: u64 = 16 << 30;
const PIECE: usize = 16 << 10;

/// One request while it is answered.
struct Passing<'a> {
    shared: &'a Shared,
    number: usize,
    head: Head,
    fault: Fault,
}

impl Shared {
    /// Answers all requests of a connection.
    pub(super) fn serve(&self, mut link: BufReader<Link>) {
        while let Some(head) = Head::read(&mut link) {
            let passing = self.begin(head);
            let number = passing.number;
            // Whoever cannot be written to has gone.
            let ended = passing.answer(&mut link).unwrap_or(Ended::Reset);
            // Before anybody is told: who sees the end may ask at once how it was.
            self.note(number, |request| request.over = true);
            match ended {
                Ended::Whole => {}
                Ended::Close => return link.get_mut().close(),
                Ended::Reset => return link.get_ref().break_off(),
            }
        }
    }

    fn begin(&self, head: Head) -> Passing<'_> {
        let (method, path) = (head.word(0).to_owned(), head.word(1).to_owned());
        let mut state = self.lock();
        let fault = rules::fault(&mut state.rules, &method, &path);
        let number = state.requests.len();
        state.requests.push(Request {
            method,
            path,
            headers: head.headers.clone(),
            received: 0,
            status: 0,
            sent: 0,
            over: false,
        });
        drop(state);
        self.changed.notify_all();
        Passing {
            shared: self,
            number,
            head,
            fault,
        }
    }
}

impl Passing<'_> {
    fn answer(mut self, link: &mut BufReader<Link>) -> io::Result<Ended> {
        match self.fault.clone() {
            Fault::Reset => return Ok(Ended::Reset),
            Fault::Close => return Ok(Ended::Close),
            Fault::ResetUpload(length) => {
                self.expect(link)?;
                let framing = self.head.body_of_request();
                let mut body = Body::new(link, framing).take(length);
                return self.swallow(&mut body).map(|()| Ended::Reset);
            }
            Fault::Hold if !self.shared.hold(link.get_ref()) => return Ok(Ended::Reset),
            Fault::NoRange => self.head.remove("range"),
            _ => {}
        }
        if let Some(answer) = self.made_up() {
            self.expect(link)?;
            let framing = self.head.body_of_request();
            self.swallow(&mut Body::new(link, framing))?;
            return self.say(link, &answer).map(|()| Ended::Whole);
        }
        let Some(mut upstream) = self.pass_on(link)? else {
            return Ok(Ended::Close);
        };
        let Some(answer) = head_of_answer(&mut upstream) else {
            return Ok(Ended::Close);
        };
        self.pass_back(answer, &mut upstream, link)
    }

    /// The answer, if it does not come from the registry.
    fn made_up(&self) -> Option<Answer> {
        match &self.fault {
            Fault::Answer(answer) => return Some(answer.clone()),
            Fault::By(answer) => {
                let request = self.shared.lock().requests.get(self.number).cloned();
                if let Some(answer) = answer(&request?) {
                    return Some(answer);
                }
            }
            Fault::Redirect(to) => {
                let place = format!("{to}{}", self.head.word(1));
                return Some(Answer::status(307).header("Location", &place));
            }
            _ => {}
        }
        let nothing = self.shared.upstream.is_none();
        nothing.then(|| Answer::status(404))
    }

    fn say(&self, link: &mut BufReader<Link>, answer: &Answer) -> io::Result<()> {
        let method = self.head.word(0);
        let sent = if method == "HEAD" {
            0
        } else {
            answer.body.len()
        };
        self.shared.note(self.number, |request| {
            request.status = answer.status;
            request.sent = sent as u64;
        });
        let to = link.get_mut();
        wire::answer(to, method, answer.status, &answer.headers, &answer.body)
    }

    /// Lets a client send its body that waits to be told so.
    fn expect(&mut self, link: &mut BufReader<Link>) -> io::Result<()> {
        if self.head.header("expect").is_some() {
            self.head.remove("expect");
            let to = link.get_mut();
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            to.flush()?;
        }
        Ok(())
    }

    /// Reads what came as a body, for nothing.
    fn swallow(&self, body: &mut impl io::Read) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = body.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            let note = |request: &mut Request| request.received += length as u64;
            self.shared.note(self.number, note);
        }
    }

    /// Sends the request to the registry, with all of its body. `None`: it is not there.
    fn pass_on(&mut self, link: &mut BufReader<Link>) -> io::Result<Option<BufReader<Link>>> {
        self.expect(link)?;
        let framing = self.head.body_of_request();
        let mut body = Body::new(link, framing);
        let port = self.shared.upstream.unwrap_or_default();
        let Ok(mut upstream) = Link::connect(port) else {
            return Ok(None);
        };
        let mut head = self.head.clone();
        head.set("Connection", "close");
        if head.write(&mut upstream).is_err() {
            return Ok(None);
        }
        let mut pieces = Pieces::new(&mut upstream, framing);
        let mut piece = vec![0; PIECE];
        loop {
            let length = body.read(&mut piece)?;
            if length == 0 {
                break;
            }
            let note = |request: &mut Request| request.received += length as u64;
            self.shared.note(self.number, note);
            if pieces.put(&piece[..length]).is_err() {
                // It may have answered before it had heard all.
                self.swallow(&mut body)?;
                return Ok(Some(BufReader::new(upstream)));
            }
        }
        // The same.
        let _ = pieces.end();
        Ok(Some(BufReader::new(upstream)))
    }

    /// Passes an answer back, and does to it what the fault says.
    fn pass_back(
        &self,
        mut answer: Head,
        upstream: &mut BufReader<Link>,
        link: &mut BufReader<Link>,
    ) -> io::Result<Ended> {
        let method = self.head.word(0);
        let from = answer.body_of_answer(method);
        let mut body = Body::new(upstream, from);
        let status = answer.word(1).parse().unwrap_or_default();
        if matches!(self.fault, Fault::ResetAfter) {
            io::copy(&mut body, &mut io::sink())?;
            return Ok(Ended::Reset);
        }
        let has_body = from != Framing::Length(0);
        self.change(&mut answer, has_body);
        self.shared
            .note(self.number, |request| request.status = status);
        let framing = answer.body_of_answer(method);
        let to = link.get_mut();
        if has_body && framing == Framing::ToTheEnd {
            answer.set("Connection", "close");
        }
        answer.write(to)?;
        if !has_body {
            return Ok(Ended::Whole);
        }
        if let Fault::Body(other) = &self.fault {
            self.put(&mut Pieces::new(to, framing), other)?;
            return Ok(Ended::Whole);
        }
        if let ControlFlow::Break(ended) = self.copy(&mut body, to, framing)? {
            return Ok(ended);
        }
        // Nothing was said of its length, or what was said is not so.
        let lied = matches!(&self.fault, Fault::Header(name, _) if is_length(name));
        Ok(if lied || framing == Framing::ToTheEnd {
            Ended::Close
        } else {
            Ended::Whole
        })
    }

    /// Does to the head of an answer what the fault says.
    fn change(&self, answer: &mut Head, has_body: bool) {
        answer.remove("connection");
        match &self.fault {
            Fault::Body(other) => {
                answer.remove("transfer-encoding");
                answer.set("Content-Length", &other.len().to_string());
            }
            Fault::Shorten(length) => {
                answer.remove("transfer-encoding");
                answer.set("Content-Length", &length.to_string());
            }
            Fault::Header(name, value) => {
                if is_length(name) {
                    answer.remove("transfer-encoding");
                }
                answer.set(name, value);
            }
            Fault::NoHeader(name) => answer.remove(name),
            Fault::Chunked | Fault::Endless if has_body => {
                answer.remove("content-length");
                answer.set("Transfer-Encoding", "chunked");
            }
            _ => {}
        }
    }

    /// Passes a body back, or as much of it as the fault lets through.
    fn copy(
        &self,
        body: &mut Body<'_>,
        to: &mut Link,
        framing: Framing,
    ) -> io::Result<ControlFlow<Ended>> {
        let mut piece = vec![0; PIECE];
        let mut place = 0;
        loop {
            let mut room = PIECE;
            match self.left(place) {
                Some(0) => match self.fault {
                    Fault::TruncateAndReset(_) => return Ok(ControlFlow::Break(Ended::Reset)),
                    Fault::TruncateAndClose(_) => return Ok(ControlFlow::Break(Ended::Close)),
                    Fault::Shorten(_) => break,
                    _ if !self.shared.hold(to) => return Ok(ControlFlow::Break(Ended::Reset)),
                    _ => {}
                },
                Some(left) => room = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE)),
                None => {}
            }
            let length = body.read(&mut piece[..room])?;
            if length == 0 {
                break;
            }
            let filled = &mut piece[..length];
            if let Fault::Corrupt(at) = self.fault
                && let Some(at) = at.checked_sub(place)
                && let Some(byte) = usize::try_from(at).ok().and_then(|at| filled.get_mut(at))
            {
                *byte ^= 1;
            }
            self.put(&mut Pieces::new(to, framing), filled)?;
            place += length as u64;
        }
        let mut pieces = Pieces::new(to, framing);
        if matches!(self.fault, Fault::Endless) {
            let zeros = vec![0; PIECE];
            while place < ENDLESS {
                self.put(&mut pieces, &zeros)?;
                place += zeros.len() as u64;
            }
        }
        pieces.end()?;
        Ok(ControlFlow::Continue(()))
    }

    /// How far it is to the place at which something happens to the body, if that was not passed yet.
    fn left(&self, place: u64) -> Option<u64> {
        match self.fault {
            Fault::TruncateAndReset(at)
            | Fault::TruncateAndClose(at)
            | Fault::Shorten(at)
            | Fault::Stall(at) => at.checked_sub(place),
            _ => None,
        }
    }

    fn put(&self, pieces: &mut Pieces<'_>, piece: &[u8]) -> io::Result<()> {
        // Before it is sent: who has all of it may ask at once how much it was.
        let note = |request: &mut Request| request.sent += piece.len() as u64;
        self.shared.note(self.number, note);
        pieces.put(piece)
    }
}

fn is_length(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-length")
}

/// The head of the answer, without those that only say that there will be one.
fn head_of_answer(upstream: &mut BufReader<Link>) -> Option<Head> {
    loop {
        let head = Head::read(upstream)?;
        if !head.word(1).starts_with('1') {
            return Some(head);
        }
    }
}
