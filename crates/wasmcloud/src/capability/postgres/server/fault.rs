//! What went wrong with a server, in our words; only what it says of a statement is passed on as it is.

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use super::super::{Fault, Refusal};
use super::watch::Seen;

/// Why there is no connection.
pub(super) fn of_connecting(error: &Error) -> Fault {
    let unavailable = |why: &str| Fault::Unavailable(why.to_owned());
    let Some(refusal) = error.as_db_error() else {
        return match std::error::Error::source(error) {
            Some(cause) => Fault::Unavailable(format!("{error}: {}", cause_of(cause))),
            None => Fault::Unavailable(error.to_string()),
        };
    };
    match refusal.code().code() {
        code if code.starts_with("28") || code == SqlState::INSUFFICIENT_PRIVILEGE.code() => {
            Fault::Denied
        }
        "3D000" => unavailable("its server has no such database"),
        "53300" => unavailable("its server takes no more connections"),
        code => Fault::Unavailable(format!("its server answers with SQLSTATE {code}")),
    }
}

/// What the cause says, but for names: where a server is, is secret.
fn cause_of(cause: &(dyn std::error::Error + 'static)) -> String {
    let io = cause.downcast_ref::<std::io::Error>();
    let inner = io.and_then(std::io::Error::get_ref);
    let of_tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match of_tls {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is not for the name in the URL".to_owned(),
        _ => cause.to_string(),
    }
}

/// Whether a connection is of no more use.
pub(super) fn is_lost(error: &Error) -> bool {
    match error.as_db_error() {
        Some(refusal) => is_going(refusal),
        None => error.is_closed() || is_io(error),
    }
}

fn is_io(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<std::io::Error>())
}

/// Whether the server closes the connection behind what it says.
fn is_going(refusal: &DbError) -> bool {
    matches!(
        refusal.code().code(),
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03"
    )
}

/// Why a statement was not carried out. `overdue`: it has had all the time that there is.
pub(super) fn of_statement(error: &Error, seen: &Seen, overdue: bool) -> Fault {
    if let Some(refusal) = error.as_db_error() {
        return match refusal.code() {
            &SqlState::QUERY_CANCELED if overdue => Fault::Timeout,
            _ if is_going(refusal) => Fault::Unavailable("its server is stopping".to_owned()),
            _ => Fault::Failed(Box::new(refusal_of(refusal))),
        };
    }
    if let Some(length) = seen.too_long() {
        return Fault::Other(format!(
            "a row of {length} bytes is longer than this host takes"
        ));
    }
    if seen.was_crowded() {
        return Fault::Timeout;
    }
    if seen.said_too_much() {
        return Fault::Other("the server says more than this host takes".to_owned());
    }
    if seen.wanted_copy() {
        return Fault::Query("COPY from or to the client is not possible here".to_owned());
    }
    match is_lost(error) {
        true => Fault::Unavailable("the connection to its server broke".to_owned()),
        false => Fault::Other(format!("the server is not understood: {error}")),
    }
}

fn refusal_of(refusal: &DbError) -> Refusal {
    let mut extras = Vec::new();
    let mut more = |name: &str, value: Option<String>| {
        extras.extend(value.map(|value| (name.to_owned(), value)));
    };
    let text = |text: Option<&str>| text.map(str::to_owned);
    more("hint", text(refusal.hint()));
    let position = refusal.position().map(|position| match position {
        ErrorPosition::Original(position) | ErrorPosition::Internal { position, .. } => {
            position.to_string()
        }
    });
    more("position", position);
    more("where", text(refusal.where_()));
    more("schema", text(refusal.schema()));
    more("table", text(refusal.table()));
    more("column", text(refusal.column()));
    more("datatype", text(refusal.datatype()));
    more("constraint", text(refusal.constraint()));
    Refusal {
        code: refusal.code().code().to_owned(),
        severity: refusal.severity().to_owned(),
        message: refusal.message().to_owned(),
        detail: text(refusal.detail()),
        extras,
    }
}
