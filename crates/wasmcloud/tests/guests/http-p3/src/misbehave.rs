//! Faults a host has to live with.

use std::hint::black_box;

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::Response;

use crate::answer;

const SECOND: u64 = 1_000_000_000;

/// A trap before anything is answered.
pub fn trap_before() -> ! {
    panic!("told to trap before the response");
}

/// A trap when the head and one chunk are out.
pub fn trap_after() -> Response {
    answer::streamed(&[("content-type", "text/plain")], async |mut body, _end| {
        body.write_all(b"first chunk\n".to_vec()).await;
        panic!("told to trap after the first chunk");
    })
}

/// A head, one chunk, and a body that stays open for good.
pub fn never_ends() -> Response {
    answer::streamed(&[("content-type", "text/plain")], async |mut body, _end| {
        body.write_all(b"first chunk\n".to_vec()).await;
        hang().await
    })
}

/// Sleeps for good.
pub async fn hang() -> ! {
    loop {
        wait_for(SECOND).await;
    }
}

/// Computes for good, without a call to the host.
pub fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// An answer with `?n=` header fields.
pub fn fields(query: &str) -> Response {
    let count = query
        .strip_prefix("n=")
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    answer::streamed(&vec![("x", "y"); count], async |body, end| {
        answer::finish(body, end, None).await;
    })
}
