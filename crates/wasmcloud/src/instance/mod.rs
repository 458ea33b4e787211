//! What runs: instances, the stores they live in, who they belong to, and how a capability gets hold of one.

mod callee;
mod capacity;
mod context;
mod farewell;
mod files;
#[cfg(feature = "http")]
mod http;
mod invocation;
mod log;
mod memory;
mod output;
mod pool;
mod processor;
mod resident;
mod room;
mod shared;
mod state;
mod stopwatch;
mod store;
mod ticker;
mod told;

pub use callee::{
    Callee, CalleeParts, Entered, Lease, MEMORIES_PER_SLOT, OnInstance, Presence, TABLES_PER_SLOT,
};
pub use capacity::{Capacity, NoRoom, Share};
pub use context::{
    Attribution, CalledBy, ComponentContext, InstanceContext, IsolatedCallee, Position, Role,
    WorkloadContext,
};
pub use farewell::Farewell;
pub use files::FileState;
#[cfg(feature = "http")]
pub use http::{Answered, SendRequest};
pub use invocation::{CallError, Invocation};
pub use log::WorkloadLog;
pub use memory::{MemoryAccount, NoMemory, Owner};
pub use output::{GuestLine, GuestOutput, LogLevel, Source, TracingOutput};
pub use pool::PoolUsage;
pub use processor::{Processors, Tenant};
pub use resident::Resident;
pub use room::{HostRoom, WorkloadRoom};
pub use state::{State, States};
pub use store::StoreData;
pub use ticker::Ticker;
pub use told::{Telling, Told};
