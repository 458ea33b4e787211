//! The `wasmcloud` binary, as an operator meets it: real processes, real files, real signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod blobs;
mod cached;
mod check;
mod configuration;
mod control;
mod crash;
mod ending;
mod examples;
mod following;
mod images;
mod keyvalue;
mod machine;
mod plugins;
mod postgres;
mod secrets;
mod sections;
mod sharing;
mod starting;
mod support;
mod swap;
