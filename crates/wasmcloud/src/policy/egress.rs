//! Whether something may leave the host: first by the name it asks for, then by each address that the name stands for.
//!
//! Every path out of the host asks here; what it speaks on the way does not matter. The manifest says which hosts a component may
//! ask for; the host's configuration says which addresses anybody may reach. Both must agree.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{AddressClass, faces};
use crate::workload::{AllowedHost, AllowedName, Destination, RemoteHost};

/// What becomes of what the policy denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EgressMode {
    /// It is denied.
    #[default]
    Enforce,
    /// It is told in the log and let through: for finding out what a policy would break.
    Audit,
}

/// Which addresses workloads may reach. The default: public ones only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressOptions {
    /// What becomes of what is denied; by default, it is.
    pub mode: EgressMode,
    /// Whether private addresses may be reached (RFC 1918, unique local, carrier-grade NAT); by default not. Metadata services that
    /// live among them stay out of reach.
    pub allow_private: bool,
    /// Networks that may be reached whatever they are, such as `10.1.0.0/16` or `127.0.0.1/32`; by default none. A metadata
    /// service is reached only if its one address is listed (`/32` or `/128`): no wider network takes it along.
    pub allow: Vec<IpNet>,
    /// What the log tells people to do about a denial.
    pub hints: EgressHints,
}

/// What the log tells people to do about a denial. Whoever runs the host knows where its settings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressHints {
    /// When the component's manifest does not allow the host.
    pub host: String,
    /// When the component's manifest does not allow the name to be looked up.
    pub name: String,
    /// When the host's configuration does not allow the address.
    pub address: String,
    /// When the host's configuration does not allow its own loopback.
    pub loopback: String,
}

impl Default for EgressHints {
    fn default() -> Self {
        Self {
            host: "list it in `localResources.allowedHosts` of the component".to_owned(),
            name: "list it in `localResources.allowedIpNameLookups` of the component".to_owned(),
            address: "if it is meant to be reached, allow it in the host's `egress`".to_owned(),
            loopback: "if it is meant to be reached, allow it with `sockets.allowHostLoopback` in the host's configuration".to_owned(),
        }
    }
}

/// Decides what may leave the host. Cheap to ask, and without any state.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    options: EgressOptions,
}

/// What the policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go.
    Allowed,
    /// Go, and tell in the log: it would be denied if the policy were enforced.
    Audited(Denial),
    /// No.
    Denied(Denial),
}

/// Why something may not leave the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The component's manifest does not allow the host.
    Host(Destination),
    /// The component's manifest does not allow the name to be looked up.
    Name(RemoteHost),
    /// The host's configuration does not allow the address.
    Address {
        /// What was about to be connected to.
        address: IpAddr,
        /// What it leads to, where that is another address inside it.
        leads_to: IpAddr,
        /// What kind of address that is.
        class: AddressClass,
    },
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(to) => write!(f, "`allowedHosts` does not list {to}"),
            Self::Name(name) => write!(f, "`allowedIpNameLookups` does not list {name}"),
            Self::Address {
                address,
                leads_to,
                class,
            } => {
                write!(f, "{address} ")?;
                if address != leads_to {
                    write!(f, "leads to {leads_to}, which ")?;
                }
                write!(f, "is a {class} address, which this host does not allow")
            }
        }
    }
}

impl EgressPolicy {
    /// A policy of these options.
    #[must_use]
    pub fn new(options: EgressOptions) -> Self {
        Self { options }
    }

    /// What to do about denials of each kind.
    #[must_use]
    pub const fn hints(&self) -> &EgressHints {
        &self.options.hints
    }

    /// Whether a component with these `allowedHosts` may ask for a destination.
    #[must_use]
    pub fn host(&self, allowed: &[AllowedHost], to: &Destination) -> Verdict {
        if allowed.iter().any(|entry| entry.allows(to)) {
            return Verdict::Allowed;
        }
        self.denied(Denial::Host(to.clone()))
    }

    /// Whether a component with these `allowedIpNameLookups` may look up a name.
    #[must_use]
    pub fn name(&self, allowed: &[AllowedName], name: &RemoteHost) -> Verdict {
        if allowed.iter().any(|entry| entry.allows(name)) {
            return Verdict::Allowed;
        }
        self.denied(Denial::Name(name.clone()))
    }

    /// Whether anybody may connect to an address. What asks must connect to exactly this address, and look up no name again.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> Verdict {
        let wrong = faces(address).into_iter().find_map(|leads_to| {
            let class = AddressClass::of(leads_to);
            (!self.reachable(leads_to, class)).then_some((leads_to, class))
        });
        match wrong {
            None => Verdict::Allowed,
            Some((leads_to, class)) => self.denied(Denial::Address {
                address,
                leads_to,
                class,
            }),
        }
    }

    /// What to do about a denial.
    #[must_use]
    pub fn hint(&self, denial: &Denial) -> &str {
        match denial {
            Denial::Host(_) => &self.options.hints.host,
            Denial::Name(_) => &self.options.hints.name,
            Denial::Address { .. } => &self.options.hints.address,
        }
    }

    fn reachable(&self, address: IpAddr, class: AddressClass) -> bool {
        let listed = |net: &IpNet| net.contains(&address);
        let alone = |net: &IpNet| net.addr() == address && net.prefix_len() == net.max_prefix_len();
        let mut allow = self.options.allow.iter();
        match class {
            AddressClass::Public => true,
            AddressClass::Private => self.options.allow_private || allow.any(listed),
            AddressClass::Metadata => allow.any(alone),
            _ => allow.any(listed),
        }
    }

    fn denied(&self, denial: Denial) -> Verdict {
        match self.options.mode {
            EgressMode::Enforce => Verdict::Denied(denial),
            EgressMode::Audit => Verdict::Audited(denial),
        }
    }
}

#[cfg(test)]
mod tests;
