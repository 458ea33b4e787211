//! The near side of a measured call: the loop is in here, so that entering the guest is paid for once.

wit_bindgen::generate!({ path: "../wit", world: "calc-caller", generate_all });

use bench::calc::math;
use exports::bench::calc::drive::Guest;

struct Caller;

impl Guest for Caller {
    fn run_add(n: u32) -> u32 {
        (0..n).fold(0, math::add)
    }

    fn run_greet(n: u32) -> u32 {
        (0..n)
            .map(|_| u32::try_from(math::greet("world").len()).unwrap_or(u32::MAX))
            .fold(0, u32::wrapping_add)
    }

    fn who() -> String {
        math::greet("caller")
    }
}

export!(Caller);
