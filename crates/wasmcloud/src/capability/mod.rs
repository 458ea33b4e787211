//! What guests can ask of the host: one plugin a folder. Plugins know the contract in [`crate::plugin`] and nothing of the engine.

#[cfg(feature = "config")]
pub mod config;
mod denied;
pub mod direct;
#[cfg(feature = "http")]
pub mod http;
pub(crate) mod listen;
#[cfg(feature = "logging")]
pub mod logging;
pub mod resolve;
mod room;
#[cfg(feature = "schedule")]
pub mod schedule;
pub mod sockets;
pub mod wasi;
