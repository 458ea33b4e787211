//! What runs: instances, the stores they live in, who they belong to, and how a capability gets hold of one.

mod callee;
mod context;
#[cfg(feature = "http")]
mod http;
mod output;
mod state;
mod store;
mod told;

pub use callee::{Callee, InstanceError, Lease};
pub use context::{Attribution, ComponentContext, InstanceContext, Position, WorkloadContext};
#[cfg(feature = "http")]
pub use http::{Answered, SendRequest};
pub use output::{GuestLine, GuestOutput, LogLevel, Source, TracingOutput};
pub use state::{State, States};
pub use store::StoreData;
pub use told::{Telling, Told};
