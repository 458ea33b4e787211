//! One path for each way a WASI 0.2 handler can behave; `paths` for what ordinary programs do, `misbehave` for the rest.

mod misbehave;
mod paths;
mod reach;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({ path: "../wit", world: "observed", generate_all });

struct Handler;

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (path, query) = reply::target(&request);
        match path.as_str() {
            "/hello" | "/early" => reply::text(out, "Hello from WASI 0.2\n"),
            "/echo" => paths::echo(&request, out),
            "/trailers" => paths::trailers(out),
            "/events" => paths::events(out),
            "/headers" => paths::headers(&request, out),
            "/env" => paths::env(out),
            "/config" => paths::config(&query, out),
            "/config-all" => paths::config_all(out),
            "/log" => paths::log(out),
            "/partial-log" => paths::partial_log(out),
            "/random" => reply::text(
                out,
                &format!("{}\n", wasip2::random::random::get_random_u64()),
            ),
            "/clock" => paths::clock(out),
            "/big" => paths::big(&query, out),
            "/status" => paths::status(&query, out),
            "/count" => paths::count(out),
            "/http" => reach::http(&query, out),
            "/relay" => reach::relay(&request, &query, out),
            "/half" => reach::half(&query, out),
            "/files" => reach::files(out),
            "/sockets" => reach::sockets(out),
            "/trap-before" => misbehave::trap_before(),
            "/trap-after" => misbehave::trap_after(out),
            "/never-ends" => misbehave::never_ends(out),
            "/hang" => misbehave::hang(),
            "/spin" => misbehave::spin(),
            "/fields" => misbehave::fields(&query, out),
            "/slurp" => paths::slurp(&request, out),
            "/no-response" => drop(out),
            _ => reply::with_status(out, 404, "no such path\n"),
        }
    }
}

wasip2::http::proxy::export!(Handler with_types_in wasip2);
