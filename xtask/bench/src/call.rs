//! What a call from one component to another costs: through a fused workload, and through the same
//! two components composed by hand and run on bare Wasmtime with the same settings.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasmtime::component::{Component, Linker, ResourceTable, TypedFunc};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::guests::{self, Guests};
use crate::record::Record;
use crate::stats::median;
use crate::{library, say};

/// Rounds of each side.
const ROUNDS: usize = 9;
/// Calls that a round times: enough for a tenth of a second.
const ADDS: u32 = 20_000_000;
const GREETS: u32 = 2_000_000;

/// A composed pair of components whose exports loop over calls from one to the other.
pub(crate) trait Caller {
    /// Calls `add(u32, u32)` across the link `n` times and returns the sum.
    async fn run_add(&mut self, n: u32) -> anyhow::Result<u32>;
    /// Calls `greet(string) -> string` across the link `n` times and returns the lengths' sum.
    async fn run_greet(&mut self, n: u32) -> anyhow::Result<u32>;
}

/// All cases of this bench.
pub(crate) async fn run() -> anyhow::Result<Vec<Record>> {
    let guests = guests::calc();
    let mut bare = BareWasmtime::new(&library::engine_config(), &guests)
        .await
        .context("the baseline")?;
    let mut fused = library::caller(&guests).await?;
    let mut records = Vec::new();
    for case in [
        Case {
            name: "fused-u32",
            calls: ADDS,
        },
        Case {
            name: "fused-string",
            calls: GREETS,
        },
    ] {
        say(&format!("call: {} …", case.name));
        let (ours, theirs) = case.alternate(&mut fused, &mut bare).await?;
        records.push(Record::new("call", case.name, ours, "ns").against("bare-wasmtime", theirs));
    }
    Ok(records)
}

struct Case {
    name: &'static str,
    calls: u32,
}

impl Case {
    /// Nanoseconds a call on either side, in alternating rounds.
    async fn alternate(
        &self,
        ours: &mut impl Caller,
        theirs: &mut impl Caller,
    ) -> anyhow::Result<(f64, f64)> {
        let (warm_ours, warm_theirs) = (self.time(ours).await?, self.time(theirs).await?);
        ensure!(
            warm_ours.1 == warm_theirs.1,
            "the two sides disagree on the result of {}",
            self.name
        );
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_times.push(self.time(ours).await?.0);
            their_times.push(self.time(theirs).await?.0);
        }
        Ok((
            median(&our_times).context("no rounds")?,
            median(&their_times).context("no rounds")?,
        ))
    }

    /// One round: nanoseconds a call, and what the guest computed.
    async fn time(&self, side: &mut impl Caller) -> anyhow::Result<(f64, u32)> {
        let start = Instant::now();
        let result = match self.name {
            "fused-string" => side.run_greet(self.calls).await?,
            _ => side.run_add(self.calls).await?,
        };
        Ok((
            start.elapsed().as_secs_f64() * 1e9 / f64::from(self.calls),
            result,
        ))
    }
}

/// The baseline: `wac plug`, then Wasmtime and nothing else.
struct BareWasmtime {
    store: Store<State>,
    add: TypedFunc<(u32,), (u32,)>,
    greet: TypedFunc<(u32,), (u32,)>,
}

/// What the standard library of the guests asks of a store.
struct State {
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

impl BareWasmtime {
    async fn new(config: &Config, guests: &Guests) -> anyhow::Result<Self> {
        let engine = Engine::new(config)?;
        let component = Component::new(&engine, compose(guests)?)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let state = State {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&engine, state);
        // The checks are compiled in, as in the library; no deadline ever comes.
        store.set_epoch_deadline(1 << 40);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let drive = instance.get_export_index(&mut store, None, library::DRIVE);
        let drive = drive.context("the caller exports no loops")?;
        let add = instance.get_export_index(&mut store, Some(&drive), "run-add");
        let greet = instance.get_export_index(&mut store, Some(&drive), "run-greet");
        let add = instance.get_typed_func(&mut store, add.context("no run-add")?)?;
        let greet = instance.get_typed_func(&mut store, greet.context("no run-greet")?)?;
        Ok(Self { store, add, greet })
    }
}

impl Caller for BareWasmtime {
    async fn run_add(&mut self, n: u32) -> anyhow::Result<u32> {
        Ok(self.add.call_async(&mut self.store, (n,)).await?.0)
    }

    async fn run_greet(&mut self, n: u32) -> anyhow::Result<u32> {
        Ok(self.greet.call_async(&mut self.store, (n,)).await?.0)
    }
}

/// Plugs the callee's exports into the caller's imports, as `wac plug` does.
fn compose(guests: &Guests) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let caller = Package::from_bytes(
        "bench:caller",
        None,
        read(&guests.caller)?,
        graph.types_mut(),
    )?;
    let callee = Package::from_bytes(
        "bench:callee",
        None,
        read(&guests.callee)?,
        graph.types_mut(),
    )?;
    let caller = graph.register_package(caller)?;
    let callee = graph.register_package(callee)?;
    wac_graph::plug(&mut graph, vec![callee], caller)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_baseline_computes_what_it_should() {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let mut bare = BareWasmtime::new(&config, &guests::calc()).await.unwrap();
        assert_eq!(bare.run_add(5).await.unwrap(), 10);
        assert!(bare.run_greet(3).await.unwrap() > 0);
    }
}
