//! Listings of folders for WASI 0.3: read whole, then handed over as fast as the guest takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, Destination, FutureReader, Resource, StreamProducer, StreamReader, StreamResult,
    VecBuffer,
};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::filesystem::types::{DirectoryEntry, ErrorCode};

use super::super::{Filesystem, MOST_LISTINGS};
use super::convert;
use crate::plugin::StoreData;

type Done = Result<(), ErrorCode>;
type Given = (StreamReader<DirectoryEntry>, FutureReader<Done>);

pub(super) fn read_directory(
    mut store: Access<'_, StoreData, Filesystem>,
    fd: &Resource<Descriptor>,
) -> wasmtime::Result<Given> {
    let place = store.get().place(fd)?;
    let held = Arc::clone(&store.get().files.streamed);
    let (result, told) = oneshot::channel();
    let stream = if Arc::strong_count(&held) > MOST_LISTINGS + 1 {
        // The other end is here, so somebody listens.
        let _ = result.send(Err(ErrorCode::Quota));
        StreamReader::new(&mut store, Vec::new())?
    } else {
        let listing = Listing {
            // It goes on when nobody wants it any more, and counts until it is done.
            reading: Some(tokio::spawn(async move { (place.list().await, held) })),
            result: Some(result),
            held: None,
        };
        StreamReader::new(&mut store, listing)?
    };
    Ok((stream, FutureReader::new(&mut store, told)?))
}

/// The names of a folder, and the permit under which they were read.
type Read = (FsResult<Vec<p2::DirectoryEntry>>, Arc<()>);

struct Listing {
    reading: Option<JoinHandle<Read>>,
    result: Option<oneshot::Sender<Done>>,
    /// What the reading held, and the entries still do.
    held: Option<Arc<()>>,
}

impl Listing {
    fn tell(&mut self, done: Done) {
        if let Some(sender) = self.result.take() {
            // Whoever has dropped the future does not want to know.
            let _ = sender.send(done);
        }
    }
}

impl<D> StreamProducer<D> for Listing {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let Some(reading) = &mut self.reading else {
            self.tell(Ok(()));
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        let read = match Pin::new(reading).poll(context) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            read => ready!(read),
        };
        self.reading = None;
        let read = read.map(|(read, held)| {
            self.held = Some(held);
            read
        });
        match read {
            Ok(Ok(entries)) => {
                let entries: Vec<_> = entries.into_iter().map(convert::entry).collect();
                let any = !entries.is_empty();
                destination.set_buffer(entries.into());
                if any {
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                self.tell(Ok(()));
            }
            Ok(Err(error)) => match error.downcast() {
                Ok(code) => self.tell(Err(convert::code(code))),
                Err(trap) => return Poll::Ready(Err(trap)),
            },
            Err(crashed) => return Poll::Ready(Err(crashed.into())),
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.tell(Ok(()));
        drop(self.held.take());
    }
}
