//! Imports what `cycle-b` exports, which imports what this exports. Never run: a host has to refuse the pair.

use wasip2::exports::http::incoming_handler::Guest as Handle;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({ path: "../wit", world: "cycle-a", generate_all });

struct A;

impl exports::test::cycle::a::Guest for A {
    fn ask_a() -> String {
        test::cycle::b::ask_b()
    }
}

impl Handle for A {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        reply::text(out, &test::cycle::b::ask_b());
    }
}

export!(A);
wasip2::http::proxy::export!(A with_types_in wasip2);
