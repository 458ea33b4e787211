//! The baselines: Wasmtime and nothing else, with the settings of the library.

use anyhow::Context as _;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasmtime::component::{Component, Instance, InstancePre, Linker, TypedFunc};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::WasiCtx;

use super::{Caller, Kind};
use crate::guests::Guests;
use crate::library;
use crate::plain::{self, State};

/// The interface of the callee.
const MATH: &str = "bench:calc/math@0.1.0";

fn link(config: &Config, component: &[u8]) -> anyhow::Result<InstancePre<State>> {
    let engine = Engine::new(config)?;
    let component = Component::new(&engine, component)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker.instantiate_pre(&component)?)
}

async fn instantiate(pre: &InstancePre<State>) -> anyhow::Result<(Store<State>, Instance)> {
    let mut store = plain::store(pre.engine(), WasiCtx::builder().build());
    let instance = pre.instantiate_async(&mut store).await?;
    Ok((store, instance))
}

/// The two guests composed by hand: `wac plug`, then calls within one component.
pub(crate) struct Composed {
    store: Store<State>,
    add: TypedFunc<(u32,), (u32,)>,
    greet: TypedFunc<(u32,), (u32,)>,
}

impl Composed {
    pub(crate) async fn new(config: &Config, guests: &Guests) -> anyhow::Result<Self> {
        let pre = link(config, &compose(guests)?)?;
        let (mut store, instance) = instantiate(&pre).await?;
        let drive = instance.get_export_index(&mut store, None, library::DRIVE);
        let drive = drive.context("the caller exports no loops")?;
        let add = instance.get_export_index(&mut store, Some(&drive), "run-add");
        let greet = instance.get_export_index(&mut store, Some(&drive), "run-greet");
        let add = instance.get_typed_func(&mut store, add.context("no run-add")?)?;
        let greet = instance.get_typed_func(&mut store, greet.context("no run-greet")?)?;
        Ok(Self { store, add, greet })
    }
}

impl Caller for Composed {
    async fn run(&mut self, kind: Kind, n: u32) -> anyhow::Result<Option<u32>> {
        let function = match kind {
            Kind::Add => &self.add,
            Kind::Greet => &self.greet,
        };
        Ok(Some(function.call_async(&mut self.store, (n,)).await?.0))
    }
}

/// The callee alone: calls from the host of one instance that is there.
pub(crate) struct Calls {
    store: Store<State>,
    add: TypedFunc<(u32, u32), (u32,)>,
}

impl Calls {
    pub(crate) async fn new(config: &Config, guests: &Guests) -> anyhow::Result<Self> {
        let pre = link(config, &plain::read(&guests.callee)?)?;
        let (mut store, instance) = instantiate(&pre).await?;
        let math = instance.get_export_index(&mut store, None, MATH);
        let math = math.context("the callee exports no functions")?;
        let add = instance.get_export_index(&mut store, Some(&math), "add");
        let add = instance.get_typed_func(&mut store, add.context("no add")?)?;
        Ok(Self { store, add })
    }
}

impl Caller for Calls {
    /// Adds what the caller of the other side adds; it has no loop for anything else.
    async fn run(&mut self, _: Kind, n: u32) -> anyhow::Result<Option<u32>> {
        let mut sum = 0;
        for number in 0..n {
            (sum,) = self.add.call_async(&mut self.store, (sum, number)).await?;
        }
        Ok(Some(sum))
    }
}

/// The callee alone: a new store and a new instance each time, without a call.
pub(crate) struct Instances(InstancePre<State>);

impl Instances {
    pub(crate) fn new(config: &Config, guests: &Guests) -> anyhow::Result<Self> {
        Ok(Self(link(config, &plain::read(&guests.callee)?)?))
    }
}

impl Caller for Instances {
    async fn run(&mut self, _: Kind, n: u32) -> anyhow::Result<Option<u32>> {
        for _ in 0..n {
            instantiate(&self.0).await?;
        }
        Ok(None)
    }
}

/// Plugs the callee's exports into the caller's imports, as `wac plug` does.
fn compose(guests: &Guests) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut package = |name, path| {
        let package = Package::from_bytes(name, None, plain::read(path)?, graph.types_mut())?;
        anyhow::Ok(graph.register_package(package)?)
    };
    let caller = package("bench:caller", &guests.caller)?;
    let callee = package("bench:callee", &guests.callee)?;
    wac_graph::plug(&mut graph, vec![callee], caller)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests;

    fn config() -> Config {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config
    }

    #[tokio::test]
    async fn composed_guests_compute_what_they_should() {
        let mut bare = Composed::new(&config(), &guests::calc()).await.unwrap();
        assert_eq!(bare.run(Kind::Add, 5).await.unwrap(), Some(10));
        assert!(bare.run(Kind::Greet, 3).await.unwrap() > Some(0));
    }

    #[tokio::test]
    async fn the_callee_alone_adds_the_same_and_can_be_made_again_and_again() {
        let mut calls = Calls::new(&config(), &guests::calc()).await.unwrap();
        assert_eq!(calls.run(Kind::Add, 5).await.unwrap(), Some(10));
        let mut instances = Instances::new(&config(), &guests::calc()).unwrap();
        assert_eq!(instances.run(Kind::Add, 3).await.unwrap(), None);
    }
}
