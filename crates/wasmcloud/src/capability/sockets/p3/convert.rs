//! Addresses and errors in the words of WASI 0.3.

use super::types::{self, ErrorCode};
use crate::capability::sockets::addresses::addresses;
use crate::capability::sockets::fault::Fault;

addresses!(types);

impl From<Fault> for ErrorCode {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::AccessDenied => Self::AccessDenied,
            Fault::NotSupported => Self::NotSupported,
            Fault::InvalidArgument => Self::InvalidArgument,
            Fault::SocketLimit | Fault::OutOfMemory => Self::OutOfMemory,
            Fault::Timeout => Self::Timeout,
            Fault::InvalidState | Fault::ConcurrencyConflict | Fault::NotInProgress => {
                Self::InvalidState
            }
            Fault::NotBindable => Self::AddressNotBindable,
            Fault::InUse => Self::AddressInUse,
            Fault::Unreachable => Self::RemoteUnreachable,
            Fault::Refused => Self::ConnectionRefused,
            Fault::Broken => Self::ConnectionBroken,
            Fault::Reset => Self::ConnectionReset,
            Fault::Aborted => Self::ConnectionAborted,
            Fault::TooLarge => Self::DatagramTooLarge,
            Fault::Unresolvable | Fault::NotResolved | Fault::WouldBlock | Fault::Unknown => {
                Self::Other(None)
            }
        }
    }
}
