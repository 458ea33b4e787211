//! The near side of a measured call by a service: it waits for its turn, calls in a loop, and waits again.

wit_bindgen::generate!({ path: "../wit", world: "calc-service", generate_all });

use bench::calc::{gate, math};

struct Service;

impl wasip2::exports::cli::run::Guest for Service {
    fn run() -> Result<(), ()> {
        let mut result = 0;
        loop {
            match gate::turn(result) {
                0 => return Ok(()),
                n => result = (0..n).fold(0, math::add),
            }
        }
    }
}

wasip2::cli::command::export!(Service with_types_in wasip2);
