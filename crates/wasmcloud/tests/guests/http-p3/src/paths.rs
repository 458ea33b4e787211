//! What well-behaved programs do.

use std::sync::atomic::{AtomicU32, Ordering};

use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::http::types::{Fields, Request, Response};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{wit_future, wit_stream};

use crate::answer;
use crate::wasi::config::store;
use crate::wasi::logging::logging::{Level, log as log_line};

const CHUNK: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

/// Sends the request's body back chunk by chunk; the head goes out before the first one has come in.
pub fn echo(request: Request) -> Response {
    let (_done, processed) = wit_future::new(|| Ok(()));
    let (mut from, trailers) = Request::consume_body(request, processed);
    answer::streamed(
        &[("content-type", "application/octet-stream")],
        async move |mut body, end| {
            loop {
                let (result, chunk) = from.read(Vec::with_capacity(CHUNK)).await;
                if !body.write_all(chunk).await.is_empty() {
                    return;
                }
                if result == StreamResult::Dropped {
                    break;
                }
            }
            drop(body);
            let _ = end.write(trailers.await).await;
        },
    )
}

/// Reads the whole body before it answers with its length. What goes wrong meanwhile is told on standard error.
pub async fn slurp(request: Request) -> Response {
    let (_done, processed) = wit_future::new(|| Ok(()));
    let (mut from, trailers) = Request::consume_body(request, processed);
    let mut length = 0;
    loop {
        let (result, chunk) = from.read(Vec::with_capacity(CHUNK)).await;
        length += chunk.len();
        if result == StreamResult::Dropped {
            break;
        }
    }
    if let Err(error) = trailers.await {
        eprintln!("broke off: {error:?}");
    }
    answer::text(&format!("{length}\n"))
}

/// A message as gRPC has it: the status comes after the body.
pub fn trailers() -> Response {
    answer::streamed(
        &[
            ("content-type", "application/grpc"),
            ("trailer", "grpc-status"),
        ],
        async |mut body, end| {
            body.write_all(vec![0, 0, 0, 0, 2, b'o', b'k']).await;
            let fields = Fields::new();
            fields.append("grpc-status", b"0").expect("a valid trailer");
            answer::finish(body, end, Some(fields)).await;
        },
    )
}

/// Three server-sent events, each written by itself.
pub fn events() -> Response {
    answer::streamed(
        &[
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
        ],
        async |mut body, end| {
            for n in 1..=3 {
                body.write_all(format!("id: {n}\ndata: event {n}\n\n").into_bytes())
                    .await;
            }
            answer::finish(body, end, None).await;
        },
    )
}

/// The request as the guest sees it, a line for each part.
pub fn headers(request: &Request) -> Response {
    let mut lines = format!(
        "method {:?}\nscheme {:?}\nauthority {}\npath-with-query {}\n",
        request.get_method(),
        request.get_scheme(),
        request.get_authority().unwrap_or_default(),
        request.get_path_with_query().unwrap_or_default(),
    );
    for (name, value) in request.get_headers().copy_all() {
        lines.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    answer::text(&lines)
}

/// Every environment variable, sorted; through 0.3 and, when that differs, what the standard library got through 0.2.
pub fn env() -> Response {
    let mut vars = wasip3::cli::environment::get_environment();
    vars.sort();
    let mut std: Vec<(String, String)> = std::env::vars().collect();
    std.sort();
    let mut lines: String = vars
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    if std != vars {
        lines.push_str(&format!("but through 0.2: {std:?}\n"));
    }
    answer::text(&lines)
}

/// One setting; 404 when there is no such key.
pub fn config(query: &str) -> Response {
    match store::get(value(query, "key").unwrap_or_default()) {
        Ok(Some(value)) => answer::text(&format!("{value}\n")),
        Ok(None) => answer::with_status(404, "no such key\n"),
        Err(error) => answer::with_status(502, &format!("{error:?}\n")),
    }
}

/// A line on every channel there is; the standard library's goes through 0.2.
pub async fn log() -> Response {
    use wasip3::cli::{stderr, stdout};

    println!("std line");
    let (mut out, lines) = wit_stream::new();
    let written = stdout::write_via_stream(lines);
    out.write_all(b"out line\n".to_vec()).await;
    drop(out);
    let out_result = written.await;
    let (mut err, lines) = wit_stream::new();
    let written = stderr::write_via_stream(lines);
    err.write_all(b"err line\n".to_vec()).await;
    drop(err);
    let err_result = written.await;
    log_line(Level::Info, "http-p3", "logged line");
    match out_result.and(err_result) {
        Ok(()) => answer::text("logged\n"),
        Err(error) => answer::with_status(502, &format!("{error:?}\n")),
    }
}

/// Both clocks, in nanoseconds.
pub fn clock() -> Response {
    let wall = system_clock::now();
    let wall = i128::from(wall.seconds) * 1_000_000_000 + i128::from(wall.nanoseconds);
    answer::text(&format!(
        "wall {wall}\nmonotonic {}\n",
        monotonic_clock::now()
    ))
}

/// `?mib=` MiB of the letter x, no faster than the client reads.
pub fn big(query: &str) -> Response {
    let mib: usize = value(query, "mib")
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    answer::streamed(
        &[("content-type", "application/octet-stream")],
        async move |mut body, end| {
            for _ in 0..mib * 16 {
                if !body.write_all(vec![b'x'; MIB / 16]).await.is_empty() {
                    return;
                }
            }
            answer::finish(body, end, None).await;
        },
    )
}

/// The status that `?code=` asks for.
pub fn status(query: &str) -> Response {
    let code = value(query, "code")
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    answer::with_status(code, &format!("{code}\n"))
}

/// How many requests this instance has seen.
pub fn count() -> Response {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    answer::text(&format!("{}\n", COUNT.fetch_add(1, Ordering::Relaxed) + 1))
}

/// The value of `key` in a query string, taken literally.
pub fn value<'q>(query: &'q str, key: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}
