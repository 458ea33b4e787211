//! The life of workloads: four calls, and a state machine for each workload behind them.

mod call;
mod component_plugin;
mod error;
mod fetching;
mod identity;
mod local;
mod making;
mod service;
mod slot;
mod start;
mod watched;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

pub use call::{CallFailed, CallRequest};
pub use component_plugin::{ComponentPlugin, ComponentPluginError, PluginComponent};
pub use error::{Place, StartError};
pub(crate) use fetching::{look_at_all, worlds};
pub use identity::HostIdentity;
pub use local::{Graces, LocalHost};
pub use service::{Restarts, ServiceState, ServiceStatus};
pub(crate) use start::{check, check_limits};
pub use watched::Watched;

use crate::engine::LinkPlan;
use crate::instance::PoolUsage;
use crate::plugin::{Port, ScheduleStatus};
use crate::workload::{
    ComponentName, Export, HostId, Interface, Namespace, Workload, WorkloadId, WorkloadName,
};

/// A host: whoever tells it what to run needs nothing else.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// How the host is and what it offers.
    async fn heartbeat(&self) -> Heartbeat;

    /// Starts a workload and returns when it runs.
    ///
    /// # Errors
    /// When it cannot run; then nothing of it is held. See [`StartError`]. An id that is starting, running or stopping is refused
    /// and what it names is left alone; one that failed or completed may be used again.
    async fn start(&self, request: StartRequest) -> Result<WorkloadStatus, StartError>;

    /// How a workload is.
    ///
    /// # Errors
    /// When no workload has the id.
    async fn status(&self, id: &WorkloadId) -> Result<WorkloadStatus, NotFound>;

    /// Stops a workload and returns when nothing of it is left: what it is answering may finish within the host's grace, then it
    /// is ended. A workload that is starting gives up. Stopping one that is being stopped waits for that.
    ///
    /// # Errors
    /// When no workload has the id.
    async fn stop(&self, id: &WorkloadId) -> Result<WorkloadStatus, NotFound>;
}

/// A workload to start.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// The id to start it under, chosen by the caller.
    pub id: WorkloadId,
    /// What to run.
    pub workload: Workload,
    /// Where relative image paths begin: the folder of the manifest.
    pub base: PathBuf,
    /// The workload whose place it takes: when this one is ready it gets the other's routes in one step, and the other, which
    /// finishes what it is answering, is stopped. If this one fails, the other runs on.
    pub replaces: Option<WorkloadId>,
}

/// What a workload is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadState {
    /// It is being fetched, compiled and bound.
    Starting,
    /// It answers.
    Running,
    /// It came to its end by itself.
    Completed,
    /// It finishes what it is answering.
    Stopping,
    /// It could not start, or broke; nothing of it is held.
    Failed,
}

/// How a workload is.
#[derive(Clone, Debug, serde::Serialize)]
pub struct WorkloadStatus {
    /// Its id.
    pub id: WorkloadId,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: WorkloadName,
    /// What it is doing.
    pub state: WorkloadState,
    /// Why, where there is something to say: the reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who answers whom, once that is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Arc<LinkPlan>>,
    /// Of one that runs: whether this process compiled some of its code, rather than finding all of it in the cache on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiled: Option<bool>,
    /// How its service is, or was when the workload came to its end, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceStatus>,
    /// What it cannot have now of what it was granted, while it runs: backends that are away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// The ports on which it listens, while it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// What it uses, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<WorkloadUsage>,
    /// How its schedules stand, while it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleStatus>,
}

/// What a running workload uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadUsage {
    /// Invocations under way, and waiting for room.
    pub invocations: usize,
    /// Memory of all its instances, in bytes.
    pub memory_bytes: u64,
    /// How often instances of its entries were used again.
    pub pools: Vec<PoolStatus>,
}

/// How often instances of one entry were used again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PoolStatus {
    /// The component that is called.
    pub component: ComponentName,
    /// Through which export; none where siblings call it over isolated links, or whoever has the host in hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
    /// How often.
    #[serde(flatten)]
    pub usage: PoolUsage,
}

/// No workload has the id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no workload has the id `{0}`")]
pub struct NotFound(pub WorkloadId);

/// How a host is and what it offers.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Its id, new with each process.
    pub id: HostId,
    /// The name it is reached under.
    pub hostname: String,
    /// A name for people.
    pub friendly_name: String,
    /// The version of this software.
    pub version: String,
    /// What a scheduler may select by.
    pub labels: BTreeMap<String, String>,
    /// When it started.
    pub started_at: SystemTime,
    /// The processor architecture, such as `x86_64`.
    pub os_arch: String,
    /// The operating system, such as `linux`.
    pub os_name: String,
    /// The operating system's kernel version.
    pub os_kernel: String,
    /// How busy all processors together are, in percent.
    pub system_cpu_usage: f32,
    /// The memory of the machine in bytes.
    pub system_memory_total: u64,
    /// What of it is free, in bytes.
    pub system_memory_free: u64,
    /// How many components run.
    pub component_count: u64,
    /// How many workloads run.
    pub workload_count: u64,
    /// What components may import.
    pub imports: Vec<Interface>,
    /// What components may export to be called.
    pub exports: Vec<Interface>,
    /// The port of the HTTP server, if there is one.
    pub http_port: Option<u16>,
}
