//! `/run?SCRIPT` answers with a line for each command of the script. As a service, it runs the script in `SCRIPT`.
//!
//! The commands are some of those of `net-p2`, through WASI 0.3.

mod shell;

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Guest;

impl wasip3::exports::http::handler::Guest for Guest {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (_, script) = target.split_once('?').unwrap_or((&target, ""));
        let mut lines = String::new();
        shell::run(script, |line| lines.push_str(&format!("{line}\n"))).await;
        Ok(text(lines))
    }
}

impl wasip3::exports::cli::run::Guest for Guest {
    async fn run() -> Result<(), ()> {
        let script = std::env::var("SCRIPT").unwrap_or_default();
        shell::run(&script, |line| println!("{line}")).await;
        Ok(())
    }
}

fn text(body: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    spawn_local(async move {
        writer.write_all(body.into_bytes()).await;
        drop(writer);
        // Nobody listens any more when the client is gone.
        let _ = end.write(Ok(None)).await;
    });
    response
}

wasip3::http::service::export!(Guest);
wasip3::cli::command::export!(Guest);
