//! What guests can ask of the host: one plugin a folder. Plugins know the contract in [`crate::plugin`] and nothing of the engine.

#[cfg(feature = "config")]
pub mod config;
mod denied;
#[allow(dead_code, reason = "for plugins with backends")]
pub(crate) mod dial;
pub mod direct;
#[cfg(feature = "http")]
pub mod http;
pub(crate) mod listen;
#[cfg(feature = "logging")]
pub mod logging;
#[cfg(feature = "messaging")]
pub mod messaging;
#[cfg(feature = "messaging-nats")]
mod nats;
pub mod resolve;
mod room;
mod routes;
#[cfg(feature = "schedule")]
pub mod schedule;
#[allow(dead_code, reason = "for plugins with backends")]
mod settings;
pub mod sockets;
#[allow(dead_code, reason = "for plugins with backends")]
mod tenant;
pub mod wasi;
