//! What one tenant may have on its way to the file at once. More waits where it keeps nobody else: the threads that read, and the one
//! that writes, are there for all.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::capability::keyvalue::limited::LISTINGS;

/// How many reads go on at once. Each has a thread, of which the runtime has some hundreds.
pub(super) const READS: u32 = 32;
/// How many changes wait for the writer, which takes several times as many into one transaction: so there is room in the next one for
/// those of others.
pub(super) const WRITES: u32 = 64;
/// For so many bytes, a change counts like one more: all that wait have few enough to be on the disk soon.
const PIECE: usize = 256 << 10;

/// The turns of a tenant, for everybody who has it open.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) listings: Arc<Semaphore>,
    pub(super) reads: Arc<Semaphore>,
    pub(super) writes: Arc<Semaphore>,
}

/// A turn. It belongs to what is done and not to who waits for that, because neither threads nor the writer end with their callers.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

impl Default for Turns {
    fn default() -> Self {
        let turns = |count| Arc::new(Semaphore::new(count));
        Self {
            listings: turns(LISTINGS),
            reads: turns(READS as usize),
            writes: turns(WRITES as usize),
        }
    }
}

impl Turns {
    pub(super) async fn list(&self) -> Turn {
        turn(&self.listings, 1).await
    }

    pub(super) async fn read(&self) -> Turn {
        turn(&self.reads, 1).await
    }

    /// The turn of a change that brings so many bytes.
    pub(super) async fn write(&self, bytes: usize) -> Turn {
        let pieces = u32::try_from(bytes / PIECE).unwrap_or(WRITES);
        turn(&self.writes, pieces.saturating_add(1).min(WRITES)).await
    }
}

/// Waits behind those who came before.
async fn turn(of: &Arc<Semaphore>, counts: u32) -> Turn {
    // They are never closed.
    Arc::clone(of).acquire_many_owned(counts).await.ok()
}
