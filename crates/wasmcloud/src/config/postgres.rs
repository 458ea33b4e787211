//! The section `postgres`: what databases workloads may have, and where that of the host is.

use serde::Deserialize;

use super::grants::{Lists, lists};
use super::reader::{Number, Reader, Text};
use crate::capability::postgres::{AllowError, Databases, PostgresOptions, ServerUrl, Workloads};

/// What databases workloads may have. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresSection {
    /// The server for workloads that name none. It is in no log.
    pub url: Option<ServerUrl>,
    /// Which databases of that server which workloads may use.
    pub databases: Vec<(Workloads, Databases)>,
    /// How many connections all workloads together have open.
    pub connections: Option<u32>,
    /// How many connections an entry of a manifest may ask for.
    pub connections_per_entry: Option<u32>,
    /// How long a row may be, in bytes.
    pub row: Option<u64>,
    /// How long an answer may be that is given as a whole, in bytes.
    pub answer: Option<u64>,
    /// How long SQL may be, in bytes.
    pub sql: Option<u64>,
    /// How many bytes of calls of one entry may be on their way at once.
    pub in_flight: Option<u64>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    url: Text,
    databases: Lists,
    connections: Number,
    connections_per_entry: Number,
    row: Text,
    answer: Text,
    sql: Text,
    in_flight: Text,
}

/// More are mistakes.
const MOST: u32 = 100_000;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> PostgresSection {
    PostgresSection {
        url: reader.secret(raw.url),
        databases: lists(reader, raw.databases, |reader, text| {
            reader.text(Some(text), |text| {
                text.parse()
                    .map_err(|wanted: AllowError| wanted.to_string())
            })
        }),
        connections: reader.number(raw.connections, 1..=MOST),
        connections_per_entry: reader.number(raw.connections_per_entry, 1..=MOST),
        row: reader.size(raw.row),
        answer: reader.size(raw.answer),
        sql: reader.size(raw.sql),
        in_flight: reader.size(raw.in_flight),
    }
}

impl PostgresSection {
    pub(super) fn apply(&self, options: &mut PostgresOptions) {
        if self.url.is_some() {
            options.url.clone_from(&self.url);
        }
        options.databases.extend(self.databases.iter().cloned());
        let count = |count: Option<u32>, before: &mut usize| {
            *before = count.map_or(*before, |count| {
                usize::try_from(count).unwrap_or(usize::MAX)
            });
        };
        count(self.connections, &mut options.max_connections);
        count(self.connections_per_entry, &mut options.max_pool);
        let size = |size: Option<u64>, before: &mut usize| {
            *before = size.map_or(*before, |size| usize::try_from(size).unwrap_or(usize::MAX));
        };
        size(self.row, &mut options.max_row);
        size(self.answer, &mut options.max_answer);
        size(self.sql, &mut options.max_sql);
        size(self.in_flight, &mut options.max_in_flight);
    }
}
