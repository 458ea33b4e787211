//! What a client is told when a workload fails to answer: everything on a developer's machine, an id to look up elsewhere.

use std::fmt::{self, Write as _};

use http::{HeaderValue, Response, StatusCode, header};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode as P2Code;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode as P3Code;

use super::body;
use super::plugin::ErrorDetail;
use crate::plugin::{CallError, Entry, NoMemory};

/// What a failure counts for in the log of its workload, in bytes: a line and a backtrace.
const FAILURE: usize = 2 << 10;

/// Why a workload gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The call came to a bad end before there was an answer.
    Call(CallError),
    /// What the guest answered cannot be sent.
    Unsendable(wasmtime::Error),
    /// The guest returned without an answer.
    NoAnswer,
    /// The guest answered with an error code of `wasi:http`.
    Code { code: String, status: StatusCode },
    /// The guest answered with a `1xx` status. Those are the server's to send.
    Interim(StatusCode),
}

impl Failure {
    pub(super) fn p2(code: &P2Code) -> Self {
        let status = match code {
            P2Code::ConnectionTimeout
            | P2Code::ConnectionReadTimeout
            | P2Code::HttpResponseTimeout
            | P2Code::DnsTimeout => StatusCode::GATEWAY_TIMEOUT,
            P2Code::HttpRequestBodySize(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::Code {
            code: format!("{code:?}"),
            status,
        }
    }

    pub(super) fn p3(code: &P3Code) -> Self {
        let status = match code {
            P3Code::ConnectionTimeout
            | P3Code::ConnectionReadTimeout
            | P3Code::HttpResponseTimeout
            | P3Code::DnsTimeout => StatusCode::GATEWAY_TIMEOUT,
            P3Code::HttpRequestBodySize(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::Code {
            code: format!("{code:?}"),
            status,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Call(CallError::Stopped) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Call(error) if error.is_for_lack_of_room() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Call(CallError::TimedOut(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::Code { status, .. } => *status,
            Self::Call(_) | Self::Unsendable(_) | Self::NoAnswer | Self::Interim(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Logs the failure and makes the answer for the client. Both carry the same id.
    pub(super) fn respond(&self, entry: &Entry, detail: ErrorDetail) -> Response<WasiBody> {
        let id = format!("{:016x}", fastrand::u64(..));
        let report = Report {
            failure: self,
            entry,
        };
        self.log(&id, &report);
        let status = self.status();
        let text = match detail {
            ErrorDetail::Full => format!("{} {report}\n\nid: {id}\n", status.as_u16()),
            ErrorDetail::Reference => format!("{status}\nid: {id}\n"),
        };
        let mut response = Response::new(body::text(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    fn log(&self, id: &str, report: &Report<'_>) {
        let workload = &report.entry.callee.context().workload;
        if !workload.log.admits(FAILURE) {
            return;
        }
        match self {
            Self::Call(CallError::Stopped) => tracing::debug!(id, %workload, "{report}"),
            Self::Call(error) if error.is_for_lack_of_room() => {
                tracing::warn!(id, %workload, "{report}");
            }
            _ => tracing::error!(id, %workload, "{report}"),
        }
    }
}

/// A failure that can no longer be answered: the head of the answer is out.
pub(super) fn log_late(error: &CallError, entry: &Entry) {
    let workload = &entry.callee.context().workload;
    if !workload.log.admits(FAILURE) {
        return;
    }
    let ended = Ended {
        error,
        entry,
        late: true,
    };
    match error {
        CallError::Stopped => tracing::debug!(%workload, "{ended}"),
        _ => tracing::error!(%workload, "{ended}"),
    }
}

/// How a call ended badly, for people.
struct Ended<'a> {
    error: &'a CallError,
    entry: &'a Entry,
    /// Whether the head of the answer was out already.
    late: bool,
}

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let component = &self.entry.component;
        match self.error {
            CallError::NoRoom(reason) => write!(
                f,
                "the host has no room for another instance of component `{component}`: {reason}"
            ),
            CallError::Instantiate(error) if self.error.is_for_lack_of_room() => write!(
                f,
                "the host has no room for another instance of component `{component}`: {}",
                error.root_cause()
            ),
            CallError::Instantiate(error) => write!(
                f,
                "{} could not be instantiated: {}",
                culprit(error, self.entry),
                describe(error)
            ),
            CallError::Trap(error) => write!(
                f,
                "{} {}: {}",
                culprit(error, self.entry),
                if self.late {
                    "failed after it began to answer"
                } else {
                    "trapped"
                },
                describe(error)
            ),
            error @ (CallError::TimedOut(_) | CallError::OutOfCpu(_) | CallError::Crashed) => {
                let when = if self.late {
                    " after it began to answer"
                } else {
                    ""
                };
                write!(f, "component `{component}` was ended{when}: {error}")
            }
            error @ (CallError::Stopped | CallError::NotUp | CallError::Busy) => error.fmt(f),
        }
    }
}

struct Report<'a> {
    failure: &'a Failure,
    entry: &'a Entry,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let component = &self.entry.component;
        match self.failure {
            Failure::Call(error) => Ended {
                error,
                entry: self.entry,
                late: false,
            }
            .fmt(f),
            Failure::Unsendable(error) => write!(
                f,
                "component `{component}` gave an answer that cannot be sent: {error:#}"
            ),
            Failure::NoAnswer => write!(f, "component `{component}` returned without an answer"),
            Failure::Code { code, .. } => {
                write!(f, "component `{component}` answered with the error {code}")
            }
            Failure::Interim(status) => write!(
                f,
                "component `{component}` answered with the status {}, which is no final one",
                status.as_u16()
            ),
        }
    }
}

/// The component whose code trapped, or the entry's and what is fused behind it when the backtrace does not tell.
fn culprit(error: &wasmtime::Error, entry: &Entry) -> String {
    let context = entry.callee.context();
    match context.culprit(error) {
        Some(component) => format!("component `{}`", component.name),
        None if context.members.len() > 1 => {
            format!("component `{}`, or one that it calls,", entry.component)
        }
        None => format!("component `{}`", entry.component),
    }
}

/// The reason on the first line, then the Wasm backtrace.
fn describe(error: &wasmtime::Error) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(refused) = error.downcast_ref::<NoMemory>() {
        let _ = write!(text, " (it got no more memory: {refused})");
    }
    if let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() {
        let _ = write!(text, "\n\nWasm backtrace:\n{backtrace}");
    }
    text
}
