//! What well-behaved programs do.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::http::types::{Fields, IncomingBody, IncomingRequest, OutgoingBody, ResponseOutparam};
use wasip2::io::streams::StreamError;

use crate::wasi::config::store;
use crate::wasi::logging::logging::{Level, log as log_line};

const CHUNK: u64 = 64 * 1024;
const MIB: usize = 1024 * 1024;

/// Sends the request's body back chunk by chunk; the head goes out before the first one has come in.
pub fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body is taken once");
    let from = incoming.stream().expect("the stream is taken once");
    let body = reply::start(out, 200, &[("content-type", "application/octet-stream")]);
    let to = body.write().expect("the stream is taken once");
    loop {
        match from.blocking_read(CHUNK) {
            Ok(chunk) => {
                if reply::write(&to, &chunk)
                    .and_then(|()| to.blocking_flush())
                    .is_err()
                {
                    return;
                }
            }
            Err(StreamError::Closed) => break,
            // Returning with the body unfinished tells the client that the echo is not whole.
            Err(StreamError::LastOperationFailed(_)) => return,
        }
    }
    drop((from, to));
    let trailers = trailers_of(incoming);
    let _ = OutgoingBody::finish(body, trailers);
}

/// Reads the whole body before it answers with its length. What goes wrong meanwhile is told on standard error.
pub fn slurp(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body is taken once");
    let from = incoming.stream().expect("the stream is taken once");
    let mut length = 0;
    loop {
        match from.blocking_read(CHUNK) {
            Ok(chunk) => length += chunk.len(),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                eprintln!("broke off: {}", error.to_debug_string());
                break;
            }
        }
    }
    reply::text(out, &format!("{length}\n"));
}

/// The trailers that came after a body, if any came.
fn trailers_of(body: IncomingBody) -> Option<Fields> {
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    // Received fields are immutable and belong to the request; a response wants its own.
    trailers.get()?.ok()?.ok()?.map(|fields| fields.clone())
}

/// A message as gRPC has it: the status comes after the body.
pub fn trailers(out: ResponseOutparam) {
    let body = reply::start(
        out,
        200,
        &[
            ("content-type", "application/grpc"),
            ("trailer", "grpc-status"),
        ],
    );
    let stream = body.write().expect("the stream is taken once");
    let _ =
        reply::write(&stream, &[0, 0, 0, 0, 2, b'o', b'k']).and_then(|()| stream.blocking_flush());
    drop(stream);
    let fields = Fields::new();
    fields.append("grpc-status", b"0").expect("a valid trailer");
    let _ = OutgoingBody::finish(body, Some(fields));
}

/// Three server-sent events, each flushed by itself.
pub fn events(out: ResponseOutparam) {
    let body = reply::start(
        out,
        200,
        &[
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
        ],
    );
    let stream = body.write().expect("the stream is taken once");
    for n in 1..=3 {
        let event = format!("id: {n}\ndata: event {n}\n\n");
        let _ = reply::write(&stream, event.as_bytes()).and_then(|()| stream.blocking_flush());
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// The request as the guest sees it, a line for each part.
pub fn headers(request: &IncomingRequest, out: ResponseOutparam) {
    let mut lines = format!(
        "method {:?}\nscheme {:?}\nauthority {}\npath-with-query {}\n",
        request.method(),
        request.scheme(),
        request.authority().unwrap_or_default(),
        request.path_with_query().unwrap_or_default(),
    );
    for (name, value) in request.headers().entries() {
        lines.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    reply::text(out, &lines);
}

/// Every environment variable, sorted.
pub fn env(out: ResponseOutparam) {
    let mut lines: Vec<String> = std::env::vars()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    lines.sort();
    reply::text(out, &lines.concat());
}

/// One setting; 404 when there is no such key.
pub fn config(query: &str, out: ResponseOutparam) {
    match store::get(reply::query(query, "key").unwrap_or_default()) {
        Ok(Some(value)) => reply::text(out, &format!("{value}\n")),
        Ok(None) => reply::with_status(out, 404, "no such key\n"),
        Err(error) => reply::with_status(out, 502, &format!("{error:?}\n")),
    }
}

/// Every setting, sorted.
pub fn config_all(out: ResponseOutparam) {
    match store::get_all() {
        Ok(mut all) => {
            all.sort();
            let lines: Vec<String> = all
                .iter()
                .map(|(key, value)| format!("{key}={value}\n"))
                .collect();
            reply::text(out, &lines.concat());
        }
        Err(error) => reply::with_status(out, 502, &format!("{error:?}\n")),
    }
}

/// A line on every channel there is.
pub fn log(out: ResponseOutparam) {
    println!("out line");
    eprintln!("err line");
    log_line(Level::Info, "http-p2", "logged line");
    reply::text(out, "logged\n");
}

/// Output that does not end in a newline.
pub fn partial_log(out: ResponseOutparam) {
    print!("partial line");
    let _ = std::io::stdout().flush();
    reply::text(out, "logged\n");
}

/// Both clocks, in nanoseconds.
pub fn clock(out: ResponseOutparam) {
    let wall = wall_clock::now();
    let wall = u128::from(wall.seconds) * 1_000_000_000 + u128::from(wall.nanoseconds);
    reply::text(
        out,
        &format!("wall {wall}\nmonotonic {}\n", monotonic_clock::now()),
    );
}

/// `?mib=` MiB of the letter x, no faster than the client reads.
pub fn big(query: &str, out: ResponseOutparam) {
    let mib = reply::query(query, "mib")
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_usize);
    let body = reply::start(out, 200, &[("content-type", "application/octet-stream")]);
    let stream = body.write().expect("the stream is taken once");
    let chunk = vec![b'x'; MIB / 16];
    for _ in 0..mib * 16 {
        if reply::write(&stream, &chunk).is_err() {
            return;
        }
    }
    let _ = stream.blocking_flush();
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// The status that `?code=` asks for.
pub fn status(query: &str, out: ResponseOutparam) {
    let code = reply::query(query, "code")
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    reply::with_status(out, code, &format!("{code}\n"));
}

/// How many requests this instance has seen.
pub fn count(out: ResponseOutparam) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    reply::text(
        out,
        &format!("{}\n", COUNT.fetch_add(1, Ordering::Relaxed) + 1),
    );
}
