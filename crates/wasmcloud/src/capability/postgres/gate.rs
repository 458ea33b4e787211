//! Room that is waited for no longer than for a connection.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::timeout;

use super::Fault;
use crate::capability::in_flight::{InFlight, Permit};

/// Where room is taken, and how long to wait for it. Clones share the room.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    room: InFlight,
    wait: Duration,
}

/// Somebody who waits for room. `None`: others had it for too long.
pub(super) type Entering = Pin<Box<dyn Future<Output = Option<Permit>> + Send>>;

impl Gate {
    pub(super) fn new(room: InFlight, wait: Duration) -> Self {
        Self { room, wait }
    }

    /// Room for so many bytes that are still to come.
    pub(super) fn enter(&self, bytes: usize) -> Entering {
        let Self { room, wait } = self.clone();
        Box::pin(async move { timeout(wait, room.enter(bytes)).await.ok() })
    }

    /// The same for bytes that are in the host while they wait.
    ///
    /// # Errors
    /// When as much is waiting as may, or others had the room for too long.
    pub(super) async fn admit(&self, bytes: usize) -> Result<Permit, Fault> {
        let admitted = timeout(self.wait, self.room.admit(bytes)).await;
        let admitted = admitted.map_err(|_| Fault::Timeout)?;
        admitted.map_err(|crowded| Fault::Other(crowded.to_string()))
    }
}
