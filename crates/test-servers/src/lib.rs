//! Real servers for the tests, from the packages of Debian: each on 127.0.0.1, on a port that was free, with a temporary folder of its
//! own. They end with the value that started them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod browser;
mod nats;
mod postgres;
mod proxy;
mod redis;
mod s3;

pub use browser::Browser;
pub use nats::Nats;
pub use postgres::{Postgres, PostgresSession};
pub use proxy::{Proxy, Way};
pub use redis::Redis;
pub use s3::S3;

use std::net::TcpListener;

/// A port that nobody uses.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
