//! What guests can ask of the host: one plugin a folder. Plugins know the contract in [`crate::plugin`] and nothing of the engine.

pub mod caller;
#[cfg(feature = "config")]
pub mod config;
mod denied;
#[allow(dead_code, reason = "for plugins with backends")]
mod dial;
pub mod direct;
#[cfg(feature = "http")]
pub mod http;
pub(crate) mod listen;
#[cfg(feature = "logging")]
pub mod logging;
pub mod resolve;
mod room;
mod routes;
#[cfg(feature = "schedule")]
pub mod schedule;
#[cfg(feature = "secrets")]
pub mod secrets;
#[allow(dead_code, reason = "for plugins with backends")]
mod settings;
pub mod sockets;
#[allow(dead_code, reason = "for plugins with backends")]
mod tenant;
pub mod wasi;
