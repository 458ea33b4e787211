//! From a request to the workload that answers it, and back.

use std::sync::Arc;
use std::time::Instant;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use wasmtime_wasi_http::WasiBody;

use super::access::AccessRecord;
use super::body::{self, Watched};
use super::call::{Handler, call};
use super::departure::Peer;
use super::plugin::Shared;
use super::route::HostName;
use crate::plugin::Entry;

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

/// Answers one request. `peer` is watched meanwhile, where there is one: when the client goes away, so does the guest.
pub(super) async fn dispatch(
    shared: &Shared,
    request: Request<Incoming>,
    peer: Option<Peer>,
) -> Result<Response<WasiBody>, Departed> {
    let Some(peer) = peer else {
        return Ok(logged(shared, request).await);
    };
    let departed = Box::pin(peer.clone().departed());
    let response = tokio::select! {
        biased;
        response = logged(shared, request) => response,
        () = departed => return Err(Departed),
    };
    Ok(response.map(|body| WasiBody::new(Watched::new(body, peer))))
}

/// Answers one request and keeps the access log.
async fn logged(shared: &Shared, request: Request<Incoming>) -> Response<WasiBody> {
    let Some(access) = &shared.options.access else {
        return answer(shared, request).await.0;
    };
    let begun = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let host = request.headers().get(header::HOST).cloned();
    let (response, target) = answer(shared, request).await;
    let context = target.as_ref().map(|target| target.entry.callee.context());
    access.request(&AccessRecord {
        method: &method,
        host: uri
            .authority()
            .map(Authority::as_str)
            .or_else(|| host.as_ref()?.to_str().ok())
            .unwrap_or_default(),
        path: uri.path(),
        status: response.status(),
        workload: context.map(|context| &context.workload.id),
        component: target.as_ref().map(|target| &target.entry.component),
        elapsed: begun.elapsed(),
    });
    response
}

async fn answer(
    shared: &Shared,
    mut request: Request<Incoming>,
) -> (Response<WasiBody>, Option<Arc<Target>>) {
    let target = match route(shared, &mut request) {
        Ok(target) => target,
        Err(unrouted) => return (refuse(&unrouted, &request), None),
    };
    let bare = request.version() == Version::HTTP_2 && *request.method() == Method::HEAD;
    let response = match call(&target.entry, &target.handler, request).await {
        Ok(response) => response,
        Err(failure) => failure.respond(&target.entry, shared.options.errors),
    };
    (without_stray_body(response, bare), Some(target))
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
    let mut response = Response::new(body::text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
