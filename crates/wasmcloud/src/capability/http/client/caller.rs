//! Who sends a request, and what the host's log is told about it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::capability::denied::passes;
use crate::plugin::{ComponentContext, Telling, WorkloadContext};
use crate::policy::{EgressPolicy, Verdict};
use crate::workload::Destination;

/// The component that sends a request.
pub(in crate::capability::http) struct Caller {
    pub(in crate::capability::http) workload: Arc<WorkloadContext>,
    pub(in crate::capability::http) component: Arc<ComponentContext>,
    /// Cancelled when its instance is gone.
    pub(in crate::capability::http) gone: CancellationToken,
}

impl Caller {
    /// Whether a verdict lets pass. What it denies, or would deny, is told to the host's log.
    pub(super) fn passes(&self, to: &Destination, verdict: Verdict, policy: &EgressPolicy) -> bool {
        let what = format_args!("an HTTP request to {to}");
        passes(&self.workload, &self.component, &what, verdict, policy)
    }

    /// That there are as many connections as may be. Once for each component.
    pub(super) fn tell_limit(&self, limit: usize) {
        if self.component.told.tell("connections") != Telling::Known {
            tracing::warn!(
                workload = %self.workload,
                component = %self.component.name,
                "an HTTP request waited in vain for a connection: the workload has {limit} open at most, or the host has none left"
            );
        }
    }
}
