//! The baseline: the same two programs on bare Wasmtime, each in a store of its own, over the operating system's loopback.

use anyhow::{Context as _, bail};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, p2, p3};

use super::{Side, Talk};
use crate::guests::{Dialect, Network};
use crate::library::{self, network::interface};
use crate::plain::{self, State};
use crate::process::free_address;
use crate::say;
use crate::workers::Workers;

/// A server that runs, and what its clients are made of.
pub(super) struct Loopback {
    parts: Parts,
    port: u16,
    interface: &'static str,
    workers: Workers,
}

#[derive(Clone)]
struct Parts {
    engine: Engine,
    linker: Linker<State>,
    client: Component,
}

impl Loopback {
    pub(super) async fn new(guests: &Network) -> anyhow::Result<Self> {
        let engine = Engine::new(&library::network::engine_config(guests.dialect))?;
        let mut linker = Linker::new(&engine);
        p2::add_to_linker_async(&mut linker)?;
        if guests.dialect == Dialect::P3 {
            p3::add_to_linker(&mut linker)?;
        }
        let server = Component::new(&engine, plain::read(&guests.server)?)?;
        let client = Component::new(&engine, plain::read(&guests.client)?)?;
        let port = free_address()?.port();
        let (workers, dialect) = (Workers::new()?, guests.dialect);
        let parts = Parts {
            engine,
            linker,
            client,
        };
        let (engine, linker) = (parts.engine.clone(), parts.linker.clone());
        workers.detach(async move {
            let store = plain::store(&engine, network(port));
            if let Err(error) = serve(store, &server, &linker, dialect).await {
                say(&format!("error: the server of the baseline: {error:#}"));
            }
        })?;
        Ok(Self {
            parts,
            port,
            interface: interface(dialect),
            workers,
        })
    }
}

/// The network of the machine, and where on it the server listens.
fn network(port: u16) -> WasiCtx {
    WasiCtx::builder()
        .inherit_network()
        .allow_tcp(true)
        .inherit_stderr()
        .env("PORT", port.to_string())
        .build()
}

/// Runs the server, which does not end by itself.
async fn serve(
    mut store: Store<State>,
    server: &Component,
    linker: &Linker<State>,
    dialect: Dialect,
) -> anyhow::Result<()> {
    let ended = match dialect {
        Dialect::P2 => {
            let command =
                p2::bindings::Command::instantiate_async(&mut store, server, linker).await?;
            command.wasi_cli_run().call_run(&mut store).await?
        }
        Dialect::P3 => {
            let command =
                p3::bindings::Command::instantiate_async(&mut store, server, linker).await?;
            let run = async move |store: &_| command.wasi_cli_run().call_run(store).await;
            store.run_concurrent(run).await??
        }
    };
    bail!("it has ended with {ended:?}")
}

impl Parts {
    /// One call of a fresh client.
    async fn call(self, interface: &str, port: u16, talk: Talk) -> anyhow::Result<u64> {
        let mut store = plain::store(&self.engine, network(port));
        let instance = self
            .linker
            .instantiate_async(&mut store, &self.client)
            .await?;
        let drive = instance.get_export_index(&mut store, None, interface);
        let drive = drive.with_context(|| format!("the client does not export {interface}"))?;
        let function = instance.get_export_index(&mut store, Some(&drive), talk.function());
        let function = function.context("the client lacks a function")?;
        type Told = (Result<u64, String>,);
        let (told,): Told = match talk {
            Talk::PingPong(rounds) => {
                let function = instance.get_typed_func::<_, Told>(&mut store, function)?;
                function.call_async(&mut store, (port, rounds)).await?
            }
            Talk::Bulk(bytes) => {
                let function = instance.get_typed_func::<_, Told>(&mut store, function)?;
                function.call_async(&mut store, (port, bytes)).await?
            }
        };
        told.map_err(anyhow::Error::msg)
    }
}

impl Side for Loopback {
    async fn talk(&self, talk: Talk) -> anyhow::Result<u64> {
        let (parts, interface, port) = (self.parts.clone(), self.interface, self.port);
        let call = async move { parts.call(interface, port, talk).await };
        self.workers.run(call).await
    }
}
