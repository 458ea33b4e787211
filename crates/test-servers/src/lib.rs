//! Real servers for the tests, from the packages of Debian: each on 127.0.0.1, on a port that was free, with a temporary folder of its
//! own. They end with the value that started them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod browser;
mod certificates;
mod clients;
mod faults;
mod link;
mod nats;
mod other_registry;
mod postgres;
mod proxy;
mod redis;
mod registry;
mod s3;
mod tokens;
mod wire;

pub use browser::Browser;
pub use clients::{cosign_2, cosign_3, oras, skopeo};
pub use faults::{Answer, Answering, Fault, FaultyRegistry, Request, Rule};
pub use nats::Nats;
pub use other_registry::OtherRegistry;
pub use postgres::{Postgres, PostgresSession};
pub use proxy::{Proxy, Way};
pub use redis::Redis;
pub use registry::{Registry, RegistryOptions};
pub use s3::S3;
pub use tokens::{TokenOptions, TokenRequest, Tokens};

use std::net::TcpListener;

/// A port that nobody uses.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
