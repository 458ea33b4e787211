//! Bare Wasmtime with its own WASI: what the baselines run guests in.

use std::path::Path;

use anyhow::Context as _;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What a guest asks of a store.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// A store for one instance.
pub(crate) fn store(engine: &Engine, wasi: WasiCtx) -> Store<State> {
    let state = State {
        wasi,
        table: ResourceTable::new(),
    };
    let mut store = Store::new(engine, state);
    // The checks are compiled in, as in the library; no deadline ever comes.
    store.set_epoch_deadline(1 << 40);
    store
}

/// The bytes of a guest.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}
