//! What guests can ask of the host: one plugin a folder. Plugins know the contract in [`crate::plugin`] and nothing of the engine.

#[cfg(feature = "blobstore")]
pub mod blobstore;
#[cfg(any(feature = "blobstore", feature = "keyvalue", feature = "messaging"))]
#[cfg_attr(
    not(feature = "blobstore"),
    allow(dead_code, reason = "the others count less of what is kept")
)]
mod budget;
pub mod caller;
#[cfg(feature = "config")]
pub mod config;
mod denied;
pub mod direct;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(feature = "keyvalue", feature = "messaging", feature = "postgres"))]
mod in_flight;
#[cfg(feature = "keyvalue")]
pub mod keyvalue;
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "only this server empties its queue")
)]
pub(crate) mod listen;
mod logged;
#[cfg(feature = "logging")]
pub mod logging;
#[cfg(feature = "messaging")]
pub mod messaging;
#[cfg(feature = "nats")]
#[cfg_attr(
    not(any(
        feature = "blobstore-nats",
        feature = "keyvalue-nats",
        feature = "messaging-nats"
    )),
    allow(dead_code, reason = "the capabilities over it bring it to life")
)]
mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(
    feature = "blobstore-s3",
    feature = "keyvalue-redis",
    feature = "postgres"
))]
#[cfg_attr(
    not(feature = "keyvalue-redis"),
    allow(dead_code, reason = "not every capability finds out as much")
)]
mod reach;
mod room;
#[cfg(any(
    feature = "blobstore",
    feature = "config",
    feature = "keyvalue",
    feature = "messaging",
    feature = "postgres"
))]
#[cfg_attr(
    not(all(feature = "config", feature = "keyvalue")),
    allow(dead_code, reason = "each plugin needs a part of it")
)]
mod routes;
#[cfg(feature = "schedule")]
pub mod schedule;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(any(
    feature = "blobstore",
    feature = "keyvalue",
    feature = "messaging",
    feature = "postgres",
    feature = "secrets"
))]
#[allow(
    dead_code,
    reason = "a plugin reads settings of some kinds, not of all"
)]
mod settings;
#[cfg(any(
    feature = "blobstore",
    feature = "keyvalue",
    feature = "messaging",
    feature = "postgres"
))]
mod shared;
pub mod sockets;
#[cfg(any(
    feature = "blobstore",
    feature = "keyvalue",
    feature = "messaging",
    feature = "secrets"
))]
mod tenant;
#[cfg(feature = "tls")]
pub mod tls;
pub mod wasi;
#[cfg(any(feature = "postgres", feature = "secrets"))]
pub(crate) mod workloads;

pub use logged::may_be_logged;
