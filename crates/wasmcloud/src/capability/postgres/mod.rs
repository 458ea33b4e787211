//! PostgreSQL for guests: `wasmcloud:postgres` in both versions over one port.
//!
//! The backend in `server` knows neither WIT nor Wasmtime; `convert` is the table between values of guests and of PostgreSQL. The suite in
//! `conformance` says what a database must do.

#[cfg(test)]
mod conformance;
mod convert;
mod empty;
mod gate;
mod limited;
mod options;
mod p2;
mod p3;
mod plugin;
mod recent;
mod server;
mod settings;
mod tls;
mod url;
mod value;
mod weight;
mod whole;

use std::pin::Pin;

use async_trait::async_trait;
use futures::Stream;

pub use options::{Databases, PostgresOptions};
pub use plugin::Postgres;
pub use url::{ServerUrl, UrlError};

pub use crate::capability::workloads::{AllowError, Workloads};

use crate::capability::in_flight::Permit;
use value::Value;

/// One database, as one entry of one workload reaches it.
///
/// - D1 A statement that is acknowledged is carried out and committed. One that failed with [`Fault::Unavailable`] or
///   [`Fault::Timeout`] may have been carried out.
/// - D2 Parameters never become part of the SQL.
/// - D3 A value that comes back is the one that went in, for every type that [`Value`] has a case for. What no value can hold is
///   [`Fault::Conversion`], with the column and its type.
/// - D4 A call finds a session as a new one is: nothing that an earlier call has set, locked, listened to, or begun. What must last longer
///   than a call is refused: a transaction that a call leaves open is rolled back, and told as [`Fault::Query`].
/// - D5 A statement by its token is the one that was prepared, on whatever connection. A token means nothing for another database or
///   another workload.
/// - D6 Rows come no faster than they are taken, and no more is held than a few. Whoever lets go of them, or of a call, ends the
///   statement on the server and frees the connection.
/// - D7 Whoever finds no connection free waits, in order, and no longer than the settings say; then [`Fault::Timeout`].
/// - D8 After [`Fault::Unavailable`], calls succeed again as soon as the server is there again.
/// - D9 No call takes longer than the settings say, apart from the time that its rows are not taken.
#[async_trait]
pub(crate) trait Database: Send + Sync + 'static {
    /// Carries out one statement. Returns when it has a row, or is done.
    async fn query(&self, sql: String, params: Vec<Value>) -> Result<Answer, Fault>;

    /// Carries out statements, without parameters and rows. Without transactions of their own they are one: all or none.
    async fn batch(&self, sql: String) -> Result<(), Fault>;

    /// A token for a statement.
    async fn prepare(&self, sql: String) -> Result<String, Fault>;

    /// Carries out the statement of a token. How many rows it was about.
    async fn execute(&self, token: &str, params: Vec<Value>) -> Result<u64, Fault>;

    /// Why nothing can be asked now, for whoever runs the workload.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// What a statement answers.
pub(crate) struct Answer {
    /// The names of its columns.
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Rows,
}

/// Rows as they come. Nothing follows an error.
pub(crate) type Rows = Pin<Box<dyn Stream<Item = Result<Row, Fault>> + Send>>;

/// One of them.
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Row {
    pub(crate) values: Vec<Value>,
    /// How many bytes they take in memory.
    pub(crate) bytes: usize,
    /// The room that these have, where they are many.
    pub(crate) held: Option<Permit>,
}

/// Why something could not be done. The words may be shown to a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// There is no connection, for now, or it broke.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// A parameter does not fit its place.
    #[error("{0}")]
    Params(String),
    /// SQL that is not passed on.
    #[error("{0}")]
    Query(String),
    /// The database refuses, or could not.
    #[error("{}: {} (SQLSTATE {})", .0.severity, .0.message, .0.code)]
    Failed(Box<Refusal>),
    /// A value of the database that no value of the interface holds.
    #[error("{0}")]
    Conversion(String),
    /// A token of nobody.
    #[error("no statement was prepared under this token, or it was prepared too long ago")]
    Unknown,
    /// The workload may not go there, or the server does not let it in.
    #[error("access to the database is denied")]
    Denied,
    /// It took too long.
    #[error("the database took too long")]
    Timeout,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The SQLSTATE.
    pub(crate) code: String,
    pub(crate) severity: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    /// More, by name.
    pub(crate) extras: Vec<(String, String)>,
}
