//! Long rows: only some of the statements of a workload that have them hold any at once, and the others wait or give up.

use futures::future::join_all;

use super::*;

/// Rows of a MiB and a half.
const LONG: &str = "SELECT repeat('x', 1500000) FROM generate_series(1, 3)";
/// A row that is short on its way, and has more than a MiB here.
const GROWS: &str = "SELECT array_agg(1e131071::numeric) FROM generate_series(1, 10)";

/// A workload with so much room that waits shortly.
fn with(connections: usize, rows: LongRows) -> How {
    How {
        connections,
        wait: Duration::from_millis(500),
        share: Arc::new(Share::new(100, rows)),
        ..How::default()
    }
}

/// Asks until it is answered.
async fn until_answered(database: &impl Database, sql: &str) -> Vec<Vec<Value>> {
    let answered = async {
        loop {
            if let Ok(rows) = rows(database, sql, &[]).await {
                return rows;
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap()
}

/// Each held some of them for as long as its guest liked, and there may be hundreds.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_statements_with_long_rows_as_many_are_open_as_there_is_room_for() {
    let postgres = Postgres::start();
    // For one.
    let how = with(12, LongRows::of(8 << 20, 64 << 20));
    let database = open(&postgres.url("notes"), how);
    let all = (0..10).map(|_| database.query(LONG.to_owned(), vec![]));
    let mut open = Vec::new();
    for answer in join_all(all).await {
        match answer {
            Ok(answer) => open.push(answer),
            Err(fault) => assert_eq!(fault, Fault::Timeout),
        }
    }
    assert_eq!(open.len(), 1);
    // What is short passes, and batches count as well.
    assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    assert_eq!(batch(&database, LONG).await, Err(Fault::Timeout));
    // Nothing was lost of the one that waited for its guest.
    let rows: Vec<_> = open.remove(0).rows.try_collect().await.unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(until_answered(&database, LONG).await.len(), 3);
}

/// Its buffers stay as large as the longest row.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_long_rows_is_not_kept() {
    let postgres = Postgres::start();
    let how = How {
        connections: 1,
        ..How::default()
    };
    let database = open(&postgres.url("notes"), how);
    let pid = async || {
        let pid = one(&database, "SELECT pg_backend_pid()", &[]).await;
        pid.unwrap()
    };
    let before = pid().await;
    assert_eq!(pid().await, before);
    assert_eq!(rows(&database, LONG, &[]).await.unwrap().len(), 3);
    assert_ne!(pid().await, before);
}

/// Sixteen rows are handed over at once, of which a guest may take one.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_take_much_wait_for_those_that_nobody_has_taken() {
    let postgres = Postgres::start();
    let how = with(2, LongRows::of(64 << 20, 2 << 20));
    let database = open(&postgres.url("notes"), how);
    let mut first = database.query(GROWS.to_owned(), vec![]).await.unwrap();
    let row = first.rows.try_next().await.unwrap().unwrap();
    assert!(row.held.is_some() && row.bytes > 1 << 20, "{}", row.bytes);
    let late = rows(&database, GROWS, &[]).await;
    assert_eq!(late.map(|rows| rows.len()), Err(Fault::Timeout));
    drop(row);
    assert_eq!(until_answered(&database, GROWS).await.len(), 1);
}
