//! How much guests may keep.

/// What the host allows of keys and values. Every workload has a room of its own of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueOptions {
    /// How many bytes a key may have.
    pub key_bytes: usize,
    /// How many bytes a value may have.
    pub value_bytes: usize,
    /// How many bytes the workloads of one name may keep in memory, with what it takes to keep them.
    pub memory_bytes: u64,
    /// How many bytes they may keep in the data folder, counted in the same way.
    pub disk_bytes: u64,
}

impl Default for KeyValueOptions {
    /// Keys of 1 KiB, values of 1 MiB, 64 MiB in memory and 1 GiB on disk.
    fn default() -> Self {
        Self {
            key_bytes: 1 << 10,
            value_bytes: 1 << 20,
            memory_bytes: 64 << 20,
            disk_bytes: 1 << 30,
        }
    }
}
