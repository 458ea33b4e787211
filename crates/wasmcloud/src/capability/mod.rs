//! What guests can ask of the host: one plugin a folder. Plugins know the contract in [`crate::plugin`] and nothing of the engine.

pub mod config;
pub mod http;
pub mod logging;
pub mod wasi;
