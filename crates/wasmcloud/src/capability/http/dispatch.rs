//! From a request to the workload that answers it, and back.

use std::sync::Arc;
use std::time::Instant;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use wasmtime_wasi_http::WasiBody;

use super::access::AccessRecord;
use super::body;
use super::call::{Handler, call};
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
}

/// Answers one request.
pub(super) async fn dispatch(shared: &Shared, request: Request<Incoming>) -> Response<WasiBody> {
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
    let response = match call(&target.entry, &target.handler, request).await {
        Ok(response) => response,
        Err(failure) => failure.respond(&target.entry, shared.options.errors),
    };
    (response, Some(target))
}

/// Finds who answers, and completes the request's URI: guests see scheme and authority whichever version of HTTP was spoken.
fn route(shared: &Shared, request: &mut Request<Incoming>) -> Result<Arc<Target>, Unrouted> {
    let authority = authority(request).ok_or(Unrouted::BadHost)?;
    let host = HostName::of_authority(authority.as_str()).ok_or(Unrouted::BadHost)?;
    let target = shared
        .routes
        .load()
        .find(&host, request.uri().path())
        .cloned()
        .ok_or(Unrouted::Nobody)?;
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

/// The authority of the request target, else the one `Host` header (RFC 9112, section 3.2).
fn authority(request: &Request<Incoming>) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host: &HeaderValue = hosts.next()?;
    if hosts.next().is_some() {
        return None;
    }
    // An authority with user information is none that a client may send here (RFC 9110, section 4.2.4).
    host.to_str()
        .ok()
        .filter(|host| !host.contains('@'))?
        .parse()
        .ok()
}

fn refuse(unrouted: &Unrouted, request: &Request<Incoming>) -> Response<WasiBody> {
    let (status, text) = match unrouted {
        Unrouted::BadHost => (
            StatusCode::BAD_REQUEST,
            "400 the request must name one host\n".to_owned(),
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
