//! HTTP to a server of S3, with a patience for each kind of request and a limit to each kind of answer.

mod short;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use tokio::time::Instant;

pub(super) use self::short::TooLong;

use self::short::Short;
use crate::capability::blobstore::cause;
use crate::capability::reach::Reach;
use crate::capability::room::part_of_open_files;
use crate::net::dial::{Dial, DialError, NamedBy};
use crate::net::web::{Web, WebError};

/// How long an answer may be, in bytes, that neither lists anything nor is the contents of an object. What is in it may become part of
/// a URL, with three characters for each byte, and the library panics where one has more than 65,534.
pub(super) const SHORT: usize = 16 << 10;
/// How long one that lists may be: a thousand keys, of 1,024 bytes each, and what is said of them.
const LIST: usize = 8 << 20;
/// How many connections there may be for contents of objects, within a quarter of the files that the host may have open: as many as
/// streams of blobs, which are counted where they are opened.
const CONTENTS: RangeInclusive<usize> = 64..=16_384;
/// How long not to repeat that a server does not answer.
const SILENCE: Duration = Duration::from_secs(60);

/// How long something may take before it counts as gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Between two signs of life.
    pub(super) usual: Duration,
    /// After the last of a body was handed to the operating system, which may hold much of it on a slow way.
    pub(super) sent: Duration,
    /// For an answer to what the server has to work for: putting parts together, and copies.
    pub(super) work: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            usual: Duration::from_secs(10),
            sent: Duration::from_secs(30),
            work: Duration::from_secs(300),
        }
    }
}

/// What a server has answered that is told apart from other failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server answers with {0}")]
pub(super) struct Refusal(pub(super) StatusCode);

/// The server has no room for what was to be kept.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server is full")]
pub(super) struct Full;

/// The egress policy says no.
#[derive(Debug, thiserror::Error)]
#[error("the server may not be reached")]
pub(super) struct Denied;

/// Requests to one server.
#[derive(Clone)]
pub(super) struct Transport {
    web: Web<HttpRequestBody>,
    patience: Patience,
    reach: Reach,
    /// Whether an object that is asked for is passed on as it comes, however long it is.
    streams: bool,
    /// When it was said last that a server does not answer.
    told: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    /// For calls, with short answers.
    pub(super) fn new(dial: Dial, patience: Patience, reach: Reach) -> Self {
        Self {
            web: Web::new(dial, NamedBy::Workload, patience.usual),
            patience,
            reach,
            streams: false,
            told: Arc::default(),
        }
    }

    /// To the same server for contents of objects, with connections of their own: a guest reads them as slowly as it likes, and calls
    /// must not wait for that.
    pub(super) fn for_contents(&self, dial: Dial) -> Self {
        let (usual, most) = (self.patience.usual, part_of_open_files(4, CONTENTS));
        Self {
            web: Web::with_connections(dial, NamedBy::Workload, usual, most),
            streams: true,
            ..self.clone()
        }
    }

    /// How long the answer to a request may be, if it does what is asked. `None`: as long as it likes.
    fn longest(&self, request: &HttpRequest) -> Option<usize> {
        if self.streams && request.method() == Method::GET {
            return None;
        }
        let mut pairs = request.uri().query().unwrap_or_default().split('&');
        // What there is, and what was deleted.
        let lists = pairs.any(|pair| ["list-type=2", "delete"].contains(&pair));
        Some(if lists { LIST } else { SHORT })
    }

    /// Says in the log that a server does not answer, but not again and again.
    fn tell(&self, error: HttpError) -> HttpError {
        // What the policy denies was told when the workload was started.
        if cause::<Denied>(&error).is_some() {
            return error;
        }
        match error.kind() {
            HttpErrorKind::Connect => self.reach.away("it cannot be reached"),
            // It may be gone.
            _ => self.reach.look(),
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| last.elapsed() >= SILENCE) {
            *told = Some(Instant::now());
            tracing::warn!(kind = ?error.kind(), "a server of S3 does not answer");
        }
        error
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let patience = match request.body().content_length() {
            _ if is_work(&request) => self.patience.work,
            0 => self.patience.usual,
            _ => self.patience.sent,
        };
        let longest = self.longest(&request);
        let writes = [Method::PUT, Method::POST].contains(request.method());
        let answer = self.web.send(request, patience).await;
        let answer = answer.map_err(|error| self.tell(failed(error)))?;
        self.reach.answered();
        let status = answer.status();
        // The library tells these from nothing else.
        if [
            StatusCode::RANGE_NOT_SATISFIABLE,
            StatusCode::NOT_IMPLEMENTED,
        ]
        .contains(&status)
        {
            return Err(HttpError::new(HttpErrorKind::Unknown, Refusal(status)));
        }
        let longest = match status.is_success() {
            true => longest,
            false => Some(SHORT),
        };
        let answer = answer.map(|body| {
            let body = body.map_err(failed);
            match longest {
                Some(longest) => HttpResponseBody::new(Short::new(body, longest)),
                None => HttpResponseBody::new(body),
            }
        });
        match writes && !status.is_success() {
            true => unless_full(answer).await,
            false => Ok(answer),
        }
    }
}

/// What a server says that does not take something, unless that is that it is full. The library would take that for a denial, or for
/// a failure to try again, as servers say it in one way or another.
async fn unless_full(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let full = || HttpError::new(HttpErrorKind::Unknown, Full);
    if answer.status() == StatusCode::INSUFFICIENT_STORAGE {
        return Err(full());
    }
    let (head, body) = answer.into_parts();
    let body = body.bytes().await?;
    match says_full(&body) {
        true => Err(full()),
        false => Ok(HttpResponse::from_parts(head, body.into())),
    }
}

/// Whether the code of an error says so: `QuotaExceeded` of Ceph, `XMinioAdminBucketQuotaExceeded` and `XMinioStorageFull` of MinIO.
fn says_full(error: &[u8]) -> bool {
    let error = String::from_utf8_lossy(error);
    let code = error.split_once("<Code>");
    let code = code.and_then(|(_, rest)| rest.split_once("</Code>"));
    code.is_some_and(|(code, _)| code.ends_with("QuotaExceeded") || code.ends_with("StorageFull"))
}

/// Whether the server has to do something before it can answer that takes time.
fn is_work(request: &HttpRequest) -> bool {
    request.headers().contains_key("x-amz-copy-source") || request.method() == Method::POST
}

fn failed(error: WebError) -> HttpError {
    let kind = match &error {
        _ if matches!(error.dial(), Some(DialError::Denied { .. })) => {
            return HttpError::new(HttpErrorKind::Unknown, Denied);
        }
        WebError::Connect(_) => HttpErrorKind::Connect,
        WebError::Broken(_) => HttpErrorKind::Interrupted,
        WebError::Late(_) => HttpErrorKind::Timeout,
    };
    HttpError::new(kind, error)
}
