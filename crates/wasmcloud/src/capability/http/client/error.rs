//! What went wrong on the way, in the words of `wasi:http`.

use std::error::Error as StdError;
use std::io;

use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, TlsAlertReceivedPayload};

use crate::net::resolve::ResolveError;

/// The cause of a type in the chain of an error.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error holds what caused it without being its source.
        if let Some(inner) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(found) = cause::<T>(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A name that has no addresses.
pub(super) fn of_lookup(error: &ResolveError) -> Error {
    Error::DnsError {
        rcode: match error {
            ResolveError::NotFound => Some("NXDOMAIN".to_owned()),
            ResolveError::Failed(_) => None,
        },
        info_code: None,
    }
}

/// A connection that did not come about.
pub(super) fn of_connect(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Error::ConnectionTerminated
        }
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Error::DestinationIpUnroutable
        }
        // This machine has no port, or no file, left.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Error::ConnectionLimitReached,
        io::ErrorKind::QuotaExceeded | io::ErrorKind::ResourceBusy => Error::ConnectionLimitReached,
        _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => Error::ConnectionLimitReached,
        _ => Error::DestinationUnavailable,
    }
}

/// "Too many open files", of the process and of the system; the same numbers on all Unix systems.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// A TLS handshake that failed.
pub(super) fn of_tls(error: &io::Error) -> Error {
    match cause::<rustls::Error>(error) {
        Some(error) => of_rustls(error),
        None if is_disconnect(error) => Error::ConnectionTerminated,
        None => Error::TlsProtocolError,
    }
}

fn of_rustls(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::InvalidCertRevocationList(_) => Error::TlsCertificateError,
        rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some((*alert).into()),
            alert_message: Some(format!("{alert:?}")),
        },
        _ => Error::TlsProtocolError,
    }
}

fn is_disconnect(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}

/// An exchange that ended before the head of the response was there.
pub(super) fn of_exchange(error: hyper::Error) -> Error {
    if let Some(own) = cause::<Error>(&error) {
        return same(own);
    }
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    if error.is_parse() {
        return Error::HttpProtocolError;
    }
    let left = error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || error.is_body_write_aborted();
    if left {
        return Error::ConnectionTerminated;
    }
    of_broken(&error)
}

/// A response that broke off.
pub(super) fn of_body(error: hyper::Error) -> Error {
    if let Some(own) = cause::<Error>(&error) {
        return same(own);
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Error::HttpResponseIncomplete;
    }
    match cause::<io::Error>(&error) {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => Error::HttpResponseIncomplete,
        _ => of_broken(&error),
    }
}

/// What the body of a request failed with, in these words already. What it cannot fail with, such as a name that has no address, is
/// left out.
fn same(error: &Error) -> Error {
    match error {
        Error::HttpRequestBodySize(size) => Error::HttpRequestBodySize(*size),
        Error::ConnectionTerminated => Error::ConnectionTerminated,
        Error::InternalError(message) => Error::InternalError(message.clone()),
        _ => Error::HttpProtocolError,
    }
}

/// What the body of a message can break off with, in the words of WASI 0.2.
pub(in crate::capability::http) fn as_p2(error: &Error) -> Option<ErrorCode> {
    Some(match error {
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::TlsCertificateError => ErrorCode::TlsCertificateError,
        Error::TlsAlertReceived {
            alert_id,
            alert_message,
        } => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: *alert_id,
            alert_message: alert_message.clone(),
        }),
        Error::InternalError(message) => ErrorCode::InternalError(message.clone()),
        // Of a request that comes in.
        Error::Hyper(_) => ErrorCode::HttpProtocolError,
        _ => return None,
    })
}

fn of_broken(error: &hyper::Error) -> Error {
    if let Some(tls) = cause::<rustls::Error>(error) {
        return of_rustls(tls);
    }
    match cause::<io::Error>(error) {
        Some(io) if is_disconnect(io) => Error::ConnectionTerminated,
        Some(io) if io.kind() == io::ErrorKind::TimedOut => Error::ConnectionReadTimeout,
        _ => Error::HttpProtocolError,
    }
}
