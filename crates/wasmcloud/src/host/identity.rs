//! Who a host is, and how its machine is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::Heartbeat;
use crate::workload::{HostId, Interface};

/// Who a host is.
pub struct HostIdentity {
    id: HostId,
    hostname: String,
    friendly_name: String,
    labels: BTreeMap<String, String>,
    started_at: SystemTime,
    http_port: Option<u16>,
    system: Mutex<Option<sysinfo::System>>,
}

impl HostIdentity {
    /// An identity with a new random id. Without a friendly name it goes by the machine's.
    #[must_use]
    pub fn new(
        friendly_name: Option<String>,
        labels: BTreeMap<String, String>,
        http_port: Option<u16>,
    ) -> Self {
        let hostname = sysinfo::System::host_name().unwrap_or_else(|_| "localhost".to_owned());
        Self {
            id: HostId::random(),
            friendly_name: friendly_name.unwrap_or_else(|| hostname.clone()),
            hostname,
            labels,
            started_at: SystemTime::now(),
            http_port,
            system: Mutex::new(sysinfo::System::new().ok()),
        }
    }

    pub(super) fn id(&self) -> &HostId {
        &self.id
    }

    /// How the host is, with what it runs and offers.
    pub(super) fn heartbeat(
        &self,
        workload_count: u64,
        component_count: u64,
        imports: Vec<Interface>,
        exports: Vec<Interface>,
    ) -> Heartbeat {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        let (cpu, total, free) = system.as_mut().map_or((0.0, 0, 0), |system| {
            system.refresh_cpu_usage();
            system.refresh_memory();
            (
                system.global_cpu_usage(),
                system.total_memory(),
                system.available_memory(),
            )
        });
        Heartbeat {
            id: self.id.clone(),
            hostname: self.hostname.clone(),
            friendly_name: self.friendly_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels: self.labels.clone(),
            started_at: self.started_at,
            os_arch: std::env::consts::ARCH.to_owned(),
            os_name: std::env::consts::OS.to_owned(),
            os_kernel: sysinfo::System::kernel_version().unwrap_or_default(),
            system_cpu_usage: cpu,
            system_memory_total: total,
            system_memory_free: free,
            component_count,
            workload_count,
            imports,
            exports,
            http_port: self.http_port,
        }
    }
}
