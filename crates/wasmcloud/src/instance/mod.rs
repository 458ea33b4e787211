//! What runs: instances, the stores they live in, who they belong to, and how a capability gets hold of one.

mod callee;
mod context;
mod files;
#[cfg(feature = "http")]
mod http;
mod output;
mod state;
mod store;

pub use callee::{Callee, InstanceError, Lease};
pub use context::{Attribution, ComponentContext, InstanceContext, Position, WorkloadContext};
pub use files::FileState;
pub use output::{GuestLine, GuestOutput, LogLevel, Source, TracingOutput};
pub use state::{State, States};
pub use store::StoreData;
