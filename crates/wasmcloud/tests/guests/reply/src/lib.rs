//! Answers for WASI 0.2 HTTP guests, straight on the bindings: what goes over the wire, and when, is up to the guest.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// Status 200 and a text.
pub fn text(out: ResponseOutparam, body: &str) {
    with_status(out, 200, body);
}

/// A text with any status.
///
/// A client that has gone away is nobody to report to, so a failed write is dropped.
pub fn with_status(out: ResponseOutparam, status: u16, body: &str) {
    let outgoing = start(
        out,
        status,
        &[("content-type", "text/plain; charset=utf-8")],
    );
    let stream = outgoing.write().expect("the body stream is taken once");
    let written = write(&stream, body.as_bytes()).and_then(|()| stream.blocking_flush());
    drop(stream);
    if written.is_ok() {
        let _ = OutgoingBody::finish(outgoing, None);
    }
}

/// Sends the head and gives the body to fill. Dropping it unfinished breaks the response off.
pub fn start(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> OutgoingBody {
    let fields = Fields::new();
    for (name, value) in headers {
        fields
            .append(name, value.as_bytes())
            .expect("a valid header");
    }
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("a valid status");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Writes all of `bytes`, waiting whenever the host takes no more for now. Does not flush.
pub fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}

/// The path of a request, and what follows the question mark.
pub fn target(request: &IncomingRequest) -> (String, String) {
    let target = request.path_with_query().unwrap_or_else(|| "/".to_owned());
    match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (target, String::new()),
    }
}

/// The value of `key` in a query string, taken literally.
pub fn query<'q>(query: &'q str, key: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}
