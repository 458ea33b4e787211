//! Built for WASI preview 1: a core module that carries its world with it and prints through preview 1. A host has to
//! adapt it before it can run.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Module;

impl Guest for Module {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        println!("printed through preview 1");
        reply::text(out, "adapted\n");
    }
}

wasip2::http::proxy::export!(Module with_types_in wasip2);
