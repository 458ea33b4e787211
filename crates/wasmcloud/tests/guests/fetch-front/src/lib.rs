//! In front of another handler, and both send requests: what one may reach is not what the other may. `?front=host:port` makes this
//! one send the request, and its answer has the outcome as status: what came back, or 403 for a request that was denied.

wit_bindgen::generate!({ path: "../wit", world: "fetch-front", generate_all });

use wasi::http0_2_12::incoming_handler::handle as next;
use wasi::http0_2_12::outgoing_handler;
use wasi::http0_2_12::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};

struct Front;

impl exports::wasi::http0_2_12::incoming_handler::Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let Some((_, authority)) = target.split_once("?front=") else {
            return next(request, out);
        };
        let response = OutgoingResponse::new(Fields::new());
        let status = match fetch(authority) {
            Ok(status) => status,
            Err(ErrorCode::HttpRequestDenied) => 403,
            Err(_) => 502,
        };
        let answer = match (response.set_status_code(status), response.body()) {
            (Ok(()), Ok(body)) => OutgoingBody::finish(body, None).map(|()| response),
            _ => Err(ErrorCode::InternalError(None)),
        };
        ResponseOutparam::set(out, answer);
    }
}

fn fetch(authority: &str) -> Result<u16, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let set = [
        request.set_scheme(Some(&Scheme::Http)),
        request.set_authority(Some(authority)),
        request.set_path_with_query(Some("/hello")),
    ];
    assert!(set.iter().all(Result::is_ok), "a valid request");
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    let response = response
        .get()
        .expect("it is ready")
        .expect("it is taken once")?;
    Ok(response.status())
}

export!(Front);
