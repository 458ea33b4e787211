//! A slot of the host that is taken for a start, until it is known how the start ends.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::host::slot::{Label, Slot};
use crate::host::start::Started;
use crate::host::{StartError, WorkloadStatus};
use crate::plugin::Ended;

/// A slot taken for a start. Dropped unfilled, such as when the caller goes away, it gives the slot back.
pub(super) struct Reservation {
    pub(super) host: Arc<Inner>,
    pub(super) label: Label,
    pub(super) start: u64,
    pub(super) give_up: CancellationToken,
    pub(super) over: CancellationToken,
    pub(super) filled: bool,
}

impl Reservation {
    /// Fills the slot with a running workload, unless it was stopped meanwhile.
    pub(super) fn fill(mut self, started: Started) -> Result<WorkloadStatus, StartError> {
        let host = Arc::clone(&self.host);
        let mut slots = host.slots();
        if self.give_up.is_cancelled() {
            drop(slots);
            return Err(StartError::Stopped);
        }
        self.filled = true;
        let id = &self.label.id;
        let slot = Slot::Running {
            start: self.start,
            plan: started.plan,
            compiled: started.compiled,
            held: started.held,
        };
        let status = super::status(&self.label, &slot);
        let before = slots.by_id.insert(id.clone(), (self.label.clone(), slot));
        drop(slots);
        if let Some((
            _,
            Slot::Starting {
                ended: Some(ending),
                ..
            },
        )) = before
        {
            host.end(Ended {
                id: id.clone(),
                start: self.start,
                ending,
            });
        }
        Ok(status)
    }

    /// Leaves the reason in the slot.
    pub(super) fn fail(mut self, error: StartError) -> StartError {
        if !self.give_up.is_cancelled() {
            self.filled = true;
            let slot = Slot::Failed {
                reason: error.to_string(),
                service: None,
            };
            self.host
                .slots()
                .by_id
                .insert(self.label.id.clone(), (self.label.clone(), slot));
        }
        error
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.filled {
            self.host.slots().by_id.remove(&self.label.id);
        }
        self.over.cancel();
    }
}
