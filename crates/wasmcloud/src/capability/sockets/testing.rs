//! Callers for the tests of sockets.

use std::sync::Arc;

use super::caller::Caller;
use super::{Sockets, WorkloadSockets};
use crate::instance::{MemoryAccount, WorkloadLog};
use crate::plugin::{ComponentContext, Role, State, TracingOutput, WorkloadContext};

/// A component that may reach everything that the host's policy allows.
pub(super) fn caller(role: Role, sockets: &Sockets) -> Caller {
    let sockets = Arc::new(sockets.workload(Default::default()));
    of(role, &sockets)
}

/// The same in a workload that is there already.
pub(super) fn of(role: Role, sockets: &Arc<WorkloadSockets>) -> Caller {
    let name = |text: &str| text.parse().unwrap_or_else(|_| unreachable!("{text}"));
    let workload = WorkloadContext {
        id: "app".parse().unwrap_or_else(|_| unreachable!("app")),
        namespace: Default::default(),
        name: "app".parse().unwrap_or_else(|_| unreachable!("app")),
        states: [State::new(Arc::clone(sockets))].into_iter().collect(),
        log: Arc::new(WorkloadLog::new(Arc::new(TracingOutput), 0, u64::MAX)),
        memory: Arc::new(MemoryAccount::of_host(0)),
        crossing: WorkloadContext::room_to_cross(),
        farewell: Default::default(),
    };
    let component = ComponentContext {
        name: name("main"),
        environment: Vec::new(),
        role,
        allowed_hosts: vec![crate::workload::AllowedHost::Any],
        allowed_names: Vec::new(),
        host_ports: Vec::new(),
        told: Default::default(),
    };
    Caller::of(Arc::new(workload), Arc::new(component), Arc::clone(sockets))
}
