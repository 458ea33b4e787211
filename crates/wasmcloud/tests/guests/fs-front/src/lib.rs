//! `/own?SCRIPT` runs a script here, `/back?SCRIPT` has the sibling run it.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({ path: "../wit", world: "fs-front", generate_all });

struct Front;

impl Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (path, script) = reply::target(&request);
        match path.as_str() {
            "/own" => reply::text(out, &files::run(&script)),
            "/back" => reply::text(out, &test::files::shell::run(&script)),
            _ => reply::with_status(out, 404, "no such path\n"),
        }
    }
}

wasip2::http::proxy::export!(Front with_types_in wasip2);
