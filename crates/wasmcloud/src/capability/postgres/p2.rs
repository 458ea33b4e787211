//! `wasmcloud:postgres@0.1.1-draft`: conversions only.

use std::sync::Arc;

use wasmtime::component::{HasSelf, LinkerInstance};

use super::plugin::{Way, Ways};
use super::{Fault, Value};
use crate::plugin::{Asker, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/postgres/p2",
        world: "wasmcloud:postgres/imports",
        imports: { default: trappable | async },
        named_imports: {
            "wasmcloud:postgres/query": crate::plugin::Asker,
            "wasmcloud:postgres/prepared": crate::plugin::Asker,
        },
        with: { "wasmcloud:postgres/types": crate::capability::postgres::p2::types },
        require_store_data_send: true,
    });
}

/// What the interface speaks of.
#[expect(unreachable_pub, reason = "the generated bindings name them")]
pub mod types {
    use std::sync::Arc;

    use wasmtime::component::{ComponentType, Lift, Lower};

    pub use super::super::empty::{Host, HostWithStore, add_to_linker};
    pub use super::super::value::Value as PgValue;

    #[derive(Clone, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum QueryError {
        #[component(name = "invalid-params")]
        InvalidParams(String),
        #[component(name = "invalid-query")]
        InvalidQuery(String),
        #[component(name = "unexpected")]
        Unexpected(String),
    }

    #[derive(Clone, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum StatementPrepareError {
        #[component(name = "unexpected")]
        Unexpected(String),
    }

    #[derive(Clone, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum PreparedStatementExecError {
        #[component(name = "unknown-prepared-query")]
        UnknownPreparedQuery,
        #[component(name = "query-error")]
        QueryError(QueryError),
        #[component(name = "unexpected")]
        Unexpected(String),
    }

    #[derive(Clone, ComponentType, Lift, Lower)]
    #[component(record)]
    pub struct ResultRowEntry {
        #[component(name = "column-name")]
        pub column_name: Arc<str>,
        pub value: PgValue,
    }

    pub type ResultRow = Vec<ResultRowEntry>;
}

use generated::named_imports::wasmcloud::postgres::{prepared, query};
use types::{
    PreparedStatementExecError, QueryError, ResultRow, ResultRowEntry, StatementPrepareError,
};

type Outcome<T, E> = wasmtime::Result<Result<T, E>>;

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    type Own = HasSelf<StoreData>;
    match import.interface.name.as_str() {
        // It has no functions.
        "types" => Ok(()),
        "query" => query::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
        "prepared" => prepared::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
        _ => wasmtime::bail!("{} is not offered", import.interface),
    }
}

/// The class of SQLSTATE of what is wrong with a statement as it is written.
const SYNTAX_OR_ACCESS: &str = "42";

impl From<Fault> for QueryError {
    fn from(fault: Fault) -> Self {
        match &fault {
            Fault::Params(_) => Self::InvalidParams(fault.to_string()),
            Fault::Query(_) => Self::InvalidQuery(fault.to_string()),
            Fault::Failed(refusal) if refusal.code.starts_with(SYNTAX_OR_ACCESS) => {
                Self::InvalidQuery(fault.to_string())
            }
            _ => Self::Unexpected(fault.to_string()),
        }
    }
}

impl From<Fault> for PreparedStatementExecError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unknown => Self::UnknownPreparedQuery,
            fault @ (Fault::Params(_) | Fault::Query(_) | Fault::Failed(_)) => {
                Self::QueryError(fault.into())
            }
            fault => Self::Unexpected(fault.to_string()),
        }
    }
}

impl From<Fault> for StatementPrepareError {
    fn from(fault: Fault) -> Self {
        Self::Unexpected(fault.to_string())
    }
}

async fn rows(
    way: Result<Way, Fault>,
    sql: String,
    params: Vec<Value>,
) -> Result<Vec<ResultRow>, Fault> {
    let way = way?;
    let answer = way.database.query(sql, params).await?;
    let columns: Vec<Arc<str>> = answer.columns.into_iter().map(Arc::from).collect();
    let entries = |values: Vec<Value>| -> ResultRow {
        let pairs = columns.iter().cloned().zip(values);
        let entry = |(column_name, value)| ResultRowEntry { column_name, value };
        pairs.map(entry).collect()
    };
    let name = size_of::<ResultRowEntry>() - size_of::<Value>();
    let more = size_of::<ResultRow>() + columns.len() * name;
    way.whole.of(answer.rows, more, entries).await
}

impl query::Host for StoreData {
    async fn query(
        &mut self,
        asker: Asker,
        sql: String,
        params: Vec<Value>,
    ) -> Outcome<Vec<ResultRow>, QueryError> {
        Ok(rows(Ways::of(self, &asker), sql, params)
            .await
            .map_err(QueryError::from))
    }

    async fn query_batch(&mut self, asker: Asker, sql: String) -> Outcome<(), QueryError> {
        Ok(match Ways::of(self, &asker) {
            Ok(way) => way.database.batch(sql).await.map_err(QueryError::from),
            Err(fault) => Err(fault.into()),
        })
    }
}

impl prepared::Host for StoreData {
    async fn prepare(
        &mut self,
        asker: Asker,
        sql: String,
    ) -> Outcome<String, StatementPrepareError> {
        Ok(match Ways::of(self, &asker) {
            Ok(way) => way
                .database
                .prepare(sql)
                .await
                .map_err(StatementPrepareError::from),
            Err(fault) => Err(fault.into()),
        })
    }

    async fn exec(
        &mut self,
        asker: Asker,
        token: String,
        params: Vec<Value>,
    ) -> Outcome<u64, PreparedStatementExecError> {
        Ok(match Ways::of(self, &asker) {
            Ok(way) => {
                let done = way.database.execute(&token, params).await;
                done.map_err(PreparedStatementExecError::from)
            }
            Err(fault) => Err(fault.into()),
        })
    }
}
