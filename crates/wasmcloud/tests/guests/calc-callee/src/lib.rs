//! The far side of a measured call: does as little as a call can do.

wit_bindgen::generate!({ path: "../wit", world: "calc-callee", generate_all });

struct Math;

impl exports::bench::calc::math::Guest for Math {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    fn greet(name: String) -> String {
        format!("hello {name}")
    }
}

export!(Math);
