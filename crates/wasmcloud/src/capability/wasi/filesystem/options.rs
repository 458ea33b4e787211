//! What a host's configuration says about volumes.

use std::path::PathBuf;

use crate::workload::Mebibytes;

/// What volumes workloads may have. By default: ephemeral ones of 64 MiB, and no folder of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeOptions {
    /// Folders of the machine below which a `hostPath` may be; a root itself may be one as well. None: every `hostPath` is refused.
    pub roots: Vec<PathBuf>,
    /// Where the folders of ephemeral volumes are made. `None`: in the folder for temporary files. It must be on the disk that may
    /// fill up with what guests write.
    pub ephemeral_dir: Option<PathBuf>,
    /// The limit of an ephemeral volume whose workload does not say one.
    pub ephemeral_size: Mebibytes,
    /// The largest limit that a workload may say. `None`: any, and `none` as well.
    pub largest_ephemeral: Option<Mebibytes>,
    /// How many files and folders of one volume guests may hold open at once. Each takes a descriptor of the process, and all
    /// volumes of a host together have at most a quarter of those that the process may have, whatever this says.
    pub most_open: usize,
    /// How many volumes one workload may mount.
    pub most_volumes: usize,
}

impl Default for VolumeOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            ephemeral_dir: None,
            ephemeral_size: Mebibytes(64),
            largest_ephemeral: Some(Mebibytes(1024)),
            most_open: 256,
            most_volumes: 16,
        }
    }
}
