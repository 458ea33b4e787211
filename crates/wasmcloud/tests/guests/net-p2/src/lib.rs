//! `/run?SCRIPT` answers with a line for each command of the script. As a service, it runs the script in `SCRIPT`.
//!
//! Commands are separated by `;`, their arguments by `,`. Sockets are numbered in the order in which they come.

mod raw;
mod shell;

use wasip2::exports::cli::run::Guest as Run;
use wasip2::exports::http::incoming_handler::Guest as Handle;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Guest;

impl Handle for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (_, script) = reply::target(&request);
        let mut lines = String::new();
        shell::run(&script, |line| lines.push_str(&format!("{line}\n")));
        reply::text(out, &lines);
    }
}

impl Run for Guest {
    fn run() -> Result<(), ()> {
        let script = std::env::var("SCRIPT").unwrap_or_default();
        shell::run(&script, |line| println!("{line}"));
        Ok(())
    }
}

wasip2::http::proxy::export!(Guest with_types_in wasip2);
wasip2::cli::command::export!(Guest with_types_in wasip2);
