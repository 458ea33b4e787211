//! The state of one workload, and which moves are legal. Pure but for what a running workload holds, which is opaque here.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{ServiceStatus, WorkloadState, WorkloadStatus};
use crate::engine::LinkPlan;
use crate::plugin::Ending;
use crate::workload::{Namespace, WorkloadId, WorkloadName};

/// What a slot says about its workload whatever its state.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) id: WorkloadId,
    pub(super) namespace: Namespace,
    pub(super) name: WorkloadName,
}

/// The state of one workload. `H` is what a running one holds. How its service was is remembered when it holds nothing any more.
///
/// ```text
/// (none) → Starting → Running → Stopping → (none)
///             │          ├→ Completed ─┐
///             ├→ Failed ←┘      │      ├→ Starting, or (none) when stopped
///             └→ (none) when stopped   │
///                 Failed ──────────────┘
/// ```
#[derive(Debug)]
pub(super) enum Slot<H> {
    /// A start is under way. `give_up` tells it to; `over` is cancelled when it has ended either way. A plugin may report the
    /// workload's end before the start is through: `ended`.
    Starting {
        start: u64,
        give_up: CancellationToken,
        over: CancellationToken,
        ended: Option<Ending>,
    },
    /// It runs and holds something.
    Running {
        start: u64,
        plan: Arc<LinkPlan>,
        compiled: bool,
        held: H,
    },
    /// What it held is being released; `over` is cancelled when that is done. `hurry` tells that somebody waits.
    Stopping {
        over: CancellationToken,
        hurry: CancellationToken,
        service: Option<ServiceStatus>,
    },
    /// It ended by itself and holds nothing.
    Completed { service: Option<ServiceStatus> },
    /// It could not start or could not go on, and holds nothing.
    Failed {
        reason: String,
        service: Option<ServiceStatus>,
    },
}

impl<H> Slot<H> {
    /// Whether a new start may take the slot.
    pub(super) fn is_free(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. })
    }

    pub(super) fn status(&self, label: &Label) -> WorkloadStatus {
        let state = match self {
            Self::Starting { .. } => WorkloadState::Starting,
            Self::Running { .. } => WorkloadState::Running,
            Self::Stopping { .. } => WorkloadState::Stopping,
            Self::Completed { .. } => WorkloadState::Completed,
            Self::Failed { .. } => WorkloadState::Failed,
        };
        let mut status = status(label, state);
        match self {
            Self::Running { plan, compiled, .. } => {
                status.plan = Some(Arc::clone(plan));
                status.compiled = Some(*compiled);
            }
            Self::Failed { reason, service } => {
                status.message = Some(reason.clone());
                status.service.clone_from(service);
            }
            Self::Stopping { service, .. } | Self::Completed { service } => {
                status.service.clone_from(service);
            }
            Self::Starting { .. } => {}
        }
        status
    }
}

pub(super) fn status(label: &Label, state: WorkloadState) -> WorkloadStatus {
    WorkloadStatus {
        id: label.id.clone(),
        namespace: label.namespace.clone(),
        name: label.name.clone(),
        state,
        message: None,
        plan: None,
        compiled: None,
        service: None,
        troubles: Vec::new(),
        ports: Vec::new(),
        usage: None,
        schedules: Vec::new(),
    }
}
