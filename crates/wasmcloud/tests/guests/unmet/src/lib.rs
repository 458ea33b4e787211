//! Cannot run anywhere: one of its imports has no answer.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({ path: "../wit", world: "unmet", generate_all });

struct Unmet;

impl Guest for Unmet {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        reply::text(out, &test::nowhere::nothing::call());
    }
}

wasip2::http::proxy::export!(Unmet with_types_in wasip2);
