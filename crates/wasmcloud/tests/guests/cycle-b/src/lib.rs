//! The rest of the circle that `cycle-a` begins.

wit_bindgen::generate!({ path: "../wit", world: "cycle-b", generate_all });

struct B;

impl exports::test::cycle::b::Guest for B {
    fn ask_b() -> String {
        test::cycle::a::ask_a()
    }
}

export!(B);
