//! What a host's configuration says about blobs.

use std::path::PathBuf;

/// What blobs workloads may keep, and where. By default: no object without end, a part of the disk that leaves others theirs, and in no
/// folder but that of the host's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobOptions {
    /// Folders of the machine below which the `root` of a manifest may be; one of them itself may be one as well. None: every
    /// `root` is refused.
    pub roots: Vec<PathBuf>,
    /// How large an object may be, in bytes. A manifest may say less.
    pub largest_object: Option<u64>,
    /// How many bytes a workload may keep in memory. What the workloads of a namespace share has one such room, by however many names
    /// they do.
    pub memory: u64,
    /// How many bytes they may keep in all folders together, with 4 KiB for each object, container and step of a long name.
    pub disk: u64,
    /// How many bytes of objects on their way to a server of S3 one workload may have in memory, with 48 for each name that its open lists
    /// on NATS have given.
    pub held: u64,
    /// How many streams into and out of blobs the components of one workload may have open at once. Where they may hold files, it is a
    /// quarter of those of the host, if that is less.
    pub most_streams: usize,
}

impl Default for BlobOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            largest_object: Some(64 << 30),
            memory: 256 << 20,
            disk: 10 << 30,
            held: 256 << 20,
            most_streams: 256,
        }
    }
}
