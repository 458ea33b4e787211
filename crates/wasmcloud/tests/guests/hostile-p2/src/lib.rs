//! One path for each thing that a hostile WASI 0.2 handler can try, and a few that tell one instance from another.

use std::mem::forget;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingRequest, ResponseOutparam};

use crate::wasi::logging::logging::{Level, log as log_line};

wit_bindgen::generate!({ path: "../wit", world: "observed", generate_all });

const SECOND: u64 = 1_000_000_000;

struct Handler;

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (path, query) = reply::target(&request);
        let n = number(&query);
        let said = match path.as_str() {
            "/hello" => "hello\n".to_owned(),
            "/count" => format!("{}\n", misdeeds::count()),
            "/secret" => format!("found {:?}\n", misdeeds::leave_secret(&query)),
            "/env" => format!("{:?}\n", std::env::var("NAME")),
            "/spin" => misdeeds::spin(),
            "/compute" => misdeeds::compute(n),
            "/sleep" => sleep(),
            "/nap" => nap(n),
            "/recurse" => misdeeds::recurse(),
            "/trap" => panic!("told to trap"),
            "/grow" => format!("granted {}\n", misdeeds::grow(n)),
            "/hoard" => misdeeds::hoard(),
            "/fields" => keep(n, Fields::new),
            "/requests" => keep(n, || OutgoingRequest::new(Fields::new())),
            "/pollables" => keep(n, || subscribe_duration(SECOND)),
            "/field-names" => field_names(n),
            "/method" => set(|head| head.set_method(&Method::Other("A".repeat(n)))),
            "/path" => set(|head| head.set_path_with_query(Some(&"/a".repeat(n / 2)))),
            "/authority" => set(|head| head.set_authority(Some(&"a".repeat(n)))),
            "/string" => {
                log_line(Level::Info, "long", misdeeds::long_text(n));
                "logged\n".to_owned()
            }
            "/flood" => flood(n),
            _ => return reply::with_status(out, 404, "no such path\n"),
        };
        reply::text(out, &said);
    }
}

wasip2::http::proxy::export!(Handler with_types_in wasip2);

/// Sleeps for good.
fn sleep() -> ! {
    loop {
        subscribe_duration(SECOND).block();
    }
}

/// Sleeps for so many milliseconds.
fn nap(milliseconds: usize) -> String {
    subscribe_duration(milliseconds as u64 * SECOND / 1000).block();
    "slept\n".to_owned()
}

/// Makes so many resources and drops none.
fn keep<T>(count: usize, make: impl Fn() -> T) -> String {
    for _ in 0..count {
        forget(make());
    }
    format!("kept {count}\n")
}

/// Fills one set of header fields.
fn field_names(count: usize) -> String {
    let fields = Fields::new();
    for index in 0..count {
        if let Err(error) = fields.append(&format!("name-{index}"), b"value") {
            return format!("at {index}: {error:?}\n");
        }
    }
    format!("appended {count}\n")
}

/// Puts something into the head of a request.
fn set(change: impl Fn(&OutgoingRequest) -> Result<(), ()>) -> String {
    let request = OutgoingRequest::new(Fields::new());
    format!("set {}\n", change(&request).is_ok())
}

/// Writes so many lines each way there is.
fn flood(count: usize) -> String {
    let line = "x".repeat(1000);
    for _ in 0..count {
        println!("{line}");
        eprintln!("{line}");
        log_line(Level::Info, "flood", &line);
    }
    format!("wrote {count}\n")
}

/// The number that a query is, or 1.
fn number(query: &str) -> usize {
    query.parse().unwrap_or(1)
}
