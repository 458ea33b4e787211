//! Blobs through `wasmcloud:blobstore`, in pieces.

use std::time::Instant;

use exports::bench::capabilities::blobs_async::Guest;
use futures_util::future::join;
use wasmcloud::blobstore::blobstore;
use wasmcloud::blobstore::container::Container;
use wasmcloud::blobstore::types::Error;
use wit_bindgen::{StreamReader, StreamResult, StreamWriter};

wit_bindgen::generate!({ path: "../wit", world: "bench-blobs-p3", generate_all });

struct Flow;

const PIECE: u64 = 64 << 10;

impl Guest for Flow {
    async fn write(name: String, bytes: u64) -> Result<u64, String> {
        let container = container().await?;
        let begun = Instant::now();
        put(&container, name, async |mut body| {
            let mut piece = Vec::with_capacity(PIECE as usize);
            let mut left = bytes;
            while left > 0 {
                piece.resize(left.min(PIECE) as usize, 7);
                left -= piece.len() as u64;
                piece = body.write_all(piece).await;
                if !piece.is_empty() {
                    // Whoever takes it says why it takes no more.
                    return;
                }
            }
        })
        .await?;
        Ok(nanoseconds(begun))
    }

    async fn read(name: String, bytes: u64) -> Result<u64, String> {
        let container = container().await?;
        let begun = Instant::now();
        let mut contents = open(&container, name).await?;
        let (mut read, mut more, mut buffer) = (0, true, Vec::with_capacity(PIECE as usize));
        while more {
            (more, buffer) = next(&mut contents, buffer).await;
            read += buffer.len() as u64;
        }
        match read == bytes {
            true => Ok(nanoseconds(begun)),
            false => Err(format!("{read} bytes came, not {bytes}")),
        }
    }

    async fn pipe(source: String, target: String) -> Result<u64, String> {
        let container = container().await?;
        let begun = Instant::now();
        let mut contents = open(&container, source).await?;
        put(&container, target, async |mut body| {
            let (mut more, mut buffer) = (true, Vec::with_capacity(PIECE as usize));
            while more {
                (more, buffer) = next(&mut contents, buffer).await;
                buffer = body.write_all(buffer).await;
                if !buffer.is_empty() {
                    return;
                }
            }
        })
        .await?;
        Ok(nanoseconds(begun))
    }
}

/// Where everything is.
async fn container() -> Result<Container, String> {
    let name = || "bench".to_owned();
    match blobstore::container_exists(name()).await.map_err(told)? {
        true => blobstore::get_container(name()).await,
        false => blobstore::create_container(name()).await,
    }
    .map_err(told)
}

async fn put(
    container: &Container,
    name: String,
    fill: impl AsyncFnOnce(StreamWriter<u8>),
) -> Result<(), String> {
    let (body, contents) = wit_stream::new();
    let (written, ()) = join(container.write_data(name, contents), fill(body)).await;
    written.map_err(told)
}

async fn open(container: &Container, name: String) -> Result<StreamReader<u8>, String> {
    container.get_data(name, 0, u64::MAX).await.map_err(told)
}

/// Whether there may be more, and what came in the place of what was there.
async fn next(contents: &mut StreamReader<u8>, mut buffer: Vec<u8>) -> (bool, Vec<u8>) {
    buffer.clear();
    let (read, buffer) = contents.read(buffer).await;
    (read != StreamResult::Dropped, buffer)
}

fn told(error: Error) -> String {
    format!("{error:?}")
}

fn nanoseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

export!(Flow);
