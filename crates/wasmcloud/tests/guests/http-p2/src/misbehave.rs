//! Faults a host has to live with.

use std::hint::black_box;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{OutgoingBody, ResponseOutparam};

const SECOND: u64 = 1_000_000_000;

/// A trap before anything is answered.
pub fn trap_before() {
    panic!("told to trap before the response");
}

/// A trap when the head and one chunk are out.
pub fn trap_after(out: ResponseOutparam) {
    let _body = begin(out);
    panic!("told to trap after the first chunk");
}

/// A head, one chunk, and a body that stays open for good.
pub fn never_ends(out: ResponseOutparam) {
    let _body = begin(out);
    hang();
}

/// Sleeps for good.
pub fn hang() {
    loop {
        subscribe_duration(SECOND).block();
    }
}

/// Computes for good, without a call to the host.
pub fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// The head and one flushed chunk.
fn begin(out: ResponseOutparam) -> OutgoingBody {
    let body = reply::start(out, 200, &[("content-type", "text/plain")]);
    let stream = body.write().expect("the body stream is taken once");
    let _ = reply::write(&stream, b"first chunk\n");
    let _ = stream.blocking_flush();
    // Dropped on return: a child resource must go before the body does.
    drop(stream);
    body
}

/// An answer with `?n=` header fields.
pub fn fields(query: &str, out: ResponseOutparam) {
    let count = reply::query(query, "n")
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let fields = vec![("x", "y"); count];
    let _ = OutgoingBody::finish(reply::start(out, 200, &fields), None);
}
