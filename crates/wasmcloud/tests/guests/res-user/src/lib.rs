//! Holds counters that live in another component: made here and there, lent, and given away.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({ path: "../wit", world: "res-user", generate_all });

use test::resources::counters::{Counter, consume, make, peek};

struct User;

impl Guest for User {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let constructed = Counter::new(10);
        let made = make(20);
        let (first, second) = (constructed.bump(), made.bump());
        made.bump();
        let (lent, given) = (peek(&constructed), consume(made));
        reply::text(
            out,
            &format!("bump {first} {second}; peek {lent}; consume {given}\n"),
        );
    }
}

wasip2::http::proxy::export!(User with_types_in wasip2);
