//! The one place that builds a [`wasmtime::Config`]: artifacts of one host, of the next one and of the benchmarks must match.

use std::path::PathBuf;

use super::machine::Machine;
use crate::instance::{MEMORIES_PER_SLOT, TABLES_PER_SLOT};
use wasmtime::{Config, Enabled, Inlining, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Which of the two engines runs an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Nothing but synchronous functions: WASI 0.2. Calls and instances cost least.
    Plain,
    /// Some component uses the async ABI: WASI 0.3.
    Concurrent,
}

impl Flavour {
    /// Its name in plans and cache folders.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Concurrent => "concurrent",
        }
    }
}

/// How instances get their memory, and how many there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool with room for this many instances at once: fast.
    Pooled {
        /// Component instances at once.
        instances: u32,
    },
    /// From the operating system, each time: for machines whose address space is too small for a pool.
    OnDemand {
        /// Component instances at once.
        instances: u32,
    },
}

/// Settings of the engines.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How instances get their memory; by default as many as the machine has room for.
    pub allocation: Allocation,
    /// Where compiled artifacts are kept; without it they are kept in memory only.
    pub cache_dir: Option<PathBuf>,
    /// How many artifacts may be compiled at once.
    pub compilations: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            allocation: Allocation::for_machine(),
            cache_dir: None,
            compilations: cores.div_ceil(2),
        }
    }
}

/// Memory that each instance is expected to use, to size a pool by.
const EXPECTED_INSTANCE_BYTES: u64 = 4 << 20;
const MOST_INSTANCES: u64 = 1000;
const FEWEST_INSTANCES: u64 = 64;
/// Addresses that a pool takes for each instance: its memories with the guards behind them, tables and a stack.
const INSTANCE_ADDRESSES: u64 = MEMORIES_PER_SLOT as u64 * ((4 << 30) + (32 << 20)) + (16 << 20);
/// Addresses that a memory takes where they are scarce; it moves when it grows beyond.
const SCARCE_RESERVATION: u64 = 16 << 20;

impl Allocation {
    /// Sized by what this process may use.
    #[must_use]
    pub fn for_machine() -> Self {
        Self::on(Machine::here())
    }

    /// Sized by memory; where addresses are limited, each of the two engines may take a quarter of them.
    fn on(machine: Machine) -> Self {
        let wanted = machine.memory / EXPECTED_INSTANCE_BYTES;
        let wanted = wanted.clamp(FEWEST_INSTANCES, MOST_INSTANCES);
        let fit = machine.addresses.map_or(MOST_INSTANCES, |addresses| {
            addresses / 4 / INSTANCE_ADDRESSES
        });
        let count = |instances| u32::try_from(instances).unwrap_or(u32::MAX);
        if fit < FEWEST_INSTANCES {
            return Self::OnDemand {
                instances: count(wanted),
            };
        }
        Self::Pooled {
            instances: count(wanted.min(fit)),
        }
    }

    /// How many instances there may be at once.
    #[must_use]
    pub fn instances(self) -> u32 {
        match self {
            Self::Pooled { instances } | Self::OnDemand { instances } => instances,
        }
    }

    /// The next smaller size to try when the address space cannot hold this one.
    pub(super) fn smaller(self) -> Option<Self> {
        match self {
            Self::Pooled { instances } if instances > 64 => Some(Self::Pooled {
                instances: instances / 4,
            }),
            Self::Pooled { instances } => Some(Self::OnDemand { instances }),
            Self::OnDemand { .. } => None,
        }
    }
}

impl std::fmt::Display for Allocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pooled { instances } => write!(f, "a pool for {instances} instances"),
            Self::OnDemand { instances } => {
                write!(f, "no pool, {instances} instances at most")
            }
        }
    }
}

