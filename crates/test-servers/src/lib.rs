//! Real servers for the tests, from the packages of Debian: each on 127.0.0.1, on a port that was free, with a temporary folder of its
//! own. They end with the value that started them.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod nats;

pub use nats::Nats;
