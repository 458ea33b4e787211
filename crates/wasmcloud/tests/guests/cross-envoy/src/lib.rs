//! Goes to a meeting, and comes back when somebody else was there.

wit_bindgen::generate!({ path: "../wit", world: "cross-envoy", generate_all });

struct Envoy;

impl exports::test::cross::envoy::Guest for Envoy {
    async fn send(name: String) -> String {
        test::cross::meeting::arrive().await;
        format!("{name} was there")
    }
}

export!(Envoy);
