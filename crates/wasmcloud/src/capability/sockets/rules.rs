//! What sockets may do, decided purely: where an address leads, what may be bound, and what may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fault::Fault;
use crate::plugin::Role;
use crate::policy::EgressHints;
use crate::workload::{HostPort, Protocol};

/// What `host.wasmcloud.internal` stands for inside a workload: the machine's own loopback. No socket of a workload has it.
pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

/// The family of addresses that a socket speaks, for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// No address in particular, and no port.
    pub(super) fn unspecified(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            Self::V6 => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        }
    }

    /// An IPv6 socket does not speak IPv4, in whatever clothes.
    fn speaks(self, address: IpAddr) -> bool {
        let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        Self::of(address) == self && !mapped
    }
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the network inside the workload.
    Inside,
    /// To the machine's own loopback.
    Host,
    /// Anywhere else.
    Outside,
}

impl Way {
    pub(super) fn to(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(HOST) => Self::Host,
            address if address.is_loopback() => Self::Inside,
            _ => Self::Outside,
        }
    }
}

/// Whether somebody may bind a TCP socket, where it could be bound.
pub(super) fn bind_tcp(role: Role, family: Family, to: SocketAddr) -> Result<(), Fault> {
    if !family.speaks(to.ip()) || !is_unicast(to.ip()) {
        return Err(Fault::InvalidArgument);
    }
    match role {
        Role::Component => Err(Fault::AccessDenied),
        Role::Service => bindable(to.ip()),
    }
}

/// Whether a UDP socket may be bound. Everybody may, inside.
pub(super) fn bind_udp(family: Family, to: SocketAddr) -> Result<(), Fault> {
    if !family.speaks(to.ip()) || !is_unicast(to.ip()) {
        return Err(Fault::InvalidArgument);
    }
    bindable(to.ip())
}

/// Sockets are bound inside the workload; the operating system has none of them.
fn bindable(address: IpAddr) -> Result<(), Fault> {
    match Way::to(address) {
        Way::Inside => Ok(()),
        Way::Outside if address.is_unspecified() => Ok(()),
        Way::Outside | Way::Host => Err(Fault::NotBindable),
    }
}

/// Whether an address is one that a TCP socket could connect to.
pub(super) fn connectable(family: Family, to: SocketAddr) -> Result<(), Fault> {
    if is_unicast(to.ip()) {
        return sendable(family, to);
    }
    Err(Fault::InvalidArgument)
}

/// Whether an address is one that a UDP socket could send to.
pub(super) fn sendable(family: Family, to: SocketAddr) -> Result<(), Fault> {
    if family.speaks(to.ip()) && !to.ip().is_unspecified() && to.port() != 0 {
        return Ok(());
    }
    Err(Fault::InvalidArgument)
}

fn is_unicast(address: IpAddr) -> bool {
    !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Why the machine's own loopback may not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostDenial {
    #[error("this host does not let workloads reach its loopback")]
    Host,
    #[error("`allowedHostLoopbackPorts` does not list {0}")]
    Port(HostPort),
}

impl HostDenial {
    /// What to do about it, with the hints of whoever runs the host.
    pub(super) fn hint(self, hints: &EgressHints) -> &str {
        match self {
            Self::Host => &hints.loopback,
            Self::Port(_) => {
                "list it in `localResources.allowedHostLoopbackPorts` of the component"
            }
        }
    }
}

