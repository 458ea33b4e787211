//! Who is calling: the identity of a workload and of its components, shared by all their instances.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::ComponentExportIndex;

use super::{Callee, Farewell, MemoryAccount, States, Told, WorkloadLog};
use crate::policy::InstanceLimits;
use crate::workload::{
    AllowedHost, AllowedName, ComponentName, HostPort, Namespace, WorkloadId, WorkloadName,
};

/// Where a component sits inside the fused component it is part of. Positions, not names, are compiled into an artifact, so that
/// the same components make the same artifact whatever the workload is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u32);

/// A started workload as its instances see it.
pub struct WorkloadContext {
    /// The id it was started under.
    pub id: WorkloadId,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: WorkloadName,
    /// What its plugins bound.
    pub states: States,
    /// Where its output goes, as far as it may.
    pub log: Arc<WorkloadLog>,
    /// The memory that its instances may use together.
    pub memory: Arc<MemoryAccount>,
    /// How its service is asked to end.
    pub farewell: Farewell,
    /// Room for what is on its way across isolated links: a permit for each KiB.
    pub crossing: Arc<Semaphore>,
}

impl WorkloadContext {
    /// How many KiB of parameters and results of one workload may be on their way across isolated links at once.
    pub const CROSSING: usize = 256 << 10;

    /// The room of a workload across whose isolated links nothing is on its way yet.
    #[must_use]
    pub fn room_to_cross() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(Self::CROSSING))
    }
}

/// Its namespace and name, as people know it.
impl fmt::Display for WorkloadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for WorkloadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadContext")
            .field("id", &self.id)
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .finish()
    }
}

/// What a component is in its workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It is called, and its instances come and go.
    #[default]
    Component,
    /// It lives as long as the workload, and may listen on the workload's own loopback.
    Service,
}

/// A component of a started workload as its instances see it.
pub struct ComponentContext {
    /// Its name in the workload.
    pub name: ComponentName,
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// What it is.
    pub role: Role,
    /// Hosts that its requests and connections may go to.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Names that it may look up.
    pub allowed_names: Vec<AllowedName>,
    /// Ports of the machine's own loopback that it may reach, where the host allows it.
    pub host_ports: Vec<HostPort>,
    /// What its owner was told already, such as that it tries what is not granted.
    pub told: Told,
}

/// Environment values may be secret, so only their names are shown.
impl fmt::Debug for ComponentContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<&str> = self
            .environment
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        f.debug_struct("ComponentContext")
            .field("name", &self.name)
            .field("environment", &variables)
            .field("role", &self.role)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_names", &self.allowed_names)
            .field("host_ports", &self.host_ports)
            .finish_non_exhaustive()
    }
}

/// Who calls over an isolated link.
#[derive(Clone, Debug)]
pub struct CalledBy {
    /// The workload, which need not be that of who is called.
    pub workload: Arc<WorkloadContext>,
    /// The component.
    pub component: Arc<ComponentContext>,
}

/// Tells from the backtrace of an error which component's code failed, where it can be told.
pub type Attribution = Arc<dyn Fn(&wasmtime::Error) -> Option<Position> + Send + Sync>;

/// Who answers an isolated import.
#[derive(Clone, Debug)]
pub struct IsolatedCallee {
    /// How to call it.
    pub callee: Callee,
    /// Where it has the import's functions, in the import's order.
    pub functions: Arc<[ComponentExportIndex]>,
}

/// What every instance of one entry shares.
pub struct InstanceContext {
    /// The workload.
    pub workload: Arc<WorkloadContext>,
    /// The components fused into the entry, by [`Position`].
    pub members: Vec<Arc<ComponentContext>>,
    /// Tells members apart in a backtrace.
    pub attribution: Attribution,
    /// What one instance may use.
    pub limits: InstanceLimits,
    /// Who answers the members' isolated imports, in the order of the members and their imports.
    pub callees: Vec<IsolatedCallee>,
}

impl fmt::Debug for InstanceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceContext")
            .field("workload", &self.workload)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl InstanceContext {
    /// The component at a position. The planner numbers members without gaps, so a position from a linked import always exists;
    /// should it not, that is an error of the host, reported to the guest as a trap.
    ///
    /// # Errors
    /// When no component has the position.
    pub fn member(&self, position: Position) -> wasmtime::Result<&Arc<ComponentContext>> {
        self.members.get(position.0 as usize).ok_or_else(|| {
            wasmtime::format_err!(
                "no component at position {} of workload {}",
                position.0,
                self.workload.name
            )
        })
    }

    /// The component whose code failed, where the error's backtrace tells.
    #[must_use]
    pub fn culprit(&self, error: &wasmtime::Error) -> Option<&Arc<ComponentContext>> {
        self.members.get((self.attribution)(error)?.0 as usize)
    }
}
