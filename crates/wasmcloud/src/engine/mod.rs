//! Turns a workload into code that runs: inspect, plan, fuse, compile, link. What comes out is shared by every workload with the
//! same components.

mod adapt;
mod cache;
pub mod compiled;
pub mod config;
mod engines;
mod fuse;
pub mod inspect;
mod isolated;
mod link;
mod machine;
mod modules;
pub mod plan;
mod prepare;
#[cfg(test)]
mod testing;
mod worlds;

pub use compiled::{CompiledCache, remove_leftovers};
pub use config::{Allocation, EngineOptions, Flavour};
pub use fuse::{FuseError, fuse};
pub use inspect::{InspectError, Inspected, World, inspect};
pub use isolated::IsolationError;
pub(crate) use isolated::{define_to_one, slots};
pub use link::LinkError;
pub use machine::Machine;
pub use modules::{ModuleShape, attribution};
pub use plan::{LinkPlan, PlanErrors, plan, plan_call};
pub use prepare::{Artifact, Components, Engine, PrepareError};
