//! What calls of the host cost where nothing is kept: the same guest on bare Wasmtime, whose functions answer at once and always the
//! same. Like those of the library they may wait, so they are async.

use std::future::ready;

use anyhow::Context as _;
use wasmtime::component::{
    Accessor, Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::{WasiCtx, p2, p3};

use super::{Action, Keeper, Told, VALUE, at_once};
use crate::guests::{self, Dialect};
use crate::library;
use crate::plain::{self, State};
use crate::workers::Workers;

/// A guest, and what its instances are made of.
pub(super) struct Empty {
    parts: Parts,
    workers: Workers,
}

#[derive(Clone)]
struct Parts {
    engine: Engine,
    linker: Linker<State>,
    guest: Component,
    drive: &'static str,
}

impl Empty {
    pub(super) fn new(dialect: Dialect) -> anyhow::Result<Self> {
        let engine = Engine::new(&library::network::engine_config(dialect))?;
        let mut linker = Linker::new(&engine);
        p2::add_to_linker_async(&mut linker)?;
        let drive = match dialect {
            Dialect::P2 => {
                blocking(&mut linker)?;
                "bench:capabilities/keyvalue@0.1.0"
            }
            Dialect::P3 => {
                p3::add_to_linker(&mut linker)?;
                asynchronous(&mut linker)?;
                "bench:capabilities/keyvalue-async@0.1.0"
            }
        };
        let guest = Component::new(&engine, plain::read(&guests::keyvalue(dialect))?)?;
        let parts = Parts {
            engine,
            linker,
            guest,
            drive,
        };
        Ok(Self {
            parts,
            workers: Workers::new()?,
        })
    }
}

impl Keeper for Empty {
    async fn keep(
        &self,
        action: Action,
        callers: u32,
        calls: u32,
        each: bool,
    ) -> anyhow::Result<Told> {
        let caller = |caller| {
            let params = (action, action.key(caller), calls, each);
            self.parts.clone().run(params)
        };
        at_once(&self.workers, callers, caller).await
    }
}

impl Parts {
    async fn run(self, params: (Action, String, u32, bool)) -> anyhow::Result<Vec<u64>> {
        let mut store = plain::store(&self.engine, WasiCtx::builder().build());
        let instance = self
            .linker
            .instantiate_async(&mut store, &self.guest)
            .await?;
        let drive = instance.get_export_index(&mut store, None, self.drive);
        let drive = drive.with_context(|| format!("the guest does not export {}", self.drive))?;
        let run = instance.get_export_index(&mut store, Some(&drive), "run");
        let run = run.context("the guest has no loop")?;
        type Times = (Result<Vec<u64>, String>,);
        let run = instance.get_typed_func::<_, Times>(&mut store, run)?;
        let (times,) = run.call_async(&mut store, params).await?;
        times.map_err(anyhow::Error::msg)
    }
}

/// What buckets are, which there are none of.
struct Bucket;

type Own = Resource<Bucket>;
type Ctx<'a> = StoreContextMut<'a, State>;
type Access = Accessor<State>;

fn value() -> Option<Vec<u8>> {
    Some(VALUE.to_vec())
}

/// The errors of `wasi:keyvalue`, which never happen here.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum WasiError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

fn blocking(linker: &mut Linker<State>) -> anyhow::Result<()> {
    type Told<T> = (Result<T, WasiError>,);
    let mut store = linker.instance("wasi:keyvalue/store@0.2.0-draft")?;
    bucket(&mut store)?;
    store.func_wrap_async("open", |_: Ctx<'_>, (_,): (String,)| {
        let told: Told<Own> = (Ok(Resource::new_own(0)),);
        Box::new(ready(Ok(told)))
    })?;
    store.func_wrap_async("[method]bucket.get", |_: Ctx<'_>, (_, _): (Own, String)| {
        let told: Told<Option<Vec<u8>>> = (Ok(value()),);
        Box::new(ready(Ok(told)))
    })?;
    type Set = (Own, String, Vec<u8>);
    store.func_wrap_async("[method]bucket.set", |_: Ctx<'_>, (_, _, _): Set| {
        let told: Told<()> = (Ok(()),);
        Box::new(ready(Ok(told)))
    })?;
    let mut atomics = linker.instance("wasi:keyvalue/atomics@0.2.0-draft")?;
    type Increment = (Own, String, u64);
    atomics.func_wrap_async("increment", |_: Ctx<'_>, (_, _, delta): Increment| {
        let told: Told<u64> = (Ok(delta),);
        Box::new(ready(Ok(told)))
    })?;
    Ok(())
}

/// The errors of `wasmcloud:keyvalue`, which never happen here.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum WasmcloudError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "precondition-failed")]
    PreconditionFailed,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "store-unavailable")]
    StoreUnavailable,
    #[component(name = "quota-exceeded")]
    QuotaExceeded,
    #[component(name = "other")]
    Other(String),
}

/// How a value is set, which does not matter here.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct SetOptions {
    #[component(name = "ttl-ms")]
    ttl_ms: Option<u64>,
    #[component(name = "if-not-exists")]
    if_not_exists: bool,
}

fn asynchronous(linker: &mut Linker<State>) -> anyhow::Result<()> {
    type Told<T> = (Result<T, WasmcloudError>,);
    let mut types = linker.instance("wasmcloud:keyvalue/types@0.2.0")?;
    bucket(&mut types)?;
    types.func_wrap_concurrent("[method]bucket.get", |_: &Access, (_, _): (Own, String)| {
        let told: Told<Option<Vec<u8>>> = (Ok(value()),);
        Box::pin(ready(Ok(told)))
    })?;
    type Set = (Own, String, Vec<u8>, Option<SetOptions>);
    types.func_wrap_concurrent("[method]bucket.set", |_: &Access, (_, _, _, _): Set| {
        let told: Told<()> = (Ok(()),);
        Box::pin(ready(Ok(told)))
    })?;
    let mut store = linker.instance("wasmcloud:keyvalue/store@0.2.0")?;
    store.func_wrap_concurrent("open", |_: &Access, (_,): (String,)| {
        let told: Told<Own> = (Ok(Resource::new_own(0)),);
        Box::pin(ready(Ok(told)))
    })?;
    let mut atomics = linker.instance("wasmcloud:keyvalue/atomics@0.2.0")?;
    type Increment = (Own, String, i64);
    atomics.func_wrap_concurrent("increment", |_: &Access, (_, _, delta): Increment| {
        let told: Told<i64> = (Ok(delta),);
        Box::pin(ready(Ok(told)))
    })?;
    Ok(())
}

fn bucket(instance: &mut LinkerInstance<'_, State>) -> anyhow::Result<()> {
    let bucket = ResourceType::host::<Bucket>();
    Ok(instance.resource("bucket", bucket, |_, _| Ok(()))?)
}
