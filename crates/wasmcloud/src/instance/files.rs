//! What a store keeps for `wasi:filesystem`: where each descriptor of the guest came from.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use wasmtime_wasi::filesystem::WasiFilesystemCtx;

/// The part of a store that `wasi:filesystem` needs. Empty at first: a guest without volumes has no descriptors.
#[derive(Default)]
pub struct FileState {
    /// What `wasmtime-wasi` wants to see. It lists no directories: those are asked for by component.
    pub context: WasiFilesystemCtx,
    /// What each descriptor belongs to, by its index in the store's table.
    pub origins: HashMap<u32, Arc<dyn Any + Send + Sync>>,
    /// The streams of directory entries that the guest holds, by their index in the store's table.
    pub listings: HashSet<u32>,
    /// As many more references as listings that the guest takes as streams of WASI 0.3.
    pub streamed: Arc<()>,
}

impl std::fmt::Debug for FileState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileState")
            .field("descriptors", &self.origins.len())
            .field("listings", &self.listings.len())
            .finish_non_exhaustive()
    }
}
