//! What the host allows of databases.

use std::str::FromStr;

use super::ServerUrl;
use crate::capability::room::part_of_open_files;
use crate::capability::workloads::{AllowError, Workloads};
use crate::workload::Workload;

/// What the host allows of databases, and where its own is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The server for workloads that name none.
    pub url: Option<ServerUrl>,
    /// Which databases of that server which workloads may use. What is not here is denied: they all log in as the same user.
    pub databases: Vec<(Workloads, Databases)>,
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
    /// How many bytes of SQL and parameters of an entry may be on their way at once. Three times as many may wait.
    pub max_in_flight: usize,
}

impl Default for PostgresOptions {
    /// No server and no databases; a quarter of the files that the process may open, from 64 to 1024; pools of at most 100; rows of
    /// 16 MiB, answers of 64 MiB, SQL of 1 MiB; 64 MiB on their way.
    fn default() -> Self {
        Self {
            url: None,
            databases: Vec::new(),
            max_connections: part_of_open_files(4, 64..=1024),
            max_pool: 100,
            max_row: 16 << 20,
            max_answer: 64 << 20,
            max_sql: 1 << 20,
            max_in_flight: 64 << 20,
        }
    }
}

impl PostgresOptions {
    /// Whether a workload may use a database of the host's server.
    pub(super) fn grant(&self, workload: &Workload, database: &str) -> bool {
        let mut grants = self.databases.iter();
        grants.any(|(workloads, databases)| workloads.cover(workload) && databases.cover(database))
    }
}

/// Some databases of a server: one, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    /// All.
    All,
    /// The one of this name.
    One(String),
}

impl Databases {
    fn cover(&self, database: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == database,
        }
    }
}

impl FromStr for Databases {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        match text {
            "*" => Ok(Self::All),
            // It would look like a pattern, and be none.
            text if text.is_empty() || text.contains('*') => Err(AllowError::new(
                "wanted the name of a database, or `*` for all of them",
            )),
            text => Ok(Self::One(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_one_or_all() {
        let of = |text: &str| text.parse::<Databases>();
        assert_eq!(of("*"), Ok(Databases::All));
        assert_eq!(of("shop"), Ok(Databases::One("shop".to_owned())));
        for bad in ["", "shop_*", "**"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
