//! The one place that builds a [`wasmtime::Config`]: artifacts of one host, of the next one and of the benchmarks must match.

use std::path::PathBuf;

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

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool with room for this many instances at once: fast.
    Pooled {
        /// Component instances at once.
        instances: u32,
    },
    /// From the operating system, each time: for machines whose address space is too small for a pool.
    OnDemand,
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

impl Allocation {
    /// Sized by the memory that this process may use.
    #[must_use]
    pub fn for_machine() -> Self {
        let Ok(mut system) = sysinfo::System::new() else {
            return Self::for_memory(0);
        };
        system.refresh_memory();
        let total = system
            .cgroup_limits()
            .map_or_else(|| system.total_memory(), |limits| limits.total_memory);
        Self::for_memory(total)
    }

    fn for_memory(bytes: u64) -> Self {
        let instances = (bytes / EXPECTED_INSTANCE_BYTES).clamp(FEWEST_INSTANCES, MOST_INSTANCES);
        Self::Pooled {
            instances: u32::try_from(instances).unwrap_or(u32::MAX),
        }
    }

    /// The next smaller size to try when the address space cannot hold this one.
    pub(super) fn smaller(self) -> Option<Self> {
        match self {
            Self::Pooled { instances } if instances > 64 => Some(Self::Pooled {
                instances: instances / 4,
            }),
            Self::Pooled { .. } => Some(Self::OnDemand),
            Self::OnDemand => None,
        }
    }
}

/// The configuration of an engine.
///
/// Everything that changes compiled code depends on `flavour` alone, so that artifacts fit every host of the same version on the
/// same kind of processor, however its instances are allocated.
#[must_use]
pub fn config(flavour: Flavour, allocation: Allocation) -> Config {
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
    config.allocation_strategy(match allocation {
        Allocation::Pooled { instances } => InstanceAllocationStrategy::Pooling(pool(instances)),
        Allocation::OnDemand => InstanceAllocationStrategy::OnDemand,
    });
    config
}

/// A pool of slots whose pages stay resident between instances. With `pagemap_scan` only pages that a guest wrote are reset,
/// which is what makes a fresh instance per request cheap (`docs/performance.md`).
fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(8))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(8))
        .total_stacks(instances)
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(64 << 10)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(512 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_sized_by_memory_within_bounds() {
        assert_eq!(
            Allocation::for_memory(64 << 20),
            Allocation::Pooled { instances: 64 }
        );
        assert_eq!(
            Allocation::for_memory(1 << 30),
            Allocation::Pooled { instances: 256 }
        );
        assert_eq!(
            Allocation::for_memory(1 << 40),
            Allocation::Pooled { instances: 1000 }
        );
    }

    #[test]
    fn a_pool_that_does_not_fit_shrinks_until_there_is_none() {
        let mut sizes = vec![Allocation::Pooled { instances: 1000 }];
        while let Some(smaller) = sizes.last().and_then(|size| size.smaller()) {
            sizes.push(smaller);
        }
        let pooled = |instances| Allocation::Pooled { instances };
        assert_eq!(
            sizes,
            [pooled(1000), pooled(250), pooled(62), Allocation::OnDemand]
        );
    }
}
