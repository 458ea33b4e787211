//! What this machine has for the process: memory, and room for addresses.

use std::sync::OnceLock;

/// What the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Memory in bytes: that of its control group where that has a limit, else all there is.
    pub memory: u64,
    /// Bytes of addresses, where they are limited (`RLIMIT_AS`).
    pub addresses: Option<u64>,
}

impl Machine {
    /// This machine. It is looked at once.
    #[must_use]
    pub fn here() -> Self {
        static HERE: OnceLock<Machine> = OnceLock::new();
        *HERE.get_or_init(Self::look)
    }

    fn look() -> Self {
        let memory = sysinfo::System::new().map_or(0, |mut system| {
            system.refresh_memory();
            let total = system.total_memory();
            let group = system
                .cgroup_limits()
                .map_or(total, |limits| limits.total_memory);
            total.min(group)
        });
        let limit = rustix::process::getrlimit(rustix::process::Resource::As);
        Self {
            memory,
            addresses: limit.current,
        }
    }
}
