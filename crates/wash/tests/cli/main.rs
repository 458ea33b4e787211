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
mod cache;
mod call;
mod dev;
mod examples;
mod image_support;
mod images;
mod inspect;
mod logins;
mod new;
mod plugins;
mod push;
mod reload;
mod services;
mod support;
mod surroundings;
mod verifying;
mod walk;
mod wit;
mod wit_registry;
mod wit_support;
