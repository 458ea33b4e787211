//! Addresses and errors in the words of WASI 0.2.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::rules::Family;

impl From<Fault> for ErrorCode {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::AccessDenied => Self::AccessDenied,
            Fault::NotSupported => Self::NotSupported,
            Fault::InvalidArgument => Self::InvalidArgument,
            Fault::SocketLimit => Self::NewSocketLimit,
            Fault::OutOfMemory => Self::OutOfMemory,
            Fault::Timeout => Self::Timeout,
            Fault::ConcurrencyConflict => Self::ConcurrencyConflict,
            Fault::NotInProgress => Self::NotInProgress,
            Fault::WouldBlock => Self::WouldBlock,
            Fault::InvalidState => Self::InvalidState,
            Fault::NotBindable => Self::AddressNotBindable,
            Fault::InUse => Self::AddressInUse,
            Fault::Unreachable => Self::RemoteUnreachable,
            Fault::Refused => Self::ConnectionRefused,
            Fault::Reset | Fault::Broken => Self::ConnectionReset,
            Fault::Aborted => Self::ConnectionAborted,
            Fault::TooLarge => Self::DatagramTooLarge,
            Fault::Unresolvable => Self::NameUnresolvable,
            Fault::NotResolved => Self::PermanentResolverFailure,
            Fault::Unknown => Self::Unknown,
        }
    }
}

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
            IpSocketAddress::Ipv4(v4) => Self::new(<[u8; 4]>::from(v4.address).into(), v4.port),
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
