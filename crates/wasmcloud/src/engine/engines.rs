//! The two Wasmtime engines of a host, made when first needed, with the room that each has for instances.

use std::sync::{Arc, OnceLock};

use super::config::{Allocation, Flavour, config};
use super::machine::Machine;
use crate::instance::{Capacity, Ticker};

/// The engines. An engine reserves address space, so one that no workload needs is not made.
pub(super) struct Engines {
    allocation: Allocation,
    plain: OnceLock<Result<Running, String>>,
    concurrent: OnceLock<Result<Running, String>>,
}

/// An engine whose epoch moves on.
pub(super) struct Running {
    pub(super) engine: wasmtime::Engine,
    pub(super) capacity: Arc<Capacity>,
}

impl Engines {
    pub(super) fn new(allocation: Allocation) -> Self {
        Self {
            allocation,
            plain: OnceLock::new(),
            concurrent: OnceLock::new(),
        }
    }

    /// The engine of a flavour, or why this machine cannot have one.
    pub(super) fn get(&self, flavour: Flavour) -> Result<&Running, String> {
        let cell = match flavour {
            Flavour::Plain => &self.plain,
            Flavour::Concurrent => &self.concurrent,
        };
        let running = cell.get_or_init(|| Running::start(flavour, self.allocation));
        running.as_ref().map_err(Clone::clone)
    }
}

impl Running {
    fn start(flavour: Flavour, allocation: Allocation) -> Result<Self, String> {
        let (engine, allocation) = make(flavour, allocation)?;
        let ticker = Ticker::start(&engine, flavour.as_str())
            .map_err(|error| format!("no thread for the epoch could be started: {error}"))?;
        let machine = Machine::here();
        tracing::info!(
            engine = flavour.as_str(),
            %allocation,
            memory_mib = machine.memory >> 20,
            addresses_mib = machine.addresses.map(|bytes| bytes >> 20),
            "an engine has started, sized for this machine"
        );
        Ok(Self {
            engine,
            capacity: Capacity::new(allocation.instances(), ticker),
        })
    }
}

/// Makes an engine, with a smaller pool where the machine's address space cannot hold the wanted one.
fn make(
    flavour: Flavour,
    mut allocation: Allocation,
) -> Result<(wasmtime::Engine, Allocation), String> {
    loop {
        match (
            wasmtime::Engine::new(&config(flavour, allocation)),
            allocation.smaller(),
        ) {
            (Ok(engine), _) => return Ok((engine, allocation)),
            (Err(error), Some(smaller)) => {
                tracing::warn!(%allocation, next = %smaller, error = format!("{error:#}"), "the instance pool does not fit this machine");
                allocation = smaller;
            }
            (Err(error), None) => return Err(format!("{error:#}")),
        }
    }
}
