//! Addresses and errors in the words of WASI 0.2.

use super::network::{self, ErrorCode};
use crate::capability::sockets::addresses::addresses;
use crate::capability::sockets::fault::Fault;

addresses!(network);

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
