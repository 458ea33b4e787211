//! What kind of place an IP address is, seen through the forms in which IPv6 carries IPv4 addresses.
//!
//! The ranges are those of IANA's special-purpose registries (RFC 6890 and its successors), and the addresses under which clouds
//! give out credentials.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// Anywhere on the internet.
    Public,
    /// Inside somebody's network: RFC 1918, unique local addresses, carrier-grade NAT.
    Private,
    /// Kept back by IANA: benchmarks, future use, retired ranges.
    Reserved,
    /// For examples in texts.
    Documentation,
    /// Every host of a network.
    Broadcast,
    /// Groups of hosts.
    Multicast,
    /// This host, or none in particular.
    Unspecified,
    /// This machine.
    Loopback,
    /// This wire.
    LinkLocal,
    /// A service of the cloud that gives out credentials and settings of the machine.
    Metadata,
}

impl AddressClass {
    /// The class of an address as it stands, without what may be embedded in it.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Reserved => "reserved",
            Self::Documentation => "documentation",
            Self::Broadcast => "broadcast",
            Self::Multicast => "multicast",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
        })
    }
}

/// Amazon's (instances, containers, pods), Google's and most others'; Scaleway's; Tencent's; Alibaba's; Azure's; Oracle's.
const METADATA_V4: [Ipv4Addr; 9] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(169, 254, 10, 10),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Amazon's (instances, pods), Google's, Oracle's, Scaleway's, and those of others, OpenStack's last.
const METADATA_V6: [Ipv6Addr; 8] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

fn of_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        _ if METADATA_V4.contains(&address) => AddressClass::Metadata,
        [0, ..] => AddressClass::Unspecified,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            AddressClass::Private
        }
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressClass::Documentation,
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => AddressClass::Reserved,
        [224..=239, ..] => AddressClass::Multicast,
        [255, 255, 255, 255] => AddressClass::Broadcast,
        [240..=255, ..] => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    match address.segments() {
        _ if METADATA_V6.contains(&address) => AddressClass::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        // Unique local, the site-local ones before them, and translation inside one network (RFC 8215).
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => {
            AddressClass::Private
        }
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Documentation,
        // Benchmarks and identifiers that are no places (ORCHID).
        [0x2001, 2, 0, ..] | [0x2001, 0x10..=0x3f, ..] => AddressClass::Reserved,
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x2000..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Reserved,
    }
}

/// Everything that an address may lead to: itself, and the IPv4 addresses that gateways would make of it.
pub(super) fn faces(address: IpAddr) -> Vec<IpAddr> {
    let mut faces = vec![address];
    let IpAddr::V6(v6) = address else {
        return faces;
    };
    if let Some(mapped) = v6.to_ipv4_mapped() {
        // The operating system makes a plain IPv4 connection of it.
        return vec![mapped.into()];
    }
    let [_, b, c, d, e, _, g, h] = v6.segments();
    let (last, middle) = (join(g, h), join(b, c));
    match v6.segments() {
        // IPv4-compatible (retired), translated (RFC 2765), and NAT64 with the well-known prefix.
        [0, 0, 0, 0, 0, 0, _, _] if !v6.is_unspecified() && !v6.is_loopback() => {
            faces.push(last);
        }
        [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => faces.push(last),
        [0x64, 0xff9b, 1, ..] => faces.extend(translated(v6)),
        // 6to4.
        [0x2002, ..] => faces.push(middle),
        // Teredo: the server, and the client, which is written inverted.
        [0x2001, 0, ..] => faces.extend([join(c, d), join(!g, !h)]),
        _ => {}
    }
    // ISATAP, under any prefix.
    if matches!(e & 0xfdff, 0) && v6.segments().get(5) == Some(&0x5efe) {
        faces.push(last);
    }
    faces
}

fn join(high: u16, low: u16) -> IpAddr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into()
}

/// The IPv4 addresses in one that a network translates by itself. How long its prefix is, only the network knows (RFC 6052), so all
/// that are possible count; the network 0.0.0.0/8, which padding reads as, does not.
fn translated(address: Ipv6Addr) -> impl Iterator<Item = IpAddr> {
    // From octet 6 on; octet 8 is never part of the address.
    let [.., g, h, _, j, k, l, m, n, o, p] = address.octets();
    [[g, h, j, k], [h, j, k, l], [j, k, l, m], [m, n, o, p]]
        .into_iter()
        .filter(|[first, ..]| *first != 0)
        .map(|octets| Ipv4Addr::from(octets).into())
}

#[cfg(test)]
mod tests;
