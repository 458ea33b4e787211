//! Attempts to reach out of the sandbox. Each answers what came of it.

use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingRequest, IncomingResponse,
    Method, OutgoingBody, OutgoingRequest, RequestOptions, ResponseOutparam, Scheme,
    http_error_code,
};
use wasip2::io::streams::StreamError;

const CHUNK: u64 = 64 * 1024;

/// A request to `?url=`, by default to a host that cannot exist. Answers the status and the body, or the error.
///
/// `connect=`, `first=` and `between=` are timeouts in milliseconds; `method=` is another method than GET; `send=` is how many
/// bytes to send; `follow=1` goes where a redirect leads; `head=1` leaves the body unread; `drop=1` lets go of the response.
pub fn http(query: &str, out: ResponseOutparam) {
    let url = reply::query(query, "url").unwrap_or("http://example.invalid/");
    let answer = fetch(url, query).unwrap_or_else(|error| format!("{error:?}\n"));
    reply::text(out, &answer);
}

/// Sends the request's body on to `?url=` and the answer back, chunk by chunk.
pub fn relay(request: &IncomingRequest, query: &str, out: ResponseOutparam) {
    let url = reply::query(query, "url").expect("a URL");
    let (outgoing, body) = begin(url, &Method::Post);
    let response = outgoing_handler::handle(outgoing, options(query)).expect("it is sent");
    let incoming = request.consume().expect("the body is taken once");
    let from = incoming.stream().expect("the stream is taken once");
    let to = body.write().expect("the stream is taken once");
    while let Ok(chunk) = from.blocking_read(CHUNK) {
        if reply::write(&to, &chunk)
            .and_then(|()| to.blocking_flush())
            .is_err()
        {
            break;
        }
    }
    drop(to);
    let _ = OutgoingBody::finish(body, None);
    let response = match head(&response) {
        Ok(response) => response,
        Err(error) => return reply::with_status(out, 502, &format!("{error:?}\n")),
    };
    let incoming = response.consume().expect("the body is taken once");
    let from = incoming.stream().expect("the stream is taken once");
    let body = reply::start(out, response.status(), &[]);
    let to = body.write().expect("the stream is taken once");
    while let Ok(chunk) = from.blocking_read(CHUNK) {
        if reply::write(&to, &chunk)
            .and_then(|()| to.blocking_flush())
            .is_err()
        {
            return;
        }
    }
    drop(to);
    let _ = OutgoingBody::finish(body, None);
}

/// Sends half a body to `?url=`, and waits for an answer without saying more.
pub fn half(query: &str, out: ResponseOutparam) {
    let url = reply::query(query, "url").expect("a URL");
    let (outgoing, body) = begin(url, &Method::Post);
    let response = outgoing_handler::handle(outgoing, options(query)).expect("it is sent");
    let to = body.write().expect("the stream is taken once");
    let _ = reply::write(&to, b"half").and_then(|()| to.blocking_flush());
    let answer = head(&response).map(|response| response.status());
    reply::text(out, &format!("{answer:?}\n"));
}

fn fetch(url: &str, query: &str) -> Result<String, ErrorCode> {
    let method = match reply::query(query, "method") {
        None => Method::Get,
        Some(name) => Method::Other(name.to_owned()),
    };
    let (request, body) = begin(url, &method);
    let response = outgoing_handler::handle(request, options(query))?;
    if let Some(size) = reply::query(query, "send") {
        let bytes = vec![b'x'; size.parse().expect("a number")];
        let to = body.write().expect("the stream is taken once");
        let _ = reply::write(&to, &bytes).and_then(|()| to.blocking_flush());
    }
    let _ = OutgoingBody::finish(body, None);
    let response = head(&response)?;
    let location = response.headers().get("location").pop();
    if let (Some(to), Some(_)) = (location, reply::query(query, "follow")) {
        let to = String::from_utf8(to).expect("a URL");
        return fetch(&to, query);
    }
    let mut answer = format!("status {}\n", response.status());
    if reply::query(query, "head").is_none() && reply::query(query, "drop").is_none() {
        read(&response, &mut answer);
    }
    Ok(answer)
}

fn begin(url: &str, method: &Method) -> (OutgoingRequest, OutgoingBody) {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(method).expect("a valid method");
    request.set_scheme(Some(&scheme)).expect("a valid scheme");
    request
        .set_authority(Some(authority))
        .expect("a valid authority");
    request
        .set_path_with_query(Some(path))
        .expect("a valid path");
    let body = request.body().expect("the body is taken once");
    (request, body)
}

fn options(query: &str) -> Option<RequestOptions> {
    let options = RequestOptions::new();
    let nanoseconds = |key| {
        let text = reply::query(query, key)?;
        Some(text.parse::<u64>().expect("a number") * 1_000_000)
    };
    let timeouts = [
        options.set_connect_timeout(nanoseconds("connect")),
        options.set_first_byte_timeout(nanoseconds("first")),
        options.set_between_bytes_timeout(nanoseconds("between")),
    ];
    assert!(timeouts.iter().all(Result::is_ok), "timeouts are taken");
    Some(options)
}

fn head(response: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    response.subscribe().block();
    response
        .get()
        .expect("it is ready")
        .expect("it is taken once")
}

fn read(response: &IncomingResponse, answer: &mut String) {
    let body = response.consume().expect("the body is taken once");
    let from = body.stream().expect("the stream is taken once");
    loop {
        match from.blocking_read(CHUNK) {
            Ok(chunk) => answer.push_str(&String::from_utf8_lossy(&chunk)),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error);
                answer.push_str(&format!("\nbroke off: {code:?}\n"));
                break;
            }
        }
    }
    drop(from);
    drop(IncomingBody::finish(body));
}

/// A file to read and one to write.
pub fn files(out: ResponseOutparam) {
    let read = std::fs::read("/etc/passwd").map(|bytes| bytes.len());
    let write = std::fs::write("/tmp/written-by-a-guest", "x");
    reply::text(out, &format!("read {read:?}\nwrite {write:?}\n"));
}

/// A connection, a bound port and a name lookup.
pub fn sockets(out: ResponseOutparam) {
    let tcp = TcpStream::connect("127.0.0.1:1").map(|_| "connected");
    let udp = UdpSocket::bind("127.0.0.1:0").map(|_| "bound");
    let dns = "example.invalid:80".to_socket_addrs().map(Iterator::count);
    reply::text(out, &format!("tcp {tcp:?}\nudp {udp:?}\ndns {dns:?}\n"));
}
