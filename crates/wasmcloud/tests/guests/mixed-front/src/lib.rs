//! Both WASI versions in one workload: a 0.3 handler in front of `id-back`, which knows only 0.2.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen::spawn_local, wit_future, wit_stream};

// Sync imports only, so the async runtime of `wasip3` is the only one in here.
wit_bindgen::generate!({ path: "../wit", world: "mixed-front", generate_all });

struct Front;

impl wasip3::exports::http::handler::Guest for Front {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let answer = format!("front 0.3; {}\n", test::identity::who::who());
        let (mut body, contents) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
        spawn_local(async move {
            body.write_all(answer.into_bytes()).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Front);
