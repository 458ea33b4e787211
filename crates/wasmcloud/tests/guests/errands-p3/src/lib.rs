//! Async functions, to be called from outside.

use wit_bindgen::yield_async;

wit_bindgen::generate!({ path: "../wit", world: "errands-p3", generate_all });

struct Errands;

impl exports::test::errands::post::Guest for Errands {
    async fn double(n: u32) -> u32 {
        yield_async().await;
        n * 2
    }

    async fn wait() {
        println!("waiting");
        loop {
            yield_async().await;
        }
    }
}

impl Guest for Errands {
    async fn later(text: String) -> String {
        yield_async().await;
        format!("{text}, later")
    }
}

export!(Errands);
