//! The sibling: says who it is when asked.

wit_bindgen::generate!({ path: "../wit", world: "id-back", generate_all });

struct Back;

impl exports::test::identity::who::Guest for Back {
    fn who() -> String {
        println!("back line");
        let env = std::env::var("WHO").unwrap_or_else(|_| "unset".to_owned());
        let config = wasi::config::store::get("who")
            .ok()
            .flatten()
            .unwrap_or_else(|| "unset".to_owned());
        format!("back env={env} config={config}")
    }
}

export!(Back);
