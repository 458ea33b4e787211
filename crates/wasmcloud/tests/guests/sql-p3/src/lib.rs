//! Asks databases through `wasmcloud:postgres@0.2.0`, by the plain import or by a label.

use exports::test::sql::counter::{Guest, Way};
use futures_util::future::join_all;
use wasmcloud::postgres0_2_0::types::{Error, PgValue, Row};
use wasmcloud::postgres0_2_0::{prepared, query};
use wit_bindgen::rt::async_support::{FutureReader, StreamReader};

wit_bindgen::generate!({ path: "../wit", world: "sql-p3", generate_all });

struct Counter;

fn told(error: Error) -> String {
    match error {
        Error::ConnectionFailed(_) => "connection-failed".to_owned(),
        Error::InvalidParams(told) => format!("invalid-params: {told}"),
        Error::InvalidQuery(told) => format!("invalid-query: {told}"),
        Error::QueryFailed(error) => {
            let extras = error
                .extras
                .into_iter()
                .filter(|(name, _)| name != "position");
            let extras: Vec<String> = extras
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!(
                "query-failed: {} {} {} ({}) {}",
                error.severity,
                error.code,
                error.message,
                error.detail.unwrap_or_default(),
                extras.join(" ")
            )
        }
        Error::ValueConversionFailed(told) => format!("value-conversion-failed: {told}"),
        Error::UnknownPreparedStatement => "unknown-prepared-statement".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Timeout => "timeout".to_owned(),
        Error::Other(told) => format!("other: {told}"),
    }
}

fn text(row: Row) -> String {
    let values = row.into_iter().map(|value| match value {
        PgValue::Null => "-".to_owned(),
        PgValue::Text(text) => text,
        PgValue::Int4(number) => number.to_string(),
        PgValue::Int8(number) => number.to_string(),
        PgValue::Bool(truth) => truth.to_string(),
        other => format!("{other:?}"),
    });
    values.collect::<Vec<_>>().join("|")
}

fn texts(params: Vec<String>) -> Vec<PgValue> {
    params.into_iter().map(PgValue::Text).collect()
}

type Answer = (
    Vec<String>,
    StreamReader<Row>,
    FutureReader<Result<(), Error>>,
);

async fn ask(way: Way, sql: String, params: Vec<String>) -> Result<Answer, String> {
    let params = texts(params);
    let answer = match way {
        Way::Plain => query::query(sql, params).await,
        Way::Archive => archive::query(sql, params).await,
    };
    answer.map_err(told)
}

impl Guest for Counter {
    async fn query(
        way: Way,
        sql: String,
        params: Vec<String>,
    ) -> Result<(Vec<String>, Vec<String>), String> {
        let (columns, rows, ended) = ask(way, sql, params).await?;
        let rows = rows.collect().await.into_iter().map(text).collect();
        ended.await.map_err(told)?;
        Ok((columns, rows))
    }

    async fn batch(way: Way, sql: String) -> Result<(), String> {
        let done = match way {
            Way::Plain => query::query_batch(sql).await,
            Way::Archive => archive::query_batch(sql).await,
        };
        done.map_err(told)
    }

    async fn prepare(_: Way, sql: String) -> Result<String, String> {
        prepared::prepare(sql).await.map_err(told)
    }

    async fn exec(_: Way, token: String, params: Vec<String>) -> Result<u64, String> {
        prepared::exec(token, texts(params)).await.map_err(told)
    }

    async fn count(sql: String) -> Result<u64, String> {
        let (_, mut rows, ended) = ask(Way::Plain, sql, Vec::new()).await?;
        let mut count = 0;
        while rows.next().await.is_some() {
            count += 1;
        }
        ended.await.map_err(told)?;
        Ok(count)
    }

    async fn first(sql: String, count: u32) -> Result<Vec<String>, String> {
        let (_, mut rows, ended) = ask(Way::Plain, sql, Vec::new()).await?;
        let mut first = Vec::new();
        while let Some(row) = rows.next().await {
            first.push(text(row));
            if first.len() == count as usize {
                break;
            }
        }
        drop(rows);
        ended.await.map_err(told)?;
        Ok(first)
    }

    async fn ended(sql: String) -> (u32, String) {
        match ask(Way::Plain, sql, Vec::new()).await {
            Ok((_, rows, ended)) => {
                let rows = rows.collect().await.len() as u32;
                let ended = ended.await.map_err(told).err();
                (rows, ended.unwrap_or_else(|| "well".to_owned()))
            }
            Err(told) => (0, format!("at once: {told}")),
        }
    }

    async fn many(sql: String, count: u32) -> u32 {
        let each = (0..count).map(|_| ask(Way::Plain, sql.clone(), Vec::new()));
        let asked = each.map(|asked| async move {
            let (_, rows, ended) = asked.await.ok()?;
            (rows.collect().await.len() == 1 && ended.await.is_ok()).then_some(())
        });
        join_all(asked).await.into_iter().flatten().count() as u32
    }
}

export!(Counter);
