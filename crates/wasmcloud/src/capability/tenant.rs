//! Whose data something is: every backend that several workloads share keeps them apart by this.

use std::fmt;

use crate::plugin::PluginError;
use crate::workload::{Namespace, Workload, WorkloadName};

use super::settings::Settings;

/// The setting by which several workloads of a namespace share what they keep.
const SHARED: &str = "shared";
/// How long the name of what they share may be.
const LONGEST: usize = 63;

/// Who owns data: a workload, whatever version of it runs, or several of one namespace that agree on a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tenant {
    namespace: Namespace,
    owner: Owner,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Owner {
    Workload(WorkloadName),
    Shared(String),
}

impl Tenant {
    /// The workload itself.
    pub(crate) fn of(workload: &Workload) -> Self {
        Self {
            namespace: workload.namespace.clone(),
            owner: Owner::Workload(workload.name.clone()),
        }
    }

    /// The workload itself, unless its settings name what it shares.
    pub(crate) fn configured(workload: &Workload, settings: &mut Settings<'_>) -> Self {
        let mut tenant = Self::of(workload);
        let Some(name) = settings.text(SHARED) else {
            return tenant;
        };
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=LONGEST).contains(&name.len()) && name.bytes().all(letters) {
            tenant.owner = Owner::Shared(name.to_owned());
        } else {
            let wanted = format!("wanted 1 to {LONGEST} lower-case letters, digits and `-`");
            settings.wrong(
                SHARED,
                PluginError::new(format!("`{name}` is no name to share by; {wanted}")),
            );
        }
        tenant
    }

    /// The parts by which backends tell tenants apart, from the widest to the narrowest. Each is of lower-case letters, digits, `-` and
    /// `.`, and none is `.` or `..`, so they do as names of folders.
    pub(crate) fn parts(&self) -> [&str; 3] {
        match &self.owner {
            Owner::Workload(name) => [self.namespace.as_str(), "workload", name.as_str()],
            Owner::Shared(name) => [self.namespace.as_str(), "shared", name],
        }
    }
}

impl fmt::Display for Tenant {
    /// With `/` between the parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts().join("/"))
    }
}
