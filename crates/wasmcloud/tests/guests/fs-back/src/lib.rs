//! Runs scripts for its sibling.

wit_bindgen::generate!({ path: "../wit", world: "fs-back", generate_all });

struct Back;

impl exports::test::files::shell::Guest for Back {
    fn run(script: String) -> String {
        files::run(&script)
    }
}

export!(Back);
