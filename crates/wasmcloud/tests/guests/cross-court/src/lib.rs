//! Sends two envoys at once: unless their ways overlap, neither comes back.

wit_bindgen::generate!({ path: "../wit", world: "cross-court", generate_all });

use futures_util::future::join;
use test::cross::envoy;

struct Court;

impl exports::test::cross::court::Guest for Court {
    async fn gather() -> String {
        let send = |name: &str| envoy::send(name.to_owned());
        let (one, other) = join(send("one"), send("two")).await;
        format!("{one}, {other}")
    }
}

export!(Court);
