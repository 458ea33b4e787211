//! `wasi:filesystem`: a component sees the volumes that its manifest mounts, and nothing else.
//!
//! `wasmtime-wasi` resolves paths and reads; what changes a volume comes by here, so that its limit holds. A descriptor is tied to
//! its volume for life: the store remembers which, by the descriptor's index, since fused components may hand descriptors on.

mod change;
mod folder;
mod mounts;
mod options;
mod p2;
mod p3;
mod quota;
mod stream;
mod volume;

use std::sync::Arc;

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};

use change::Place;
pub(super) use mounts::{Mounts, Volumes};
pub use options::VolumeOptions;
use volume::Volume;

use crate::plugin::{FileState, Position, StoreData};

/// How many listings of folders an instance may hold at once: each has all its names in memory.
const MOST_LISTINGS: usize = 16;

/// `wasi:filesystem/types` for the components of a store.
pub(super) struct Filesystem;

impl HasData for Filesystem {
    type Data<'a> = FilesystemView<'a>;
}

/// What its functions work on.
pub(super) struct FilesystemView<'a> {
    table: &'a mut ResourceTable,
    files: &'a mut FileState,
}

impl<'a> FilesystemView<'a> {
    /// The same, as `wasmtime-wasi` wants to see it.
    fn into_wasmtime(self) -> WasiFilesystemCtxView<'a> {
        WasiFilesystemCtxView {
            ctx: &mut self.files.context,
            table: self.table,
        }
    }
}

impl FilesystemView<'_> {
    /// What a store has.
    pub(super) fn of(store: &mut StoreData) -> FilesystemView<'_> {
        let (table, files) = store.files();
        FilesystemView { table, files }
    }

    /// What answers where nothing changes.
    fn wasmtime(&mut self) -> WasiFilesystemCtxView<'_> {
        let (table, files) = (&mut *self.table, &mut *self.files);
        FilesystemView { table, files }.into_wasmtime()
    }

    /// A descriptor with its volume.
    fn place(&self, descriptor: &Resource<Descriptor>) -> wasmtime::Result<Place> {
        let origin = self.files.origins.get(&descriptor.rep());
        let volume = origin.and_then(|origin| Arc::clone(origin).downcast::<Volume>().ok());
        Ok(Place {
            descriptor: self.table.get(descriptor)?.clone(),
            volume: volume
                .ok_or_else(|| wasmtime::format_err!("a descriptor that belongs to no volume"))?,
        })
    }

    /// Gives the guest a descriptor.
    fn push(
        &mut self,
        descriptor: Descriptor,
        volume: Arc<Volume>,
    ) -> wasmtime::Result<Resource<Descriptor>> {
        let descriptor = self.table.push(descriptor)?;
        self.files.origins.insert(descriptor.rep(), volume);
        Ok(descriptor)
    }

    /// Takes a descriptor back. Its index may be used again, so where it came from is forgotten.
    fn forget(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.files.origins.remove(&descriptor.rep());
        self.table.delete(descriptor)?;
        Ok(())
    }
}

/// What the component at a position mounts, as descriptors that it owns. One answer for both versions of WASI.
pub(super) fn directories(
    store: &mut StoreData,
    position: Position,
) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
    let component = Arc::clone(store.caller(position)?);
    let workload = Arc::clone(store.workload());
    let mounts = workload.states.get::<Mounts>();
    let mut view = FilesystemView::of(store);
    let mounts = mounts.map_or(&[][..], |mounts| mounts.of(&component.name));
    let given = mounts.iter().map(|mount| {
        let root = Descriptor::Dir(mount.root.clone());
        let descriptor = view.push(root, Arc::clone(&mount.volume))?;
        Ok((descriptor, mount.path.clone()))
    });
    given.collect()
}
