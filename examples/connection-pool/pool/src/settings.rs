//! What the manifest says about the database and the pool, in environment variables.

use std::env::{self, VarError};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use wstd::io;

/// Where the database is, and how many connections to it there may be.
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
    /// How many connections are open at most.
    pub size: usize,
    /// How long a query waits for a free one.
    pub wait: Duration,
}

impl Settings {
    /// Reads the variables, most of which have the names that PostgreSQL's own programs read.
    pub fn from_environment() -> io::Result<Self> {
        let size: usize = variable("POOL_SIZE", Some("4"))?;
        if size == 0 {
            return Err(io::Error::other(
                "POOL_SIZE is 0, and no query could ever run",
            ));
        }
        Ok(Self {
            host: variable("PGHOST", Some("host.wasmcloud.internal"))?,
            port: variable("PGPORT", Some("5432"))?,
            user: variable("PGUSER", None)?,
            password: variable("PGPASSWORD", Some(""))?,
            database: variable("PGDATABASE", None)?,
            size,
            wait: Duration::from_secs(variable("POOL_WAIT_SECONDS", Some("10"))?),
        })
    }
}

/// Without the password.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            user,
            database,
            ..
        } = self;
        write!(f, "{database} at {host}:{port} as {user}")
    }
}

fn variable<T: FromStr>(name: &str, usual: Option<&str>) -> io::Result<T> {
    let text = match (env::var(name), usual) {
        (Ok(text), _) => text,
        (Err(VarError::NotPresent), Some(usual)) => usual.to_owned(),
        (Err(error), _) => return Err(io::Error::other(format!("{name}: {error}"))),
    };
    text.parse()
        .map_err(|_| io::Error::other(format!("{name}: `{text}` cannot be read")))
}