/// Whether a port of the machine's own loopback may be reached: the host must allow it, and the component must list the port.
pub(super) fn host_loopback(
    allowed: bool,
    listed: &[HostPort],
    port: u16,
    protocol: Protocol,
) -> Result<(), HostDenial> {
    let wanted = HostPort { port, protocol };
    match (allowed, listed.contains(&wanted)) {
        (true, true) => Ok(()),
        (_, false) => Err(HostDenial::Port(wanted)),
        (false, true) => Err(HostDenial::Host),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_lead_inside_to_the_host_or_outside() {
        for (address, way) in [
            ("127.0.0.1", Way::Inside),
            ("127.0.0.2", Way::Inside),
            ("127.255.255.255", Way::Inside),
            ("::1", Way::Inside),
            ("127.255.255.254", Way::Host),
            ("192.0.2.1", Way::Outside),
            ("0.0.0.0", Way::Outside),
            ("::ffff:127.0.0.1", Way::Outside),
            ("64:ff9b::7f00:1", Way::Outside),
        ] {
            assert_eq!(Way::to(address.parse().unwrap()), way, "{address}");
        }
    }

    #[test]
    fn services_listen_inside_and_components_nowhere() {
        use Fault::*;
        let service = [
            ("127.0.0.1:80", Ok(())),
            ("127.1.2.3:0", Ok(())),
            ("0.0.0.0:80", Ok(())),
            ("10.0.0.1:80", Err(NotBindable)),
            ("192.0.2.1:80", Err(NotBindable)),
            ("127.255.255.254:80", Err(NotBindable)),
            ("224.0.0.1:80", Err(InvalidArgument)),
            ("255.255.255.255:80", Err(InvalidArgument)),
            ("[::1]:80", Err(InvalidArgument)),
        ];
        for (to, may) in service {
            assert_eq!(bind_tcp(Role::Service, Family::V4, at(to)), may, "{to}");
            let component = may.map_or_else(
                |fault| {
                    Err(if fault == NotBindable {
                        AccessDenied
                    } else {
                        fault
                    })
                },
                |()| Err(AccessDenied),
            );
            assert_eq!(
                bind_tcp(Role::Component, Family::V4, at(to)),
                component,
                "{to}"
            );
            assert_eq!(bind_udp(Family::V4, at(to)), may, "{to}");
        }
        for (to, may) in [
            ("[::1]:80", Ok(())),
            ("[::]:80", Ok(())),
            ("[2001:db8::1]:80", Err(NotBindable)),
            ("[ff02::1]:80", Err(InvalidArgument)),
            ("[::ffff:127.0.0.1]:80", Err(InvalidArgument)),
            ("127.0.0.1:80", Err(InvalidArgument)),
        ] {
            assert_eq!(bind_tcp(Role::Service, Family::V6, at(to)), may, "{to}");
        }
    }

    #[test]
    fn nobody_connects_to_what_is_no_place() {
        for to in [
            "0.0.0.0:80",
            "192.0.2.1:0",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::1]:80",
        ] {
            assert_eq!(
                connectable(Family::V4, at(to)),
                Err(Fault::InvalidArgument),
                "{to}"
            );
        }
        for to in [
            "[::]:80",
            "[::ffff:192.0.2.1]:80",
            "[ff02::1]:80",
            "127.0.0.1:80",
        ] {
            assert_eq!(
                connectable(Family::V6, at(to)),
                Err(Fault::InvalidArgument),
                "{to}"
            );
        }
        assert_eq!(connectable(Family::V4, at("127.0.0.1:80")), Ok(()));
        assert_eq!(connectable(Family::V6, at("[2001:db8::1]:80")), Ok(()));
    }

    #[test]
    fn the_hosts_loopback_takes_two_who_agree() {
        let listed = ["5432", "53/udp"].map(|text| text.parse().unwrap());
        let may = |allowed, port, protocol| host_loopback(allowed, &listed, port, protocol);
        assert_eq!(may(true, 5432, Protocol::Tcp), Ok(()));
        assert_eq!(may(true, 53, Protocol::Udp), Ok(()));
        assert_eq!(may(false, 5432, Protocol::Tcp), Err(HostDenial::Host));
        for (port, protocol) in [
            (5432, Protocol::Udp),
            (53, Protocol::Tcp),
            (80, Protocol::Tcp),
        ] {
            let denied = Err(HostDenial::Port(HostPort { port, protocol }));
            assert_eq!(may(true, port, protocol), denied);
            assert_eq!(may(false, port, protocol), denied);
        }
    }
}
