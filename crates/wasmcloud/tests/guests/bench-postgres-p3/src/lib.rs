//! Queries of one row through `wasmcloud:postgres@0.2.0`, in a loop.

use exports::bench::capabilities::sql_async::Guest;
use stopwatch::Stopwatch;
use wasmcloud::postgres0_2_0::query::query;
use wasmcloud::postgres0_2_0::types::{Error, PgValue};

wit_bindgen::generate!({ path: "../wit", world: "bench-postgres-p3", generate_all });

struct Looper;

const SQL: &str = "SELECT $1::int8 AS number, 'one row'::text AS words";

fn told(error: Error) -> String {
    format!("{error:?}")
}

impl Guest for Looper {
    async fn run(count: u32, each: bool) -> Result<Vec<u64>, String> {
        let mut watch = Stopwatch::start(count, each);
        for number in 0..count {
            let number = i64::from(number);
            let asked = query(SQL.to_owned(), vec![PgValue::Int8(number)]).await;
            let (_, rows, ended) = asked.map_err(told)?;
            let rows = rows.collect().await;
            ended.await.map_err(told)?;
            match rows.first().and_then(|row| row.first()) {
                Some(PgValue::Int8(told)) if *told == number && rows.len() == 1 => watch.lap(),
                _ => return Err(format!("these rows came: {rows:?}")),
            }
        }
        Ok(watch.stop())
    }
}

export!(Looper);
