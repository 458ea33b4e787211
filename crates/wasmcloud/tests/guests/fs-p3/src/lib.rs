//! `/run?SCRIPT`: the answer is a line for each command. The commands are those of the crate `files`, through WASI 0.3.

mod shell;

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::{wit_future, wit_stream};

struct Handler;

impl wasip3::exports::http::handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (_, script) = target.split_once('?').unwrap_or((&target, ""));
        Ok(text(shell::run(script).await))
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

wasip3::http::service::export!(Handler);
