//! Rows on their way to a guest, and the word about how they ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use super::types::{Error, Row};
use crate::capability::in_flight::Permit;
use crate::capability::postgres::{self, Fault, Rows};

/// How many rows are handed over at once, of those that are there …
const AT_ONCE: usize = 16;
/// … and how many bytes of them: with this many, there are enough.
const ENOUGH: usize = 1 << 20;

/// The rows. Whoever lets go of them ends the statement.
pub(super) struct Streamed {
    rows: Option<Rows>,
    /// The room of those that were handed over, until the guest has them all.
    held: Vec<Permit>,
    ended: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Streamed {
    /// With what tells how they ended. Rows that are not taken to their end have ended well.
    pub(super) fn of(
        rows: Rows,
    ) -> (
        Self,
        impl Future<Output = wasmtime::Result<Result<(), Error>>> + Send + 'static,
    ) {
        let (sender, receiver) = oneshot::channel();
        let streamed = Self {
            rows: Some(rows),
            held: Vec::new(),
            ended: Some(sender),
        };
        let ended = async move { Ok(receiver.await.unwrap_or(Ok(()))) };
        (streamed, ended)
    }

    fn end(&mut self, how: Result<(), Fault>) {
        self.rows = None;
        if let Some(ended) = self.ended.take() {
            // A guest that is not interested is none the worse.
            let _ = ended.send(how.map_err(Error::from));
        }
    }
}

impl<D> StreamProducer<D> for Streamed {
    type Item = Row;
    type Buffer = VecBuffer<Row>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Row, VecBuffer<Row>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        // More is wanted when nothing is left of what was handed over before.
        self.held.clear();
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        while taken.len() < AT_ONCE && bytes < ENOUGH {
            let Some(rows) = &mut self.rows else { break };
            match rows.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(row))) => {
                    let postgres::Row {
                        values,
                        bytes: more,
                        held,
                    } = row;
                    bytes = bytes.saturating_add(more);
                    self.held.extend(held);
                    taken.push(values);
                }
                Poll::Ready(Some(Err(fault))) => self.end(Err(fault)),
                Poll::Ready(None) => self.end(Ok(())),
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(match (taken.is_empty(), &self.rows) {
            (false, rows) => {
                destination.set_buffer(taken.into());
                // Said with the last of them, the end costs the guest no other turn.
                match rows {
                    Some(_) => StreamResult::Completed,
                    None => StreamResult::Dropped,
                }
            }
            (true, None) => StreamResult::Dropped,
            (true, Some(_)) if finish => StreamResult::Cancelled,
            (true, Some(_)) => return Poll::Pending,
        }))
    }
}
