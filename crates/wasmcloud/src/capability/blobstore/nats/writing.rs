//! An object on its way to a server: chunks first, of which a few are on their way at once, then what makes them an object.

use std::collections::VecDeque;
use std::sync::Arc;

use async_nats::jetstream::context::PublishAckFuture;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::leases::Doomed;
use super::meta::{Meta, Options, Runs};
use super::names::base64;
use super::server::{Server, chunks_of, of_publish};
use super::{Found, Nats};
use crate::capability::blobstore::{BlobError, Name, Writing};

/// How many chunks may be on their way. With those that are read ahead they are less than 2 MiB, a small part of what a large object
/// takes in memory: fewer of them would save next to nothing, and be slower on a long way.
const AHEAD: usize = 4;
/// How often somebody tries to put an object in its place while others do, too.
const TRIES: usize = 16;

/// An object that is being written.
pub(super) struct NatsWriting {
    to: Nats,
    container: Found,
    object: Name,
    chunk: usize,
    few: BytesMut,
    runs: Runs,
    chunks: u64,
    size: u64,
    digest: Sha256,
    begun: Begun,
}

/// Chunks that belong to no object yet.
struct Begun {
    server: Arc<Server>,
    bucket: String,
    nuid: String,
    /// There are any, and they are to go.
    any: bool,
    /// Those on their way.
    sent: VecDeque<PublishAckFuture>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.any {
            let server = Arc::clone(&self.server);
            let doomed = Doomed::Chunks {
                bucket: std::mem::take(&mut self.bucket),
                nuid: std::mem::take(&mut self.nuid),
            };
            let sent = std::mem::take(&mut self.sent);
            runtime.spawn(async move {
                // One that arrived later would stay.
                for sent in sent {
                    let _ = sent.await;
                }
                server.forget(doomed).await;
            });
        }
    }
}

impl NatsWriting {
    pub(super) fn new(to: Nats, container: Found, object: Name) -> Self {
        let begun = Begun {
            server: Arc::clone(&to.server),
            bucket: container.bucket.clone(),
            nuid: format!("{:032x}", fastrand::u128(..)),
            any: false,
            sent: VecDeque::new(),
        };
        Self {
            chunk: to.server.chunk(),
            to,
            container,
            object,
            few: BytesMut::new(),
            runs: Runs::default(),
            chunks: 0,
            size: 0,
            digest: Sha256::new(),
            begun,
        }
    }

    /// Waits until so few chunks are on their way.
    async fn settle(&mut self, few: usize) -> Result<(), BlobError> {
        while self.begun.sent.len() > few
            && let Some(sent) = self.begun.sent.pop_front()
        {
            let taken = sent.await.map_err(|error| of_publish(&error))?;
            self.runs.push(taken.sequence);
        }
        Ok(())
    }

    async fn send(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.settle(AHEAD - 1).await?;
        let live = self.to.server.connected()?;
        self.digest.update(&chunk);
        self.size += chunk.len() as u64;
        self.chunks += 1;
        self.begun.any = true;
        let subject = chunks_of(&self.begun.bucket, &self.begun.nuid);
        let sent = live.context.publish(subject, chunk).await;
        let sent = sent.map_err(|error| of_publish(&error))?;
        self.begun.sent.push_back(sent);
        Ok(())
    }

    /// Puts something behind what waits for the rest of its chunk. Of a large object, there is room for the whole chunk from the
    /// beginning: memory that grows step by step leaves pieces of every size behind, more of them than the chunks themselves, and
    /// allocators keep them for a while.
    fn hold(&mut self, bytes: &[u8]) {
        let is_large = self.chunks > 0 || !self.few.is_empty();
        if is_large && self.few.len() + bytes.len() > self.few.capacity() {
            self.few.reserve(self.chunk.saturating_sub(self.few.len()));
        }
        self.few.extend_from_slice(bytes);
    }

    async fn put(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            if self.few.is_empty() && bytes.len() >= self.chunk {
                let chunk = bytes.split_to(self.chunk);
                self.send(chunk).await?;
                continue;
            }
            let room = self.chunk.saturating_sub(self.few.len());
            let now = bytes.split_to(room.min(bytes.len()));
            self.hold(&now);
            if self.few.len() >= self.chunk {
                let chunk = self.few.split().freeze();
                self.send(chunk).await?;
            }
        }
        Ok(())
    }

    fn meta(&self) -> Meta {
        let mut meta = Meta {
            name: self.object.as_str().to_owned(),
            bucket: self.begun.bucket.clone(),
            nuid: self.begun.nuid.clone(),
            size: self.size,
            chunks: self.chunks,
            digest: Some(format!(
                "SHA-256={}",
                base64(&self.digest.clone().finalize())
            )),
            options: Options {
                max_chunk_size: self.chunk as u64,
            },
            ..Meta::default()
        };
        // A message has room for it beside a name.
        meta.set_runs(&self.runs, self.chunk / 2);
        meta
    }

    async fn finish(&mut self) -> Result<(), BlobError> {
        if !self.few.is_empty() {
            let chunk = self.few.split().freeze();
            self.send(chunk).await?;
        }
        self.settle(0).await?;
        self.to.still(&self.container).await?;
        let text = serde_json::to_vec(&self.meta())
            .map_err(|_| BlobError::Other("the object cannot be described".to_owned()))?;
        let text = Bytes::from(text);
        let subject = self.container.subject(&self.object);
        for _ in 0..TRIES {
            let old = self.to.meta(&self.container, &self.object).await?;
            let last = old.as_ref().map_or(0, |old| old.place);
            // From here on, nobody knows whether they belong to an object until the server says so.
            let any = std::mem::replace(&mut self.begun.any, false);
            let server = Arc::clone(&self.to.server);
            if !server.replace(subject.clone(), text.clone(), last).await? {
                self.begun.any = any;
                continue;
            }
            if let Some(old) = old {
                server.forget(old.chunks()).await;
            }
            return self.to.still(&self.container).await;
        }
        let told = "others write it at the same time";
        Err(BlobError::Unavailable(told.to_owned()))
    }
}

#[async_trait]
impl Writing for NatsWriting {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.put(bytes).await
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BlobError> {
        self.finish().await
    }
}
