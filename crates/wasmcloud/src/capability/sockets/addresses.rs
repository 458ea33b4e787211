//! Addresses in the words of WASI, which are the same in 0.2 and 0.3, of types that are not.

/// Converts addresses to and from the generated types of a module.
macro_rules! addresses {
    ($types:ident) => {
        use std::net::{IpAddr, SocketAddr, SocketAddrV6};

        use $types::{
            IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
        };

        use $crate::capability::sockets::rules::Family;

        impl From<IpAddressFamily> for Family {
            fn from(family: IpAddressFamily) -> Self {
                match family {
                    IpAddressFamily::Ipv4 => Self::V4,
                    IpAddressFamily::Ipv6 => Self::V6,
                }
            }
        }

        impl From<Family> for IpAddressFamily {
            fn from(family: Family) -> Self {
                match family {
                    Family::V4 => Self::Ipv4,
                    Family::V6 => Self::Ipv6,
                }
            }
        }

        impl From<IpAddr> for IpAddress {
            fn from(address: IpAddr) -> Self {
                match address {
                    IpAddr::V4(v4) => Self::Ipv4(v4.octets().into()),
                    IpAddr::V6(v6) => Self::Ipv6(v6.segments().into()),
                }
            }
        }

        impl From<IpSocketAddress> for SocketAddr {
            fn from(address: IpSocketAddress) -> Self {
                match address {
                    IpSocketAddress::Ipv4(v4) => {
                        Self::new(<[u8; 4]>::from(v4.address).into(), v4.port)
                    }
                    IpSocketAddress::Ipv6(v6) => {
                        let ip = <[u16; 8]>::from(v6.address).into();
                        SocketAddrV6::new(ip, v6.port, v6.flow_info, v6.scope_id).into()
                    }
                }
            }
        }

        impl From<SocketAddr> for IpSocketAddress {
            fn from(address: SocketAddr) -> Self {
                match address {
                    SocketAddr::V4(v4) => Self::Ipv4(Ipv4SocketAddress {
                        port: v4.port(),
                        address: v4.ip().octets().into(),
                    }),
                    SocketAddr::V6(v6) => Self::Ipv6(Ipv6SocketAddress {
                        port: v6.port(),
                        flow_info: v6.flowinfo(),
                        address: v6.ip().segments().into(),
                        scope_id: v6.scope_id(),
                    }),
                }
            }
        }
    };
}

pub(super) use addresses;
