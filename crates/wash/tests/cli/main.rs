//! The real program, seen from outside: what it prints, how it ends, what it serves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod ahead;
mod bad_input;
mod build;
mod call;
mod dev;
mod examples;
mod images;
mod inspect;
mod new;
mod plugins;
mod reload;
mod services;
mod support;
mod surroundings;
mod wit;
mod wit_registry;
mod wit_support;
