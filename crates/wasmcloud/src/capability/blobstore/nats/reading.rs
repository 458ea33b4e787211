//! The contents of an object, a chunk at a time. Each is asked for by itself, so a slow reader holds up nothing, a connection that
//! comes back is used, and where the places of the chunks are known a range costs nothing of what is before it.

use std::sync::Arc;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::leases::Lease;
use super::meta::{Meta, Runs};
use super::server::{Miss, Server, chunks_of, stream_of};
use crate::capability::blobstore::{BlobError, Contents, Range, Reading};

/// How many chunks are on their way at once.
const AHEAD: usize = 3;
/// How often a chunk is asked for whose answer does not come.
const TRIES: usize = 3;

/// What is read from.
#[derive(Clone)]
struct Source {
    server: Arc<Server>,
    stream: Stream<()>,
    chunks: String,
    /// Held for as long as somebody reads.
    _lease: Arc<Lease>,
}

/// A range of an object.
pub(super) async fn read(
    server: Arc<Server>,
    meta: &Meta,
    lease: Lease,
    range: Range,
) -> Result<Reading, BlobError> {
    let range = range.within(meta.size);
    let source = Source {
        stream: server.stream(&stream_of(&meta.bucket)).await?,
        chunks: chunks_of(&meta.bucket, &meta.nuid),
        server,
        _lease: Arc::new(lease),
    };
    let contents = match meta.runs() {
        _ if range.length() == 0 => stream::empty().boxed(),
        Some(runs) => by_place(source, runs, meta.options.max_chunk_size, range),
        None => in_order(source, range),
    };
    Ok(Reading {
        length: range.length(),
        contents,
    })
}

/// Asks for the chunks of the range, and a few ahead.
fn by_place(source: Source, runs: Runs, chunk: u64, range: Range) -> Contents {
    let first = range.start / chunk;
    let count = range.end.div_ceil(chunk).saturating_sub(first);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let places = stream::iter((first..).zip(runs.from(first)).take(count));
    let chunks = places.map(move |(index, place)| {
        let source = source.clone();
        async move {
            let message = source.at(place).await?;
            let begins = index.saturating_mul(chunk);
            let whole = begins.saturating_add(message.payload.len() as u64);
            // Whoever wrote what is said of the object may have written any numbers.
            let full = begins.saturating_add(chunk);
            // Any but the last one of the object is of full size, and none is larger.
            let fits = (range.end.min(full)..=full).contains(&whole);
            if message.subject.as_str() != source.chunks || !fits {
                return Err(gone());
            }
            Ok(cut(&message.payload, begins, range))
        }
    });
    chunks.buffered(AHEAD).boxed()
}

/// Goes through the chunks from the first one on, one after the other. Nothing but the one that has come is in memory.
fn in_order(source: Source, range: Range) -> Contents {
    let state = (source, 1, 0);
    stream::try_unfold(state, move |(source, mut from, mut begins)| async move {
        loop {
            if begins >= range.end {
                return Ok(None);
            }
            let message = source.next(from).await?;
            let bytes = cut(&message.payload, begins, range);
            from = message.sequence.saturating_add(1);
            begins = begins.saturating_add(message.payload.len() as u64);
            if !bytes.is_empty() {
                return Ok(Some((bytes, (source, from, begins))));
            }
        }
    })
    .boxed()
}

/// What of a chunk that begins there is in the range.
fn cut(chunk: &Bytes, begins: u64, range: Range) -> Bytes {
    let place = |at: u64| {
        let at = usize::try_from(at.saturating_sub(begins)).unwrap_or(usize::MAX);
        at.min(chunk.len())
    };
    chunk.slice(place(range.start)..place(range.end))
}

fn gone() -> BlobError {
    BlobError::Unavailable("another host has replaced or deleted it meanwhile".to_owned())
}

impl Source {
    async fn at(&self, place: u64) -> Result<StreamMessage, BlobError> {
        let mut missed = gone();
        for _ in 0..TRIES {
            match self.server.at(&self.stream, place).await {
                Ok(message) => return Ok(message),
                // A copy of the stream may be late; who decides about it is not.
                Err(Miss::Gone) => {
                    let asked = self.stream.get_raw_message(place).await;
                    return asked.map_err(|_| gone());
                }
                Err(Miss::Failed(error)) => missed = error,
            }
        }
        Err(missed)
    }

    async fn next(&self, from: u64) -> Result<StreamMessage, BlobError> {
        let mut missed = gone();
        for _ in 0..TRIES {
            match self.server.next(&self.stream, &self.chunks, from).await {
                Ok(message) => return Ok(message),
                Err(Miss::Gone) => return Err(gone()),
                Err(Miss::Failed(error)) => missed = error,
            }
        }
        Err(missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_cut_to_the_range() {
        let chunk = Bytes::from_static(b"0123456789");
        for (start, end, wanted) in [
            (100, 110, "0123456789"),
            (103, 105, "34"),
            (95, 102, "01"),
            (108, 200, "89"),
            (200, 300, ""),
            (0, 50, ""),
        ] {
            assert_eq!(cut(&chunk, 100, Range { start, end }), wanted);
        }
    }
}
