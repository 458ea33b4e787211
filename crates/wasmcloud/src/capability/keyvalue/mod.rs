//! Keys and values for guests: `wasi:keyvalue` and `wasmcloud:keyvalue` over one port, with several places to keep them.
//!
//! A backend is a [`Store`] for each tenant and knows neither WIT nor Wasmtime. The suite in `conformance` is what every backend
//! and every wrapper must pass.

#[cfg(any(
    feature = "keyvalue-nats",
    feature = "keyvalue-redb",
    feature = "keyvalue-redis"
))]
mod complaint;
#[cfg(test)]
mod conformance;
mod entries;
mod limited;
mod listing;
mod memory;
#[cfg(feature = "keyvalue-nats")]
mod nats;
mod opened;
mod options;
mod p2;
mod p3;
mod plugin;
#[cfg(feature = "keyvalue-redb")]
mod redb;
#[cfg(feature = "keyvalue-redis")]
mod redis;
mod stores;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use options::KeyValueOptions;
pub use plugin::KeyValue;

use listing::{Page, Wanted};

/// What one tenant keeps in one place.
pub(crate) trait Store: Send + Sync + 'static {
    /// The bucket of a name. There is no making one: it is there as soon as it has a key.
    fn bucket(&self, name: &str) -> Arc<dyn Bucket>;

    /// Why nothing can be kept there now, for whoever runs the workload.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// One bucket of one tenant.
///
/// - K1 What a call has written when it returns, every call that begins later sees, through whatever handle.
/// - K2 Keys are any text, values any bytes; both come back as they were.
/// - K3 `delete` of a key that is not there succeeds.
/// - K4 `set` with `if_absent` writes exactly when the key has no value, also where several do so at once; else [`Fault::Exists`].
/// - K5 A key whose time is over is not there, for any call. `set` gives a new time or none; `increment` and `swap` leave it.
/// - K6 `increment` is atomic. A counter is a whole number in decimal text, from `i64::MIN` to `i64::MAX`, and 0 where there is no
///   key. On [`Fault::NotACounter`] and [`Fault::OutOfRange`] nothing has changed.
/// - K7 `swap` is atomic. A version stands for one value of one key: it is another one when the value is another.
/// - K8 `list` gives every key that is there all the time exactly once, over all pages, and an error rather than less.
/// - K9 What calls on several keys do is in the order of the keys, and not one change: if they fail, some may be done.
/// - K10 After a fault of the place itself, calls succeed again as soon as the place is there again, and nothing is lost that a call
///   has said was written. A call that failed with [`Fault::Unavailable`] or [`Fault::Timeout`] may have been carried out.
/// - K11 Buckets of other names, and of other tenants, share nothing.
#[async_trait]
pub(crate) trait Bucket: Send + Sync + 'static {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault>;

    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault>;

    async fn delete(&self, key: &str) -> Result<(), Fault>;

    async fn exists(&self, key: &str) -> Result<bool, Fault>;

    async fn list(&self, wanted: Wanted) -> Result<Page, Fault>;

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault>;

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault>;

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault>;

    /// The values, in the places of their keys.
    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault>;

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault>;

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault>;
}

/// How a value is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetOptions {
    /// After how long the key is gone.
    pub(crate) ttl: Option<Duration>,
    /// Only where the key has no value.
    pub(crate) if_absent: bool,
}

/// Which counters may be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Any,
    /// Those that are not below zero; for callers that could not be told of others.
    NotNegative,
}

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Bytes,
    pub(crate) version: String,
}

/// What must be so for a swap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) version: Option<String>,
    pub(crate) value: Option<Bytes>,
}

/// How a swap went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    Done,
    /// Nothing was changed, because this is there.
    Stale(Option<Entry>),
}

/// Why something could not be done. The words may be shown to a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(
    not(all(
        feature = "keyvalue-nats",
        feature = "keyvalue-redb",
        feature = "keyvalue-redis"
    )),
    allow(dead_code, reason = "memory fails in fewer ways")
)]
pub(crate) enum Fault {
    /// What was asked makes no sense, or is past a limit.
    #[error("{0}")]
    Invalid(String),
    /// The key has a value already.
    #[error("the key has a value already")]
    Exists,
    /// A key that should be a counter is none.
    #[error("the value of the key is not a whole number in decimal text")]
    NotACounter,
    /// A counter would be past the numbers that there are.
    #[error("the counter would be out of range; it is unchanged")]
    OutOfRange,
    /// The tenant has no room left.
    #[error("{0}")]
    Full(String),
    /// The place cannot be reached, for now.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It took too long.
    #[error("the store took too long to answer")]
    Timeout,
    /// The place refuses.
    #[error("the store denies access")]
    Denied,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
