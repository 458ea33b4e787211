//! The two Wasmtime engines of a host, made when first needed, and the thread that drives each one's epoch.

use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use super::config::{Allocation, Flavour, config};

/// How often a guest that computes yields to its neighbours.
const TICK: Duration = Duration::from_millis(10);

/// The engines. An engine reserves address space, so one that no workload needs is not made.
pub(super) struct Engines {
    allocation: Allocation,
    plain: OnceLock<Result<Ticking, String>>,
    concurrent: OnceLock<Result<Ticking, String>>,
}

/// An engine whose epoch moves on.
struct Ticking {
    engine: wasmtime::Engine,
    /// Dropping it ends the thread.
    _stop: mpsc::Sender<()>,
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
    pub(super) fn get(&self, flavour: Flavour) -> Result<&wasmtime::Engine, String> {
        let cell = match flavour {
            Flavour::Plain => &self.plain,
            Flavour::Concurrent => &self.concurrent,
        };
        match cell.get_or_init(|| Ticking::start(flavour, self.allocation)) {
            Ok(ticking) => Ok(&ticking.engine),
            Err(reason) => Err(reason.clone()),
        }
    }
}

impl Ticking {
    fn start(flavour: Flavour, allocation: Allocation) -> Result<Self, String> {
        let engine = make(flavour, allocation)?;
        let (stop, stopped) = mpsc::channel();
        let ticked = engine.clone();
        thread::Builder::new()
            .name(format!("epoch-{}", flavour.as_str()))
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    ticked.increment_epoch();
                }
            })
            .map_err(|error| format!("no thread for the epoch could be started: {error}"))?;
        Ok(Self {
            engine,
            _stop: stop,
        })
    }
}

/// Makes an engine, with a smaller pool where the machine's address space cannot hold the wanted one.
fn make(flavour: Flavour, mut allocation: Allocation) -> Result<wasmtime::Engine, String> {
    loop {
        match (
            wasmtime::Engine::new(&config(flavour, allocation)),
            allocation.smaller(),
        ) {
            (Ok(engine), _) => return Ok(engine),
            (Err(error), Some(smaller)) => {
                tracing::warn!(?allocation, next = ?smaller, error = format!("{error:#}"), "the instance pool does not fit this machine");
                allocation = smaller;
            }
            (Err(error), None) => return Err(format!("{error:#}")),
        }
    }
}
