//! Why an operation on a socket failed, in words that both versions of WASI have.

use std::io;

use rustix::io::Errno;

use super::names::LookupFault;
use super::network::NetError;

/// Why an operation on a socket failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("access is denied")]
    AccessDenied,
    #[error("this cannot be done with sockets here")]
    NotSupported,
    #[error("an argument is invalid")]
    InvalidArgument,
    /// As many sockets are open as may be.
    #[error("there are as many sockets as there may be")]
    SocketLimit,
    #[error("there is no memory for it")]
    OutOfMemory,
    #[error("it took too long")]
    Timeout,
    /// Something else is going on with the socket.
    #[error("another operation is under way")]
    ConcurrencyConflict,
    /// Nothing was begun that could be finished.
    #[error("no such operation is under way")]
    NotInProgress,
    #[error("it is not done yet")]
    WouldBlock,
    #[error("the socket is not in a state for this")]
    InvalidState,
    #[error("no socket can have the address")]
    NotBindable,
    #[error("the address is in use")]
    InUse,
    #[error("the other side cannot be reached")]
    Unreachable,
    #[error("the connection was refused")]
    Refused,
    /// A write to a connection whose other side takes no more.
    #[error("the connection is broken")]
    Broken,
    #[error("the connection was reset")]
    Reset,
    #[error("the connection was aborted")]
    Aborted,
    #[error("the datagram is too large")]
    TooLarge,
    #[error("the name has no addresses")]
    Unresolvable,
    #[error("the name may not be looked up")]
    NotResolved,
    #[error("something unforeseen failed")]
    Unknown,
}

impl From<NetError> for Fault {
    fn from(error: NetError) -> Self {
        match error {
            NetError::InUse => Self::InUse,
            NetError::NotBindable => Self::NotBindable,
            NetError::Refused => Self::Refused,
            NetError::Full => Self::SocketLimit,
            NetError::Reset => Self::Reset,
            NetError::Aborted => Self::Aborted,
            NetError::TooLarge => Self::TooLarge,
        }
    }
}

impl From<LookupFault> for Fault {
    fn from(fault: LookupFault) -> Self {
        match fault {
            LookupFault::NotGranted => Self::NotResolved,
            LookupFault::Prohibited => Self::AccessDenied,
            LookupFault::Invalid => Self::InvalidArgument,
            LookupFault::Unresolvable => Self::Unresolvable,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => of_errno(errno),
            None => of_kind(error.kind()),
        }
    }
}

fn of_errno(errno: Errno) -> Fault {
    match errno {
        Errno::PERM | Errno::ACCESS => Fault::AccessDenied,
        Errno::INVAL => Fault::InvalidArgument,
        Errno::NOMEM | Errno::NOBUFS => Fault::OutOfMemory,
        Errno::MFILE | Errno::NFILE => Fault::SocketLimit,
        Errno::TIMEDOUT => Fault::Timeout,
        Errno::AGAIN | Errno::INTR => Fault::WouldBlock,
        Errno::ISCONN | Errno::NOTCONN | Errno::DESTADDRREQ => Fault::InvalidState,
        Errno::ADDRNOTAVAIL => Fault::NotBindable,
        Errno::ADDRINUSE => Fault::InUse,
        Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETUNREACH | Errno::NETDOWN => {
            Fault::Unreachable
        }
        Errno::CONNREFUSED => Fault::Refused,
        Errno::PIPE => Fault::Broken,
        Errno::CONNRESET => Fault::Reset,
        Errno::CONNABORTED => Fault::Aborted,
        Errno::MSGSIZE => Fault::TooLarge,
        Errno::OPNOTSUPP | Errno::NOPROTOOPT | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => {
            Fault::NotSupported
        }
        _ => {
            tracing::debug!("a socket failed in a way that WASI has no word for: {errno}");
            Fault::Unknown
        }
    }
}

fn of_kind(kind: io::ErrorKind) -> Fault {
    match kind {
        io::ErrorKind::TimedOut => Fault::Timeout,
        io::ErrorKind::WouldBlock => Fault::WouldBlock,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => Fault::Broken,
        _ => Fault::Unknown,
    }
}

/// What ends a host call: a fault that the guest is told, or an error of the host, which is a trap.
#[derive(Debug)]
pub enum Failure {
    /// The guest is told.
    Fault(Fault),
    /// The guest traps.
    Trap(wasmtime::Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl From<wasmtime::component::ResourceTableError> for Failure {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}
