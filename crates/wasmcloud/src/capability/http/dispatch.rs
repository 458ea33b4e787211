//! From a request to the workload that answers it, and back.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use wasmtime_wasi_http::WasiBody;

use super::access::AccessRecord;
use super::body;
use super::call::{Handler, call};
use super::departure::Peer;
use super::failure::Failure;
use super::head::{self, Excess};
use super::patience::Exchange;
use super::plugin::Shared;
use super::received::{Fault, Faults, Received};
use super::route::HostName;
use super::sent::Sent;
use crate::plugin::{Entered, Entry};

/// What a route leads to.
pub(super) struct Target {
    pub(super) entry: Entry,
    pub(super) handler: Handler,
}

/// Why a request was not routed.
enum Unrouted {
    /// It names no host, several, or one that cannot be.
    BadHost,
    /// Nobody answers for its host and path.
    Nobody,
    /// It asks for a tunnel, which is a proxy's to give.
    Tunnel,
}

/// The client went away before there was an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client went away before it was answered")]
pub(super) struct Departed;

/// An answer, and what it is about.
struct Answered {
    response: Response<WasiBody>,
    target: Option<Arc<Target>>,
    /// What goes wrong with the request's body, of which the guest may read more.
    faults: Option<Faults>,
}

impl Answered {
    fn refusal(response: Response<WasiBody>) -> Self {
        Self {
            response,
            target: None,
            faults: None,
        }
    }
}

/// Answers one request. `peer` is watched meanwhile, where there is one: when the client goes away, so does the guest.
///
/// A client that shuts down its sending side looks like one that has gone. It gets an answer that needs no waiting, and no other.
pub(super) async fn dispatch(
    shared: &Shared,
    request: Request<Incoming>,
    peer: Option<Peer>,
    exchange: Exchange,
) -> Result<Response<Sent>, Departed> {
    let limits = &shared.options.limits;
    let departed = peer.clone();
    let departed = async {
        match departed {
            Some(peer) => peer.departed().await,
            None => std::future::pending().await,
        }
    };
    let Answered {
        response,
        faults,
        target,
    } = tokio::select! {
        biased;
        answered = logged(shared, request, &exchange) => answered,
        () = departed => return Err(Departed),
    };
    let workload = target.map(|target| Arc::clone(&target.entry.callee.context().workload));
    Ok(response.map(|body| Sent::new(body, peer, faults, limits, exchange).of(workload)))
}

/// Answers one request and keeps the access log.
async fn logged(shared: &Shared, request: Request<Incoming>, exchange: &Exchange) -> Answered {
    let Some(access) = &shared.options.access else {
        return answer(shared, request, exchange).await;
    };
    let begun = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let host = request.headers().get(header::HOST).cloned();
    let answered = answer(shared, request, exchange).await;
    let target = answered.target.as_ref();
    let context = target.map(|target| target.entry.callee.context());
    access.request(&AccessRecord {
        method: &method,
        host: uri
            .authority()
            .map(Authority::as_str)
            .or_else(|| host.as_ref()?.to_str().ok())
            .unwrap_or_default(),
        path: uri.path(),
        status: answered.response.status(),
        workload: context.map(|context| &context.workload.id),
        component: target.map(|target| &target.entry.component),
        elapsed: begun.elapsed(),
    });
    answered
}

async fn answer(shared: &Shared, mut request: Request<Incoming>, exchange: &Exchange) -> Answered {
    let limits = &shared.options.limits;
    let (version, method) = (request.version(), request.method().clone());
    if let Err((status, excess)) = head::of_request(&request, limits) {
        return Answered::refusal(refuse_for_good(status, &excess, version));
    }
    let (target, entered) = match admit(shared, &mut request) {
        Ok(admitted) => admitted,
        Err(unrouted) => return Answered::refusal(refuse(&unrouted, &request)),
    };
    if request.body().size_hint().lower() > limits.body_size {
        let told = TooLong(limits.body_size);
        let response = refuse_for_good(StatusCode::PAYLOAD_TOO_LARGE, &told, version);
        return Answered::refusal(response);
    }
    let (head, body) = request.into_parts();
    let (body, faults) = Received::new(body, exchange.clone(), limits);
    let request = Request::from_parts(head, body);
    let response = tokio::select! {
        biased;
        response = ask_guest(shared, &target, request, entered) => response,
        // The guest goes with its question.
        () = too_slow(faults.as_ref()) => Response::new(body::none()),
    };
    let response = match faults.as_ref().and_then(Faults::fault) {
        Some(Fault::TooSlow) => {
            let told = "the body of the request did not come in time";
            refuse_for_good(StatusCode::REQUEST_TIMEOUT, &told, version)
        }
        // Whatever the guest made of the part that it got, it is not the answer to the request.
        Some(Fault::TooLong) => {
            let told = TooLong(limits.body_size);
            refuse_for_good(StatusCode::PAYLOAD_TOO_LARGE, &told, version)
        }
        None => response,
    };
    let bare = version == Version::HTTP_2 && method == Method::HEAD;
    Answered {
        response: without_stray_body(response, bare),
        target: Some(target),
        faults,
    }
}

async fn too_slow(faults: Option<&Faults>) {
    match faults {
        Some(faults) => faults.too_slow().await,
        None => std::future::pending().await,
    }
}

