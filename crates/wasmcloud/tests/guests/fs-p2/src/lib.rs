//! `/run?SCRIPT`: the answer is a line for each command. See the crate `files` for the commands.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Handler;

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (path, script) = reply::target(&request);
        match path.as_str() {
            "/run" => reply::text(out, &files::run(&script)),
            "/after-body" => {
                let body = request.consume().expect("the body is taken once");
                let stream = body.stream().expect("the stream is taken once");
                while stream.blocking_read(1024).is_ok() {}
                drop((stream, body));
                reply::text(out, &files::run(&script));
            }
            "/std" => reply::text(out, &files::with_std(&script)),
            _ => reply::with_status(out, 404, "no such path\n"),
        }
    }
}

wasip2::http::proxy::export!(Handler with_types_in wasip2);
