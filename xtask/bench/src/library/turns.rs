//! A service that calls a component when it is told to: nobody can call the loops of a service, so a plugin gives it its turns.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::{Mutex, mpsc};
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::host::Host as _;
use wasmcloud::plugin::{Import, Offer, Plugin, StoreData};
use wasmcloud::workload::WorkloadId;
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::{hit_rate, request};
use crate::call::{Caller, Kind};
use crate::guests::Guests;
use crate::manifest::{self, Link};

/// What the service imports.
const GATE: &str = "bench:calc/gate@0.1.0";

/// Both ends that the service sees.
struct Gate {
    offer: Offer,
    turns: Arc<Mutex<mpsc::UnboundedReceiver<u32>>>,
    results: mpsc::UnboundedSender<u32>,
}

impl Plugin for Gate {
    fn id(&self) -> &'static str {
        "bench-gate"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![self.offer.clone()]
    }

    fn link(
        &self,
        _: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let (turns, results) = (Arc::clone(&self.turns), self.results.clone());
        linker.func_wrap_async(
            "turn",
            move |_: StoreContextMut<'_, StoreData>, (last,): (u32,)| {
                let (turns, told) = (Arc::clone(&turns), results.send(last));
                Box::new(async move {
                    told?;
                    let turn = turns.lock().await.recv().await;
                    Ok((turn.unwrap_or_default(),))
                })
            },
        )
    }
}

/// A workload whose service makes the calls.
pub(crate) struct CallingService {
    turns: mpsc::UnboundedSender<u32>,
    results: mpsc::UnboundedReceiver<u32>,
    id: WorkloadId,
    host: Assembled,
}

impl CallingService {
    /// Starts it, with one link or another between the service and the component.
    pub(crate) async fn new(guests: &Guests, link: Link) -> anyhow::Result<Self> {
        let (turns, taken) = mpsc::unbounded_channel();
        let (told, mut results) = mpsc::unbounded_channel();
        let gate = Gate {
            offer: Offer::shared(GATE.parse()?),
            turns: Arc::new(Mutex::new(taken)),
            results: told,
        };
        let host = assemble(HostConfig {
            plugins: vec![Arc::new(gate)],
            ..HostConfig::default()
        })
        .await?;
        let started = host.host.start(request(&manifest::calling(guests, link))?);
        let id = started.await?.id;
        // It says that it waits for its first turn.
        results.recv().await.context("the service did not start")?;
        Ok(Self {
            turns,
            results,
            id,
            host,
        })
    }

    /// The part of the calls that found a warm instance of the callee.
    pub(crate) async fn hit_rate(&self) -> anyhow::Result<f64> {
        hit_rate(&self.host, &self.id).await
    }
}

impl Caller for CallingService {
    /// Adds; it has no loop for anything else.
    async fn run(&mut self, _: Kind, n: u32) -> anyhow::Result<Option<u32>> {
        if n == 0 {
            bail!("no calls would end the service");
        }
        self.turns.send(n)?;
        let result = self.results.recv().await;
        Ok(Some(result.context("the service has ended")?))
    }
}
