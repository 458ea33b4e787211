//! Streams and futures made here and read elsewhere, and the other way round.

wit_bindgen::generate!({ path: "../wit", world: "stream-provider", generate_all });

use wit_bindgen::{FutureReader, StreamReader, StreamResult, spawn_local, yield_async};

const CHUNK: u32 = 4096;

struct Provider;

impl exports::test::streams::source::Guest for Provider {
    async fn numbers(n: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            let mut sent = 0;
            while sent < n {
                let until = n.min(sent.saturating_add(CHUNK));
                let chunk = (sent..until)
                    .map(|number| number.to_le_bytes()[0])
                    .collect();
                if !writer.write_all(chunk).await.is_empty() {
                    return;
                }
                sent = until;
            }
        });
        reader
    }

    async fn later() -> FutureReader<u32> {
        let (writer, reader) = wit_future::new(|| 0);
        spawn_local(async move {
            yield_async().await;
            let _ = writer.write(42).await;
        });
        reader
    }

    async fn sink(mut s: StreamReader<u8>) -> u64 {
        let mut sum = 0;
        loop {
            let (result, chunk) = s.read(Vec::with_capacity(4096)).await;
            sum += chunk.into_iter().map(u64::from).sum::<u64>();
            if result == StreamResult::Dropped {
                return sum;
            }
        }
    }
}

export!(Provider);
