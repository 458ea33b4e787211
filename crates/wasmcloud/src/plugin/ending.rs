//! How a plugin tells the host that a workload is over.

use tokio::sync::mpsc;

use crate::workload::WorkloadId;

/// How a workload came to its end without being stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was started for.
    Completed,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// Reports the end of one start of one workload. Reports after the first, or for a workload that is being stopped, mean nothing.
#[derive(Clone, Debug)]
pub struct EndingSender {
    id: WorkloadId,
    start: u64,
    sender: mpsc::UnboundedSender<Ended>,
}

/// A report, as the host receives it.
#[derive(Debug)]
pub struct Ended {
    /// The workload.
    pub id: WorkloadId,
    /// Which start of it, so that a late report does not end a successor under the same id.
    pub start: u64,
    /// How.
    pub ending: Ending,
}

impl EndingSender {
    /// A sender for one start of a workload.
    #[must_use]
    pub fn new(id: WorkloadId, start: u64, sender: mpsc::UnboundedSender<Ended>) -> Self {
        Self { id, start, sender }
    }

    /// Reports the end. The host releases everything that the workload holds.
    pub fn end(&self, ending: Ending) {
        // A host that is gone needs no report.
        let _ = self.sender.send(Ended {
            id: self.id.clone(),
            start: self.start,
            ending,
        });
    }
}
