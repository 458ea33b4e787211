//! What the host allows of databases.

use super::ServerUrl;
use crate::capability::room::part_of_open_files;

/// What the host allows of databases, and where its own is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The server for workloads that name none. They choose the database.
    pub url: Option<ServerUrl>,
    /// How many connections all workloads together have open.
    pub max_connections: usize,
    /// How many connections an entry of a workload may ask for.
    pub max_pool: usize,
    /// How many bytes a row may have on its way from a server.
    pub max_row: usize,
    /// How many bytes of rows an answer may have that is given as a whole.
    pub max_answer: usize,
    /// How many bytes SQL may have.
    pub max_sql: usize,
}

impl Default for PostgresOptions {
    /// No server; a quarter of the files that the process may open, from 64 to 1024; pools of at most 100; rows of 16 MiB, answers of
    /// 64 MiB, SQL of 1 MiB.
    fn default() -> Self {
        Self {
            url: None,
            max_connections: part_of_open_files(4, 64..=1024),
            max_pool: 100,
            max_row: 16 << 20,
            max_answer: 64 << 20,
            max_sql: 1 << 20,
        }
    }
}
