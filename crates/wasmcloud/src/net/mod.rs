//! The ways out of the host to servers: names, what the egress policy lets through, TLS, and requests of HTTP.

#[cfg(feature = "servers")]
#[cfg_attr(
    not(all(feature = "keyvalue-redis", feature = "nats", feature = "postgres")),
    allow(dead_code, reason = "each client needs a part of it")
)]
pub(crate) mod dial;
pub mod resolve;
#[cfg(any(feature = "http", feature = "servers"))]
pub(crate) mod trust;
#[cfg(any(feature = "blobstore-s3", feature = "oci"))]
pub(crate) mod web;
