//! Whole hosts under test: real guests behind the real HTTP server, on loopback. One binary, so that it is linked once.
//!
//! Every guest program has a module or a test of its own name here; one without does not compile (see the end of the file).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod http_p2;
mod http_p3;
mod stories;
mod support;

