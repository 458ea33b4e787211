//! Blobs through `wasi:blobstore`, in pieces.

use std::time::Instant;

use exports::bench::capabilities::blobs::Guest;
use wasi::blobstore::blobstore;
use wasi::blobstore::container::Container;
use wasi::blobstore::types::{IncomingValue, OutgoingValue};
use wasi::io::streams::{InputStream, OutputStream, StreamError};

wit_bindgen::generate!({ path: "../wit", world: "bench-blobs", generate_all });

struct Flow;

const PIECE: u64 = 64 << 10;

impl Guest for Flow {
    fn write(name: String, bytes: u64) -> Result<u64, String> {
        let container = container()?;
        let piece = vec![7; PIECE as usize];
        let begun = Instant::now();
        put(&container, &name, |body| {
            let mut left = bytes;
            while left > 0 {
                let length = left.min(PIECE);
                write(body, &piece[..length as usize]).map_err(broken)?;
                left -= length;
            }
            Ok(())
        })?;
        Ok(nanoseconds(begun))
    }

    fn read(name: String, bytes: u64) -> Result<u64, String> {
        let container = container()?;
        let begun = Instant::now();
        let mut read = 0;
        let contents = open(&container, &name)?;
        while let Some(piece) = next(&contents)? {
            read += piece.len() as u64;
        }
        match read == bytes {
            true => Ok(nanoseconds(begun)),
            false => Err(format!("{read} bytes came, not {bytes}")),
        }
    }

    fn pipe(source: String, target: String) -> Result<u64, String> {
        let container = container()?;
        let begun = Instant::now();
        let contents = open(&container, &source)?;
        put(&container, &target, |body| {
            while let Some(piece) = next(&contents)? {
                write(body, &piece).map_err(broken)?;
            }
            Ok(())
        })?;
        Ok(nanoseconds(begun))
    }
}

/// Where everything is.
fn container() -> Result<Container, String> {
    match blobstore::container_exists("bench")? {
        true => blobstore::get_container("bench"),
        false => blobstore::create_container("bench"),
    }
}

fn put(
    container: &Container,
    name: &str,
    fill: impl FnOnce(&OutputStream) -> Result<(), String>,
) -> Result<(), String> {
    let value = OutgoingValue::new_outgoing_value();
    container.write_data(name, &value)?;
    let body = value.outgoing_value_write_body().map_err(|()| "no body")?;
    fill(&body)?;
    drop(body);
    OutgoingValue::finish(value)
}

/// Writes all of `bytes`, waiting whenever the host takes no more for now.
fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}

fn open(container: &Container, name: &str) -> Result<InputStream, String> {
    let value = container.get_data(name, 0, u64::MAX)?;
    IncomingValue::incoming_value_consume_async(value)
}

fn next(contents: &InputStream) -> Result<Option<Vec<u8>>, String> {
    match contents.blocking_read(PIECE) {
        Ok(piece) => Ok(Some(piece)),
        Err(StreamError::Closed) => Ok(None),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: StreamError) -> String {
    match error {
        StreamError::Closed => "the stream is closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    }
}

fn nanoseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

export!(Flow);
