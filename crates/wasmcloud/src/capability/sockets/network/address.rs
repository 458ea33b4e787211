//! The addresses of the network, packed into one number that tables can be sorted by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Ports that are given to whoever asks for any.
pub(super) const EPHEMERAL: std::ops::RangeInclusive<u16> = 49_152..=65_535;

const V6: u64 = 1 << 48;

/// A loopback or unspecified address with a port: the family, then the port, then the address, of which the unspecified is the
/// smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(u64);

impl Key {
    /// `None`: not an address of this network. Forms of IPv4 addresses in IPv6 are not: the families are separate.
    pub(super) fn new(addr: SocketAddr) -> Option<Self> {
        let host = match addr.ip() {
            IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => u64::from(ip.to_bits()),
            IpAddr::V6(ip) if ip.is_loopback() => V6 | 1,
            IpAddr::V6(ip) if ip.is_unspecified() => V6,
            _ => return None,
        };
        Some(Self(host | u64::from(addr.port()) << 32))
    }

    pub(super) fn addr(self) -> SocketAddr {
        let ip = match (self.is_v6(), self.host()) {
            (false, host) => IpAddr::V4(Ipv4Addr::from_bits(host)),
            (true, 0) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            (true, _) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        SocketAddr::new(ip, self.port())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low 32 bits are the address"
    )]
    const fn host(self) -> u32 {
        self.0 as u32
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the 16 bits above the address are the port"
    )]
    pub(super) const fn port(self) -> u16 {
        (self.0 >> 32) as u16
    }

    const fn is_v6(self) -> bool {
        self.0 & V6 != 0
    }

    /// Whether it stands for all addresses of its family.
    pub(super) const fn is_any(self) -> bool {
        self.host() == 0
    }

    pub(super) const fn is_same_family(self, other: Self) -> bool {
        self.is_v6() == other.is_v6()
    }

    pub(super) fn with_port(self, port: u16) -> Self {
        Self(self.0 & !(0xffff << 32) | u64::from(port) << 32)
    }

    /// All addresses of the family, with the same port.
    pub(super) const fn any(self) -> Self {
        Self(self.0 & !0xffff_ffff)
    }

    /// The address that is the last of its family, with the same port.
    pub(super) const fn last(self) -> Self {
        Self(self.0 | 0xffff_ffff)
    }

    /// 127.0.0.1 or ::1, with the same port.
    pub(super) fn localhost(self) -> Self {
        let host = if self.is_v6() {
            1
        } else {
            u64::from(Ipv4Addr::LOCALHOST.to_bits())
        };
        Self(self.any().0 | host)
    }

    /// The address itself; where it is the unspecified one, 127.0.0.1 or ::1, as the operating system has it.
    pub(super) fn specific(self) -> Self {
        if self.is_any() {
            self.localhost()
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn key(addr: &str) -> Key {
        Key::new(addr.parse().unwrap()).unwrap()
    }

    #[test]
    fn loopback_and_unspecified_addresses_are_packed_and_unpacked() {
        for addr in [
            "127.0.0.1:80",
            "127.255.255.254:65535",
            "0.0.0.0:0",
            "[::1]:8080",
            "[::]:1",
        ] {
            assert_eq!(key(addr).addr().to_string(), addr);
        }
    }

    #[test]
    fn other_addresses_are_not_of_this_network() {
        for addr in [
            "10.0.0.1:80",
            "128.0.0.1:80",
            "[::2]:80",
            "[::ffff:127.0.0.1]:80",
            "[::127.0.0.1]:80",
        ] {
            assert_eq!(Key::new(addr.parse().unwrap()), None, "{addr}");
        }
    }

    #[test]
    fn the_unspecified_address_is_the_first_of_its_port() {
        let all = [
            key("0.0.0.0:80"),
            key("127.0.0.1:80"),
            key("127.9.9.9:80"),
            key("0.0.0.0:81"),
        ];
        assert!(all.is_sorted());
        assert!(key("127.255.255.255:65535") < key("[::]:0"));
        assert_eq!(key("127.9.9.9:80").any(), key("0.0.0.0:80"));
        assert!(key("0.0.0.0:80").last() < key("0.0.0.0:81"));
        assert!(key("[::1]:80") < key("[::]:80").last());
    }

    #[test]
    fn the_unspecified_address_stands_for_localhost() {
        assert_eq!(key("0.0.0.0:80").specific(), key("127.0.0.1:80"));
        assert_eq!(key("[::]:80").specific(), key("[::1]:80"));
        assert_eq!(key("127.0.0.2:80").specific(), key("127.0.0.2:80"));
        assert_eq!(key("127.0.0.2:80").with_port(9), key("127.0.0.2:9"));
    }
}
