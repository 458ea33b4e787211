//! `wasmcloud:postgres@0.2.0`: conversions only.

mod stream;

use wasmtime::component::{Accessor, FutureReader, HasSelf, LinkerInstance, StreamReader};

use self::stream::Streamed;
use super::plugin::{Way, Ways};
use super::{Fault, Value};
use crate::plugin::{Asker, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/postgres/p3",
        world: "wasmcloud:postgres/imports",
        imports: { default: trappable },
        named_imports: {
            "wasmcloud:postgres/query": crate::plugin::Asker,
            "wasmcloud:postgres/prepared": crate::plugin::Asker,
        },
        with: { "wasmcloud:postgres/types": crate::capability::postgres::p3::types },
        require_store_data_send: true,
    });
}

/// What the interface speaks of.
#[expect(unreachable_pub, reason = "the generated bindings name them")]
pub mod types {
    use wasmtime::component::{ComponentType, Lift, Lower};

    pub use super::super::empty::{Host, HostWithStore, add_to_linker};
    pub use super::super::value::Value as PgValue;

    #[derive(Clone, ComponentType, Lift, Lower)]
    #[component(record)]
    pub struct DbError {
        pub code: String,
        pub severity: String,
        pub message: String,
        pub detail: Option<String>,
        pub extras: Vec<(String, String)>,
    }

    #[derive(Clone, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum Error {
        #[component(name = "connection-failed")]
        ConnectionFailed(String),
        #[component(name = "invalid-params")]
        InvalidParams(String),
        #[component(name = "invalid-query")]
        InvalidQuery(String),
        #[component(name = "query-failed")]
        QueryFailed(DbError),
        #[component(name = "value-conversion-failed")]
        ValueConversionFailed(String),
        #[component(name = "unknown-prepared-statement")]
        UnknownPreparedStatement,
        #[component(name = "access-denied")]
        AccessDenied,
        #[component(name = "timeout")]
        Timeout,
        #[component(name = "other")]
        Other(String),
    }

    pub type ColumnName = String;
    pub type Row = Vec<PgValue>;
}

use generated::named_imports::wasmcloud::postgres::{prepared, query};
use types::{DbError, Error, Row};

type Own = HasSelf<StoreData>;
type Guest = Accessor<StoreData, Own>;
type Outcome<T> = wasmtime::Result<Result<T, Error>>;
/// The columns, the rows, and how they ended.
type Answered = (
    Vec<String>,
    StreamReader<Row>,
    FutureReader<Result<(), Error>>,
);

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    match import.interface.name.as_str() {
        // It has no functions.
        "types" => Ok(()),
        "query" => query::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
        "prepared" => prepared::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
        _ => wasmtime::bail!("{} is not offered", import.interface),
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(_) => Self::ConnectionFailed(fault.to_string()),
            Fault::Params(told) => Self::InvalidParams(told),
            Fault::Query(told) => Self::InvalidQuery(told),
            Fault::Failed(refusal) => Self::QueryFailed(DbError {
                code: refusal.code,
                severity: refusal.severity,
                message: refusal.message,
                detail: refusal.detail,
                extras: refusal.extras,
            }),
            Fault::Conversion(told) => Self::ValueConversionFailed(told),
            Fault::Unknown => Self::UnknownPreparedStatement,
            Fault::Denied => Self::AccessDenied,
            Fault::Timeout => Self::Timeout,
            Fault::Other(told) => Self::Other(told),
        }
    }
}

fn way(guest: &Guest, asker: &Asker) -> Result<Way, Fault> {
    guest.with(|mut store| Ways::of(store.get(), asker))
}

impl query::Host for StoreData {}

impl query::HostWithStore<StoreData> for Own {
    async fn query(
        guest: &Guest,
        asker: Asker,
        sql: String,
        params: Vec<Value>,
    ) -> Outcome<Answered> {
        let way = match way(guest, &asker) {
            Ok(way) => way,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let answer = match way.database.query(sql, params).await {
            Ok(answer) => answer,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let (rows, done) = Streamed::of(answer.rows);
        guest.with(|mut store| {
            let rows = StreamReader::new(&mut store, rows)?;
            let done = FutureReader::new(&mut store, done)?;
            Ok(Ok((answer.columns, rows, done)))
        })
    }

    async fn query_batch(guest: &Guest, asker: Asker, sql: String) -> Outcome<()> {
        Ok(match way(guest, &asker) {
            Ok(way) => way.database.batch(sql).await.map_err(Error::from),
            Err(fault) => Err(fault.into()),
        })
    }
}

impl prepared::Host for StoreData {}

impl prepared::HostWithStore<StoreData> for Own {
    async fn prepare(guest: &Guest, asker: Asker, sql: String) -> Outcome<String> {
        Ok(match way(guest, &asker) {
            Ok(way) => way.database.prepare(sql).await.map_err(Error::from),
            Err(fault) => Err(fault.into()),
        })
    }

    async fn exec(guest: &Guest, asker: Asker, token: String, params: Vec<Value>) -> Outcome<u64> {
        Ok(match way(guest, &asker) {
            Ok(way) => way
                .database
                .execute(&token, params)
                .await
                .map_err(Error::from),
            Err(fault) => Err(fault.into()),
        })
    }
}
