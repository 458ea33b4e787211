//! A service that counts the requests which it answers while it runs.

use std::cell::Cell;

use futures_util::future::join;
use test::cross::envoy;
use wasi::cli0_3_0::stdin;
use wasi::http0_3_0::types::{ErrorCode, Fields, Request, Response};
use wit_bindgen::{StreamResult, spawn_local};

wit_bindgen::generate!({ path: "../wit", world: "serve-p3", generate_all });

struct Service;

thread_local! {
    /// Whether `run` is under way.
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

impl exports::wasi::cli0_3_0::run::Guest for Service {
    async fn run() -> Result<(), ()> {
        RUNS.set(true);
        println!("up");
        if std::env::var("MODE").as_deref() == Ok("complete") {
            return Ok(());
        }
        let (mut input, _) = stdin::read_via_stream();
        while input.read(Vec::with_capacity(64)).await.0 != StreamResult::Dropped {}
        println!("farewell");
        Ok(())
    }
}

impl exports::wasi::http0_3_0::handler::Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        Ok(text(match path.as_str() {
            "/trap" => panic!("told to trap"),
            "/exit" => std::process::exit(0),
            "/spin" => misdeeds::spin(),
            "/gather" => gather().await,
            _ => format!("{} {}", misdeeds::count(), RUNS.get()),
        }))
    }
}

/// Unless their ways overlap, neither comes back.
async fn gather() -> String {
    let send = |name: &str| envoy::send(name.to_owned());
    let (one, other) = join(send("one"), send("two")).await;
    format!("{one}, {other}")
}

fn text(body: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    spawn_local(async move {
        writer.write_all(body.into_bytes()).await;
    });
    response
}

export!(Service);
