//! Imports and exports the same handler. What it lets through it does not touch, so the request's body and the
//! response stream past it; two of it in a row are as good as one.

wit_bindgen::generate!({ path: "../wit", world: "mw", generate_all });

use wasi::http0_2_12::incoming_handler::handle as next;
use wasi::http0_2_12::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Middleware;

impl exports::wasi::http0_2_12::incoming_handler::Guest for Middleware {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if request.headers().has("x-mw") {
            return next(request, out);
        }
        let response = OutgoingResponse::new(Fields::new());
        let answer = match (response.set_status_code(403), response.body()) {
            (Ok(()), Ok(body)) => OutgoingBody::finish(body, None).map(|()| response),
            _ => Err(ErrorCode::InternalError(None)),
        };
        ResponseOutparam::set(out, answer);
    }
}

export!(Middleware);
