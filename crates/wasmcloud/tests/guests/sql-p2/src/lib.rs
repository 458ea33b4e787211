//! Asks databases through `wasmcloud:postgres@0.1.1-draft`, by the plain import or by a label.

use exports::test::sql::desk::{Guest, Way};
use wasmcloud::postgres0_1_1_draft::types::{
    PgValue, PreparedStatementExecError, QueryError, ResultRow, StatementPrepareError,
};
use wasmcloud::postgres0_1_1_draft::{prepared, query};

wit_bindgen::generate!({ path: "../wit", world: "sql-p2", generate_all });

struct Desk;

fn told(error: QueryError) -> String {
    match error {
        QueryError::InvalidParams(told) => format!("invalid-params: {told}"),
        QueryError::InvalidQuery(told) => format!("invalid-query: {told}"),
        QueryError::Unexpected(told) => format!("unexpected: {told}"),
    }
}

fn text(row: ResultRow) -> String {
    let entries = row.into_iter().map(|entry| {
        let value = match entry.value {
            PgValue::Null => "-".to_owned(),
            PgValue::Text(text) => text,
            PgValue::Int4(number) => number.to_string(),
            PgValue::Int8(number) => number.to_string(),
            PgValue::Bool(truth) => truth.to_string(),
            other => format!("{other:?}"),
        };
        format!("{}={value}", entry.column_name)
    });
    entries.collect::<Vec<_>>().join(" ")
}

fn texts(params: Vec<String>) -> Vec<PgValue> {
    params.into_iter().map(PgValue::Text).collect()
}

impl Guest for Desk {
    fn query(way: Way, sql: String, params: Vec<String>) -> Result<Vec<String>, String> {
        let params = texts(params);
        let rows = match way {
            Way::Plain => query::query(&sql, &params),
            Way::Archive => archive::query(&sql, &params),
        };
        Ok(rows.map_err(told)?.into_iter().map(text).collect())
    }

    fn batch(way: Way, sql: String) -> Result<(), String> {
        let done = match way {
            Way::Plain => query::query_batch(&sql),
            Way::Archive => archive::query_batch(&sql),
        };
        done.map_err(told)
    }

    fn prepare(way: Way, sql: String) -> Result<String, String> {
        let token = match way {
            Way::Plain => prepared::prepare(&sql),
            Way::Archive => archived::prepare(&sql),
        };
        token.map_err(|StatementPrepareError::Unexpected(told)| told)
    }

    fn exec(way: Way, token: String, params: Vec<String>) -> Result<u64, String> {
        let params = texts(params);
        let done = match way {
            Way::Plain => prepared::exec(&token, &params),
            Way::Archive => archived::exec(&token, &params),
        };
        done.map_err(|error| match error {
            PreparedStatementExecError::UnknownPreparedQuery => "unknown-prepared-query".to_owned(),
            PreparedStatementExecError::QueryError(error) => told(error),
            PreparedStatementExecError::Unexpected(told) => format!("unexpected: {told}"),
        })
    }
}

export!(Desk);
