//! What keeps guests' data and the host's credentials out of a log.

use tracing::{Level, Metadata};

/// Crates that log, below warnings, what they are given: those that speak to servers keys, SQL, subjects, heads of requests and URLs with
/// passwords; Wasmtime's own interfaces what guests send and get, such as environment variables and the targets of requests.
const TALKATIVE: [&str; 10] = [
    "async_nats",
    "h2",
    "hyper",
    "hyper_util",
    "object_store",
    "redis",
    "tokio_postgres",
    "wasmtime_wasi",
    "wasmtime_wasi_http",
    "wasmtime_wasi_tls",
];

/// Whether a line may be in a log, whatever its levels are: a filter for whoever sends `tracing` or the `log` crate to a log of their
/// own. What is left out holds what guests keep, or who the host is to a server.
#[must_use]
pub fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let of = target.split_once("::").map_or(target, |(of, _)| of);
    *metadata.level() <= Level::WARN || !TALKATIVE.contains(&of)
}