/// The configuration of an engine.
///
/// Everything that changes compiled code depends on `flavour` alone, so that artifacts fit every host of the same version on the
/// same kind of processor, however its instances are allocated.
#[must_use]
pub fn config(flavour: Flavour, allocation: Allocation) -> Config {
    let machine = Machine::here();
    let is_scarce =
        machine.addresses.is_some() && matches!(allocation, Allocation::OnDemand { .. });
    let mut config = code(flavour, is_scarce);
    config.allocation_strategy(match allocation {
        Allocation::Pooled { instances } => {
            InstanceAllocationStrategy::Pooling(pool(instances, machine.memory))
        }
        Allocation::OnDemand { .. } => InstanceAllocationStrategy::OnDemand,
    });
    config
}

/// What changes compiled code. Where addresses are scarce it is other code, which other machines do not need.
pub(super) fn code(flavour: Flavour, is_scarce: bool) -> Config {
    let mut config = Config::new();
    // Toolchains have inlined within a module already: doing it again takes about as long as everything else of a compilation, makes
    // calls no faster, and takes the places out of backtraces that tell which component failed.
    config
        .compiler_inlining(Inlining::InterModule)
        .epoch_interruption(true)
        .wasm_component_model_implements(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(64));
    match flavour {
        Flavour::Plain => config
            .wasm_component_model_async(false)
            .concurrency_support(false),
        Flavour::Concurrent => config.wasm_component_model_async(true),
    };
    if is_scarce {
        config
            .memory_reservation(SCARCE_RESERVATION)
            .memory_reservation_for_growth(SCARCE_RESERVATION)
            .memory_guard_size(64 << 10);
    }
    config
}

/// A pool of slots whose pages stay resident between instances, in at most a quarter of the memory. With `pagemap_scan` only pages
/// that a guest wrote are reset, which is what makes a fresh instance per request cheap (`docs/performance.md`).
fn pool(instances: u32, memory: u64) -> PoolingAllocationConfig {
    let resident = memory / 4 / u64::from(instances.max(1));
    let keep = |most: usize| most.min(usize::try_from(resident / 2).unwrap_or(most));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // A core instance takes no slot of a pool, so only their number in one component is limited.
        .total_core_instances(u32::MAX)
        .max_core_instances_per_component(256)
        .total_memories(instances.saturating_mul(MEMORIES_PER_SLOT))
        .max_memories_per_component(64)
        .max_memories_per_module(64)
        .total_tables(instances.saturating_mul(TABLES_PER_SLOT))
        .max_tables_per_component(256)
        .max_tables_per_module(256)
        // An instance of many parts that wait takes a stack for each; they cost addresses.
        .total_stacks(instances.saturating_mul(4))
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(64 << 10)
        .linear_memory_keep_resident(keep(2 << 20))
        .table_keep_resident(keep(512 << 10))
        .async_stack_keep_resident(keep(64 << 10))
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(memory: u64, addresses: Option<u64>) -> Allocation {
        Allocation::on(Machine { memory, addresses })
    }

    #[test]
    fn a_pool_is_sized_by_memory_within_bounds() {
        let pooled = |instances| Allocation::Pooled { instances };
        assert_eq!(on(64 << 20, None), pooled(64));
        assert_eq!(on(512 << 20, None), pooled(128));
        assert_eq!(on(1 << 30, None), pooled(256));
        assert_eq!(on(1 << 40, None), pooled(1000));
    }

    #[test]
    fn where_addresses_are_scarce_the_pool_is_smaller_or_absent() {
        let scarce = on(1 << 40, Some(8 << 40));
        assert!(
            matches!(
                scarce,
                Allocation::Pooled {
                    instances: 64..1000
                }
            ),
            "{scarce}"
        );
        assert_eq!(
            on(1 << 30, Some(4 << 30)),
            Allocation::OnDemand { instances: 256 }
        );
    }

    #[test]
    fn a_pool_that_does_not_fit_shrinks_until_there_is_none() {
        let mut sizes = vec![Allocation::Pooled { instances: 1000 }];
        while let Some(smaller) = sizes.last().and_then(|size| size.smaller()) {
            sizes.push(smaller);
        }
        let pooled = |instances| Allocation::Pooled { instances };
        let last = Allocation::OnDemand { instances: 62 };
        assert_eq!(sizes, [pooled(1000), pooled(250), pooled(62), last]);
    }
}
