//! `wasi:http` 0.2 and 0.3: one listener serves the handlers of all workloads.
//!
//! A request is routed by host and path ([`route`]), answered by a fresh instance of the workload's entry, and streamed both ways.
//! Whoever goes away takes the guest along: a client that leaves drops the guest's future, and with it its store.

mod access;
mod body;
mod call;
mod client;
mod departure;
mod dispatch;
mod failure;
mod head;
mod limits;
mod link;
mod patience;
mod plugin;
mod received;
mod room;
pub mod route;
mod sent;
mod server;
mod settings;

pub use access::{AccessLog, AccessRecord};
#[cfg(feature = "tls")]
pub(crate) use client::Trust;
pub use client::{ClientOptions, ClientStats, Outgoing, TrustError, TrustRoots};
pub use limits::HttpLimits;
pub(crate) use plugin::clashes;
pub use plugin::{ErrorDetail, Http, HttpOptions};
