//! Contents on their way from a guest of WASI 0.2. The guest may write before it says where they go: until then, they wait in a
//! spool.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::spool::{Spool, Spooled};
use crate::capability::blobstore::{BlobError, Writing};

/// How much a guest writes at once …
const CHUNK: usize = 64 << 10;
/// … and how many such chunks wait to be written.
const WAITING: usize = 4;

type Writer = Box<dyn Writing>;
/// The way of the chunks; `None` when no more may come.
type Way = Arc<Mutex<Option<mpsc::Sender<Bytes>>>>;

/// Contents that a guest writes.
#[allow(unreachable_pub, reason = "the bindings name it publicly")]
pub struct Outgoing {
    way: Way,
    /// Where to say where they go, until that is known.
    target: Option<oneshot::Sender<Writer>>,
    /// Ends with the writer, when all was written. It goes with this value, and what was written with it.
    pump: AbortOnDropHandle<Result<Writer, BlobError>>,
    is_given_out: bool,
    _open: Option<OwnedSemaphorePermit>,
}

impl Outgoing {
    /// One past the limit gives no stream, and says why when it is finished.
    pub(super) fn new(spool: &Spool) -> Self {
        let open = spool.open();
        let (sender, chunks) = mpsc::channel(WAITING);
        let (target, told) = oneshot::channel();
        let spooled = spool.spooled();
        let refused = open.as_ref().err().cloned();
        let is_given_out = refused.is_some();
        let pump = tokio::spawn(async {
            match refused {
                None => pump(chunks, told, spooled).await,
                Some(error) => Err(error),
            }
        });
        Self {
            way: Arc::new(Mutex::new(Some(sender))),
            target: Some(target),
            pump: AbortOnDropHandle::new(pump),
            is_given_out,
            _open: open.ok(),
        }
    }

    /// The stream that the guest writes to, once.
    pub(super) fn stream(&mut self) -> Option<Output> {
        let first = !std::mem::replace(&mut self.is_given_out, true);
        first.then(|| Output(Arc::clone(&self.way)))
    }

    /// Whether nobody has said yet where it goes.
    pub(super) fn is_free(&self) -> bool {
        self.target.is_some()
    }

    /// Says where it goes.
    pub(super) fn lead_to(&mut self, writing: Writer) {
        let target = self.target.take();
        // A pump that failed says why when the value is finished.
        let _ = target.map(|target| target.send(writing));
    }

    /// Waits until everything is written, and puts it in its place.
    pub(super) async fn finish(self) -> Result<(), BlobError> {
        let is_free = self.is_free();
        drop(self.target);
        close(&self.way);
        let written = self.pump.await?;
        if is_free && written.is_ok() {
            return Err(nowhere());
        }
        written?.commit().await
    }
}

fn nowhere() -> BlobError {
    BlobError::Other("the value was not written to an object".to_owned())
}

fn close(way: &Way) {
    *way.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Takes what the guest writes to where it belongs.
async fn pump(
    mut chunks: mpsc::Receiver<Bytes>,
    mut target: oneshot::Receiver<Writer>,
    mut spooled: Spooled,
) -> Result<Writer, BlobError> {
    let mut writer = loop {
        tokio::select! {
            biased;
            writer = &mut target => break writer.map_err(|_| nowhere())?,
            Some(chunk) = chunks.recv() => spooled.push(chunk).await?,
        }
    };
    while let Some(chunk) = spooled.pop().await? {
        writer.write(chunk).await?;
    }
    while let Some(chunk) = chunks.recv().await {
        writer.write(chunk).await?;
    }
    Ok(writer)
}

/// The stream that the guest writes to.
pub(super) struct Output(Way);

impl Output {
    fn sender(&self) -> Option<mpsc::Sender<Bytes>> {
        let way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        way.clone()
    }

    /// The way, as long as somebody writes what comes.
    fn open(&self) -> StreamResult<mpsc::Sender<Bytes>> {
        let sender = self.sender().ok_or(StreamError::Closed)?;
        if sender.is_closed() {
            close(&self.0);
            let told = wasmtime::format_err!("the value could not be written; `finish` says why");
            return Err(StreamError::LastOperationFailed(told));
        }
        Ok(sender)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if let Some(sender) = self.sender() {
            // When nobody takes anything any more, there is nothing to wait for.
            let _ = sender.reserve().await;
        }
    }
}

#[async_trait::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let sender = self.open()?;
        if bytes.len() > CHUNK {
            return Err(StreamError::trap(
                "more was written than there was leave for",
            ));
        }
        match sender.try_send(bytes) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(StreamError::trap("written to without leave"))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => self.open().map(drop),
        }
    }

    /// What was written is on its way; `finish` waits for it.
    fn flush(&mut self) -> StreamResult<()> {
        self.open().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let room = self.open()?.capacity();
        Ok(if room > 0 { CHUNK } else { 0 })
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        close(&self.0);
    }
}

#[cfg(test)]
mod tests;
