//! HTTP to a server of S3, with a patience for each kind of request.

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

use crate::capability::blobstore::cause;
use crate::capability::reach::Reach;
use crate::net::dial::{Dial, DialError, NamedBy};
use crate::net::web::{Web, WebError};

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
    /// When it was said last that a server does not answer.
    told: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    pub(super) fn new(dial: Dial, patience: Patience, reach: Reach) -> Self {
        Self {
            web: Web::new(dial, NamedBy::Workload, patience.usual),
            patience,
            reach,
            told: Arc::default(),
        }
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
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(failed))))
    }
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
