//! Queries of one row through `wasmcloud:postgres@0.1.1-draft`, in a loop.

use exports::bench::capabilities::sql::Guest;
use stopwatch::Stopwatch;
use wasmcloud::postgres0_1_1_draft::query::query;
use wasmcloud::postgres0_1_1_draft::types::PgValue;

wit_bindgen::generate!({ path: "../wit", world: "bench-postgres", generate_all });

struct Looper;

const SQL: &str = "SELECT $1::int8 AS number, 'one row'::text AS words";

impl Guest for Looper {
    fn run(count: u32, each: bool) -> Result<Vec<u64>, String> {
        let mut watch = Stopwatch::start(count, each);
        for number in 0..count {
            let number = i64::from(number);
            let rows = query(SQL, &[PgValue::Int8(number)]);
            let rows = rows.map_err(|error| format!("{error:?}"))?;
            match rows
                .first()
                .and_then(|row| row.first())
                .map(|entry| &entry.value)
            {
                Some(PgValue::Int8(told)) if *told == number && rows.len() == 1 => watch.lap(),
                _ => return Err(format!("these rows came: {rows:?}")),
            }
        }
        Ok(watch.stop())
    }
}

export!(Looper);