async fn ask_guest(
    shared: &Shared,
    target: &Target,
    request: Request<Received>,
    entered: Option<Entered>,
) -> Response<WasiBody> {
    let answer = call(&target.entry, &target.handler, request, entered).await;
    let checked =
        answer.and_then(
            |response| match head::of_answer(&response, &shared.options.limits) {
                Ok(()) => Ok(response),
                Err(excess) => Err(too_much(&excess)),
            },
        );
    checked.unwrap_or_else(|failure| failure.respond(&target.entry, shared.options.errors))
}

fn too_much(excess: &Excess) -> Failure {
    Failure::Code {
        code: format!("HttpResponseHeaderSectionSize: its answer has {excess}"),
        status: StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A body that is longer than this.
struct TooLong(u64);

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the body of the request is too long, at most {} bytes are allowed",
            self.0
        )
    }
}

/// Takes the body off an answer that must not have one (RFC 9110, sections 6.4.1 and 9.3.2). Over HTTP/1.1 Hyper does so itself.
fn without_stray_body(response: Response<WasiBody>, bare: bool) -> Response<WasiBody> {
    let status = response.status();
    if bare || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        response.map(|_| body::none())
    } else {
        response
    }
}

/// Finds who answers, and sees to it that its workload does not go meanwhile. One that is going has left the routes.
fn admit(
    shared: &Shared,
    request: &mut Request<Incoming>,
) -> Result<(Arc<Target>, Option<Entered>), Unrouted> {
    let target = route(shared, request)?;
    match target.entry.callee.enter() {
        Some(entered) => Ok((target, Some(entered))),
        None => Ok((route(shared, request)?, None)),
    }
}

/// Finds who answers, and completes the request's URI: guests see scheme and authority whichever version of HTTP was spoken.
fn route(shared: &Shared, request: &mut Request<Incoming>) -> Result<Arc<Target>, Unrouted> {
    if *request.method() == Method::CONNECT {
        return Err(Unrouted::Tunnel);
    }
    let authority = authority(request).ok_or(Unrouted::BadHost)?;
    let host = HostName::of_authority(authority.as_str()).ok_or(Unrouted::BadHost)?;
    let target = shared
        .routes
        .load()
        .find(&host, request.uri().path())
        .cloned()
        .ok_or(Unrouted::Nobody)?;
    // The guest must not see another host than the one it was chosen by.
    if request.uri().authority().is_some()
        && let Some(host) = request.headers_mut().get_mut(header::HOST)
    {
        *host = HeaderValue::from_str(authority.as_str()).map_err(|_| Unrouted::BadHost)?;
    }
    if request.uri().authority().is_none() || request.uri().scheme().is_none() {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme.get_or_insert(Scheme::HTTP);
        parts.authority.get_or_insert(authority);
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        }
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Unrouted::BadHost)?;
    }
    Ok(target)
}

/// Whom the request is for: the target names it, else the one `Host` header (RFC 9112, section 3.2; RFC 9113, section 8.3.1). A
/// request that leaves room for two readings is refused, so that nobody in front of this server can read it another way.
fn authority(request: &Request<Incoming>) -> Option<Authority> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host: Option<Authority> = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(host.to_str().ok()?.parse().ok()?),
        (Some(_), Some(_)) => return None,
    };
    let named = match (request.uri().authority(), host) {
        (None, host) => host?,
        (Some(target), Some(host)) if request.version() == Version::HTTP_2 && *target != host => {
            return None;
        }
        (Some(_), None) if request.version() == Version::HTTP_11 => return None,
        (Some(target), _) => target.clone(),
    };
    is_plain(&named).then_some(named)
}

/// Whether it is a host and perhaps a port. User information is nothing that a client may send here (RFC 9110, section 4.2.4).
fn is_plain(authority: &Authority) -> bool {
    let Some(port) = authority.as_str().strip_prefix(authority.host()) else {
        return false;
    };
    match port.strip_prefix(':') {
        Some(port) => port.is_empty() || port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    }
}

fn refuse(unrouted: &Unrouted, request: &Request<Incoming>) -> Response<WasiBody> {
    let (status, text) = match unrouted {
        Unrouted::BadHost => (
            StatusCode::BAD_REQUEST,
            "400 the request must name one host\n".to_owned(),
        ),
        Unrouted::Tunnel => (
            StatusCode::NOT_IMPLEMENTED,
            "501 CONNECT is not served here\n".to_owned(),
        ),
        Unrouted::Nobody => {
            let host = authority(request)
                .map(|authority| authority.to_string())
                .unwrap_or_default();
            (
                StatusCode::NOT_FOUND,
                format!(
                    "404 no workload answers for {host}{}\n",
                    request.uri().path()
                ),
            )
        }
    };
    plain(status, text)
}

/// Refuses a request of which the client may go on sending what nobody reads: over HTTP/1, it is the connection's last.
fn refuse_for_good(
    status: StatusCode,
    told: &dyn fmt::Display,
    version: Version,
) -> Response<WasiBody> {
    let mut response = plain(status, format!("{} {told}\n", status.as_u16()));
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<WasiBody> {
    let mut response = Response::new(body::text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
