//! Callers for the tests of sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use super::caller::Caller;
use super::{Sockets, WorkloadSockets};
use crate::instance::{MemoryAccount, WorkloadLog};
use crate::plugin::{ComponentContext, Role, State, TracingOutput, WorkloadContext};

/// A component that may reach everything that the host's policy allows.
pub(super) fn caller(role: Role, sockets: &Sockets) -> Caller {
    of(role, &Arc::new(sockets.workload(Default::default())))
}

/// The same in a workload that is there already.
pub(super) fn of(role: Role, sockets: &Arc<WorkloadSockets>) -> Caller {
    group([component("main", role, &["*"])], sockets)
}

/// Several components that share their sockets.
pub(super) fn group<const N: usize>(
    components: [Arc<ComponentContext>; N],
    sockets: &Arc<WorkloadSockets>,
) -> Caller {
    let workload = WorkloadContext {
        id: "app".parse().unwrap(),
        namespace: Default::default(),
        name: "app".parse().unwrap(),
        states: [State::new(Arc::clone(sockets))].into_iter().collect(),
        log: Arc::new(WorkloadLog::new(Arc::new(TracingOutput), 0, u64::MAX)),
        memory: Arc::new(MemoryAccount::of_host(0)),
        crossing: WorkloadContext::room_to_cross(),
        farewell: Default::default(),
    };
    Caller::of(
        Arc::new(workload),
        Arc::new(components),
        Arc::clone(sockets),
    )
}

/// A component with these `allowedHosts`.
pub(super) fn component(name: &str, role: Role, hosts: &[&str]) -> Arc<ComponentContext> {
    Arc::new(ComponentContext {
        name: name.parse().unwrap(),
        environment: Vec::new(),
        role,
        allowed_hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        allowed_names: Vec::new(),
        host_ports: Vec::new(),
        told: Default::default(),
    })
}
