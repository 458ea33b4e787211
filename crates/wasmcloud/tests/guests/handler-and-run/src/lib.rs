//! A handler that can also be run as a command, as many toolchains make them.

use wasip2::exports::cli::run::Guest as Run;
use wasip2::exports::http::incoming_handler::Guest as Handle;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Both;

impl Handle for Both {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        reply::text(out, "handled\n");
    }
}

impl Run for Both {
    fn run() -> Result<(), ()> {
        println!("ran");
        Ok(())
    }
}

wasip2::http::proxy::export!(Both with_types_in wasip2);
wasip2::cli::command::export!(Both with_types_in wasip2);
