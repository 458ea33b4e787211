//! What whoever follows files tells.

use std::path::PathBuf;

use crate::workload::{Diagnostics, WorkloadId};

/// Something to tell. Workloads go by the id that follows from namespace and name, whatever id the host has for a version of one.
#[derive(Clone, Debug)]
pub enum News {
    /// A workload runs that did not.
    Started {
        /// Which.
        workload: WorkloadId,
        /// Whether some of its code had to be compiled.
        compiled: bool,
    },
    /// A new version took over.
    Replaced {
        /// Which.
        workload: WorkloadId,
        /// Whose place it took, if it had another name.
        renamed: Option<WorkloadId>,
        /// Whether some of its code had to be compiled.
        compiled: bool,
    },
    /// Nobody asks for it any more, and nothing of it is left.
    Stopped {
        /// Which.
        workload: WorkloadId,
    },
    /// A version did not start.
    Failed {
        /// Which.
        workload: WorkloadId,
        /// Why.
        errors: Diagnostics,
        /// What runs on in its place: the last good version, under its old name if that changed.
        running: Option<WorkloadId>,
    },
    /// A file or folder cannot be used.
    Unusable {
        /// What is wrong with it.
        errors: Diagnostics,
        /// What it asked for before, which runs on.
        running: Vec<WorkloadId>,
    },
    /// A file or folder can be used again.
    Usable {
        /// Which.
        path: PathBuf,
    },
}

/// How things are.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// What runs.
    pub running: Vec<WorkloadId>,
    /// What did not start and has no other version that runs.
    pub failed: Vec<WorkloadId>,
    /// How many of those that run needed something compiled.
    pub compiled: usize,
}
