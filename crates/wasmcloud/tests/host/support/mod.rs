//! What all tests need: a host, manifests, clients, and patience that ends.

mod client;
pub(crate) mod h2;
mod host;
mod hostile;
mod log;
mod manifest;
mod outside;
mod plugins;
mod raw;

use std::time::Duration;

pub(crate) use client::{Answer, Body, Connection, Version, body_of, empty, frames, full, request};
pub(crate) use host::{Access, TestHost, id, start_request};
pub(crate) use hostile::{BAD, GOOD, HOSTILE, Pending, hostile};
pub(crate) use log::{Log, WholeLog};
pub(crate) use manifest::{
    component, http, http_at, manifest, p2, p3, spec, with_config, with_environment,
};
pub(crate) use outside::{Authority, Names, Outside, own_address};
pub(crate) use plugins::{Fault, Gate, Ledger};
pub(crate) use raw::Raw;

/// Longer than anything here takes on a busy machine, and short enough to report a hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it should have happened by now")
}
