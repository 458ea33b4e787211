//! What keeps guests' data and the host's credentials out of a log.

use tracing::{Level, Metadata};

/// Crates that speak to servers. Below warnings they log what they send and get: keys, SQL, subjects, heads of requests, URLs with
/// passwords.
const SPEAKING: [&str; 7] = [
    "async_nats",
    "h2",
    "hyper",
    "hyper_util",
    "object_store",
    "redis",
    "tokio_postgres",
];

/// Whether a line may be in a log, whatever its levels are: a filter for whoever sends `tracing` or the `log` crate to a log of their
/// own. What is left out holds what guests keep, or who the host is to a server.
#[must_use]
pub fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let of = target.split_once("::").map_or(target, |(of, _)| of);
    *metadata.level() <= Level::WARN || !SPEAKING.contains(&of)
}
