//! What a faulty registry does wrong, and when.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Request;

/// An answer that a test makes up.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers. `Content-Length` is added unless it is there.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// One without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// What makes an answer up.
pub type Answering = dyn Fn(&Request) -> Option<Answer> + Send + Sync;

/// What goes wrong with a request. Where nothing else is said, it was passed on and this is done to the answer.
#[derive(Clone)]
pub enum Fault {
    /// Nothing. It spares some requests from a rule that comes after.
    Nothing,
    /// It is answered so, and is not passed on.
    Answer(Answer),
    /// It is answered as that says, by its head, and is not passed on. `None`: it is passed on.
    By(Arc<Answering>),
    /// The connection breaks (RST) before there is any answer. It is not passed on.
    Reset,
    /// The connection ends before there is any answer. It is not passed on.
    Close,
    /// The connection breaks after so many bytes of the body of the request. It is not passed on.
    ResetUpload(u64),
    /// It is passed on and done, and then the connection breaks before there is any answer.
    ResetAfter,
    /// The body of the answer breaks off (RST) after so many bytes.
    TruncateAndReset(u64),
    /// The connection ends after so many bytes of the body, which is announced as long as it is.
    TruncateAndClose(u64),
    /// The body ends after so many bytes, and is announced as that long.
    Shorten(u64),
    /// One bit of the byte at that place of the body is another.
    Corrupt(u64),
    /// The body is another, and announced as long as that is.
    Body(Vec<u8>),
    /// The answer has that header, in place of its own if it has one.
    Header(String, String),
    /// The answer has no such header.
    NoHeader(String),
    /// No length is announced: the body comes in chunks.
    Chunked,
    /// It is not even passed on before the test says so (`release`).
    Hold,
    /// After so many bytes of the body, nothing more comes before the test says so (`release`).
    Stall(u64),
    /// The body comes in chunks and goes on with zeros until the client leaves, at most 16 GiB.
    Endless,
    /// It is answered by 307 with the same path at that URL (`http://127.0.0.1:PORT`), and is not passed on.
    Redirect(String),
    /// It is passed on without its `Range`, as by a server that knows none.
    NoRange,
}

impl fmt::Debug for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies may be long, and what is done by a function cannot be shown.
        to.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Answer(_) => "Answer",
            Self::By(_) => "By",
            Self::Reset => "Reset",
            Self::Close => "Close",
            Self::ResetUpload(_) => "ResetUpload",
            Self::ResetAfter => "ResetAfter",
            Self::TruncateAndReset(_) => "TruncateAndReset",
            Self::TruncateAndClose(_) => "TruncateAndClose",
            Self::Shorten(_) => "Shorten",
            Self::Corrupt(_) => "Corrupt",
            Self::Body(_) => "Body",
            Self::Header(..) => "Header",
            Self::NoHeader(_) => "NoHeader",
            Self::Chunked => "Chunked",
            Self::Hold => "Hold",
            Self::Stall(_) => "Stall",
            Self::Endless => "Endless",
            Self::Redirect(_) => "Redirect",
            Self::NoRange => "NoRange",
        })
    }
}

impl Fault {
    /// Answers so, without asking the registry.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Answer(Answer::status(status))
    }

    /// Answers as a function of the test says.
    #[must_use]
    pub fn by(answer: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::By(Arc::new(answer))
    }

    /// 429 with `Retry-After`, in seconds.
    #[must_use]
    pub fn too_many(seconds: u32) -> Self {
        let answer = Answer::status(429).header("Retry-After", &seconds.to_string());
        Self::Answer(answer)
    }

    /// 401 with a `WWW-Authenticate`.
    #[must_use]
    pub fn challenge(challenge: &str) -> Self {
        Self::Answer(Answer::status(401).header("WWW-Authenticate", challenge))
    }

    /// A `Docker-Content-Digest` that is not that of the body.
    #[must_use]
    pub fn digest(digest: &str) -> Self {
        Self::Header("Docker-Content-Digest".to_owned(), digest.to_owned())
    }

    /// A `Content-Length` that is not that of the body.
    #[must_use]
    pub fn length(length: u64) -> Self {
        Self::Header("Content-Length".to_owned(), length.to_string())
    }
}

/// Which requests a fault is for.
#[derive(Clone, Debug)]
pub struct Rule {
    part: String,
    method: Option<String>,
    /// Which of those that fit, counted from 0.
    which: Range<usize>,
    fault: Fault,
    /// How many did fit so far.
    seen: usize,
}

impl Rule {
    /// For every request whose path has a text in it.
    #[must_use]
    pub fn on(part: &str, fault: Fault) -> Self {
        Self {
            part: part.to_owned(),
            method: None,
            which: 0..usize::MAX,
            fault,
            seen: 0,
        }
    }

    /// Only for those with that method. Others are not counted.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only for the n-th (the first is 1) since the rule was added.
    #[must_use]
    pub fn nth(mut self, number: usize) -> Self {
        assert!(number > 0, "the first is 1");
        self.which = number - 1..number;
        self
    }

    /// Only for the first ones.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.which = 0..count;
        self
    }

    /// Only for those after the first ones.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.which = count..usize::MAX;
        self
    }

    /// Counts a request that fits. Returns the fault if it is for this one.
    fn ask(&mut self, method: &str, path: &str) -> Option<Fault> {
        let fits = self.method.as_ref().is_none_or(|it| it == method);
        if !fits || !path.contains(&self.part) {
            return None;
        }
        let number = self.seen;
        self.seen += 1;
        self.which.contains(&number).then(|| self.fault.clone())
    }
}

/// The fault for a request. Every rule that fits counts it, whichever is first.
pub(super) fn fault(rules: &mut [Rule], method: &str, path: &str) -> Fault {
    let asked = rules.iter_mut().map(|rule| rule.ask(method, path));
    let found = asked.fold(None, Option::or);
    found.unwrap_or(Fault::Nothing)
}
