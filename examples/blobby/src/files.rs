//! The files: objects of one container. They flow through in pieces, so a large one takes no more memory than a small one.

use std::pin::Pin;
use std::task::{Context, Poll};

use wstd::http::body::{Body, Bytes, Frame, HttpBody};
use wstd::http::{BodyExt as _, Error};

use crate::wasi::blobstore::blobstore::{container_exists, create_container, get_container};
use crate::wasi::blobstore::container::Container;
use crate::wasi::blobstore::types::{IncomingValue, OutgoingValue};
use crate::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// The container that all files are in.
const FILES: &str = "files";
/// How much is read at once.
const PIECE: u64 = 64 << 10;
/// How many names are asked for at once.
const NAMES: u64 = 1000;

/// A value, or what went wrong in words.
pub(crate) type Outcome<T> = Result<T, String>;

fn container() -> Outcome<Container> {
    if container_exists(FILES)? {
        return get_container(FILES);
    }
    // Another request may have made it meanwhile.
    create_container(FILES).or_else(|_| get_container(FILES))
}

/// The names and sizes of all files, by name.
pub(crate) fn all() -> Outcome<Vec<(String, u64)>> {
    let container = container()?;
    let names = container.list_objects()?;
    let mut files = Vec::new();
    loop {
        let (some, last) = names.read_stream_object_names(NAMES)?;
        for name in some {
            // One that was deleted since is none.
            if let Ok(info) = container.object_info(&name) {
                files.push((name, info.size));
            }
        }
        if last {
            files.sort();
            return Ok(files);
        }
    }
}

/// Keeps a file under a name, in the place of what it named before. Nobody sees half of it.
pub(crate) async fn put(name: &str, body: Body) -> Outcome<()> {
    let value = OutgoingValue::new_outgoing_value();
    let stream = value
        .outgoing_value_write_body()
        .map_err(|()| "too many uploads")?;
    container()?.write_data(name, &value)?;
    let mut body = body.into_boxed_body();
    while let Some(frame) = body.frame().await {
        // Without its end, the upload is dropped, and so is what was written.
        let frame = frame.map_err(|_| "the upload broke off")?;
        // When no more is taken, `finish` says why.
        if let Ok(bytes) = frame.into_data()
            && write(&stream, &bytes).is_err()
        {
            break;
        }
    }
    drop(stream);
    OutgoingValue::finish(value)
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    // As much as a host takes in one call.
    bytes
        .chunks(4096)
        .try_for_each(|piece| stream.blocking_write_and_flush(piece))
}

/// The content of a file, if there is one of the name.
pub(crate) fn get(name: &str) -> Outcome<Option<Body>> {
    let container = container()?;
    if !container.has_object(name)? {
        return Ok(None);
    }
    let value = container.get_data(name, 0, u64::MAX)?;
    let stream = IncomingValue::incoming_value_consume_async(value)?;
    Ok(Some(Body::from_http_body(Download(stream))))
}

pub(crate) fn delete(name: &str) -> Outcome<()> {
    container()?.delete_object(name)
}

/// A file on its way out.
struct Download(InputStream);

impl HttpBody for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // There is one request in this instance, so nobody else waits meanwhile.
        Poll::Ready(match self.0.blocking_read(PIECE) {
            Ok(bytes) => Some(Ok(Frame::data(bytes.into()))),
            Err(StreamError::Closed) => None,
            Err(error) => Some(Err(Error::msg(error.to_string()))),
        })
    }
}
