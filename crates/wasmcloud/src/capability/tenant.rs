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

/// Who has room for data: each workload for its own, each namespace for all that its workloads share, by however many names they do.
/// Names cost nothing, so none of them brings room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(any(feature = "blobstore", feature = "keyvalue", feature = "messaging")),
    allow(dead_code, reason = "secrets take no room")
)]
pub(crate) enum Payer {
    Workload(Namespace, WorkloadName),
    Namespace(Namespace),
}

impl Tenant {
    /// Whose room it takes.
    #[cfg_attr(
        not(any(feature = "blobstore", feature = "keyvalue", feature = "messaging")),
        allow(dead_code, reason = "secrets take no room")
    )]
    pub(crate) fn payer(&self) -> Payer {
        let namespace = self.namespace.clone();
        match &self.owner {
            Owner::Workload(name) => Payer::Workload(namespace, name.clone()),
            Owner::Shared(_) => Payer::Namespace(namespace),
        }
    }

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

#[cfg(test)]
pub(crate) mod testing {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// A tenant by its parts: namespace, `workload` or `shared`, and name.
    pub(crate) fn tenant(namespace: &str, kind: &str, name: &str) -> Tenant {
        let owner = match kind {
            "workload" => Owner::Workload(name.parse().unwrap()),
            _ => Owner::Shared(name.to_owned()),
        };
        Tenant {
            namespace: namespace.parse().unwrap(),
            owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::tenant;

    #[test]
    fn a_namespace_has_one_room_for_all_that_is_shared_in_it() {
        let payer = |namespace, kind, name| tenant(namespace, kind, name).payer();
        let shared = payer("a", "shared", "one");
        assert_eq!(shared, payer("a", "shared", "two"));
        for other in [
            payer("b", "shared", "one"),
            payer("a", "workload", "one"),
            payer("a", "workload", "two"),
        ] {
            assert_ne!(shared, other);
        }
        assert_ne!(payer("a", "workload", "one"), payer("a", "workload", "two"));
    }
}
