//! Reads a sibling's stream and future, and sends it a stream; answers what came of it. `?n=` sets how many bytes go
//! each way.

wit_bindgen::generate!({ path: "../wit", world: "stream-user", generate_all });

use test::streams::source;
use wasi::http0_3_0::types::{ErrorCode, Fields, Request, Response};
use wit_bindgen::{StreamResult, spawn_local};

struct User;

impl exports::wasi::http0_3_0::handler::Guest for User {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let n = target
            .split_once("n=")
            .and_then(|(_, n)| n.parse().ok())
            .unwrap_or(1000);
        let (count, sum) = receive(n).await;
        let later = source::later().await.await;
        let sunk = send(n).await;
        Ok(text(format!(
            "numbers {count} sum {sum}; later {later}; sink {sunk}\n"
        )))
    }
}

/// How many bytes came, and their sum.
async fn receive(n: u32) -> (usize, u64) {
    let mut numbers = source::numbers(n).await;
    let (mut count, mut sum) = (0, 0);
    loop {
        let (result, chunk) = numbers.read(Vec::with_capacity(4096)).await;
        count += chunk.len();
        sum += chunk.into_iter().map(u64::from).sum::<u64>();
        if result == StreamResult::Dropped {
            return (count, sum);
        }
    }
}

/// Sends `n` ones; the answer is their sum.
async fn send(n: u32) -> u64 {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        for _ in 0..n / 1000 {
            writer.write_all(vec![1; 1000]).await;
        }
        writer.write_all(vec![1; (n % 1000) as usize]).await;
    });
    source::sink(reader).await
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

export!(User);
