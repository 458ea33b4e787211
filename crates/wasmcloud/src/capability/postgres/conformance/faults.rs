//! Servers that are away, slow, gone in the middle, or say too much; and callers who leave.

use futures::StreamExt as _;
use test_servers::{Proxy, Way, free_port};

use super::*;

const ACTIVE: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'notes' AND state = 'active'";

/// Asks until it is answered.
async fn until_back(database: &impl Database) {
    let back = async {
        while one(database, "SELECT 1", &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_that_was_acknowledged() {
    let mut postgres = Postgres::start();
    let database = Arc::new(open(&postgres.url("notes"), How::default()));
    batch(&*database, "CREATE TABLE t (id serial)")
        .await
        .unwrap();
    let writing = tokio::spawn({
        let database = Arc::clone(&database);
        async move {
            let mut acknowledged = 0;
            loop {
                match rows(&*database, "INSERT INTO t DEFAULT VALUES", &[]).await {
                    Ok(_) => acknowledged += 1,
                    Err(fault) => break (acknowledged, fault),
                }
            }
        }
    });
    postgres.until("notes", "SELECT count(*) > 50 FROM t", "t");
    postgres.kill();
    let (acknowledged, fault) = writing.await.unwrap();
    assert!(matches!(fault, Fault::Unavailable(_)), "{fault:?}");
    let away = one(&*database, "SELECT 1", &[]).await;
    assert_eq!(
        away,
        Err(Fault::Unavailable(
            "its server cannot be reached".to_owned()
        ))
    );
    postgres.resume();
    until_back(&*database).await;
    let Value::Int8(found) = one(&*database, "SELECT count(*) FROM t", &[])
        .await
        .unwrap()
    else {
        panic!("it is a count")
    };
    // One that broke off may have been carried out.
    assert!(
        [acknowledged, acknowledged + 1].contains(&found),
        "{acknowledged} {found}"
    );
    // It is away while nobody asks: the next question finds the new one.
    postgres.kill();
    postgres.resume();
    until_back(&*database).await;
    // It says goodbye while a statement runs.
    let running = tokio::spawn(async move {
        let answer = database
            .query("SELECT pg_sleep(60)".to_owned(), vec![])
            .await;
        answer.map(|answer| answer.columns)
    });
    postgres.until("postgres", ACTIVE, "1");
    postgres.stop();
    let ended = running.await.unwrap();
    assert!(matches!(ended, Err(Fault::Unavailable(_))), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_found_when_it_is() {
    let nowhere = open(
        &format!("postgres://notes@127.0.0.1:{}/notes", free_port()),
        How::default(),
    );
    for _ in 0..3 {
        let away = one(&nowhere, "SELECT 1", &[]).await;
        assert!(matches!(away, Err(Fault::Unavailable(_))), "{away:?}");
    }
    let postgres = Postgres::start();
    let way = Proxy::to(postgres.port());
    way.set(Way::Cut);
    let database = open(&postgres.url_by(way.port(), "notes"), How::default());
    let away = database.prepare("SELECT 1".to_owned()).await;
    assert!(matches!(away, Err(Fault::Unavailable(_))), "{away:?}");
    way.set(Way::Open);
    until_back(&database).await;
    // Connections that broke unnoticed are replaced within the call.
    way.break_all();
    assert_eq!(one(&database, "SELECT 2", &[]).await, Ok(Value::Int4(2)));
}

#[tokio::test]
async fn a_partition_is_told_in_time_and_left() {
    let postgres = Postgres::start();
    let way = Proxy::to(postgres.port());
    let how = How {
        statement: Duration::from_millis(500),
        ..How::default()
    };
    let url = format!("{}?connect_timeout=1", postgres.url_by(way.port(), "notes"));
    let database = open(&url, how);
    assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    let slow = rows(&database, "SELECT pg_sleep(60)", &[]).await;
    assert_eq!(slow, Err(Fault::Timeout));
    way.set(Way::Held);
    let began = std::time::Instant::now();
    assert_eq!(one(&database, "SELECT 2", &[]).await, Err(Fault::Timeout));
    let away = one(&database, "SELECT 3", &[]).await;
    assert!(matches!(away, Err(Fault::Unavailable(_))), "{away:?}");
    assert!(began.elapsed() < PATIENCE);
    way.set(Way::Open);
    until_back(&database).await;
    way.set(Way::Slow(Duration::from_millis(1)));
    assert_eq!(one(&database, "SELECT 4", &[]).await, Ok(Value::Int4(4)));
}

#[tokio::test]
async fn who_may_not_is_denied_and_the_password_is_told_to_nobody() {
    let postgres = Postgres::start();
    let wrong = postgres.url("notes").replace(":notes@", ":s3cret@");
    let denied = one(&open(&wrong, How::default()), "SELECT 1", &[]).await;
    assert_eq!(denied, Err(Fault::Denied));
    let absent = one(
        &open(&postgres.url("absent"), How::default()),
        "SELECT 1",
        &[],
    )
    .await;
    assert!(matches!(absent, Err(Fault::Unavailable(_))), "{absent:?}");
    let how = How {
        dial: dial(&[]),
        ..How::default()
    };
    let kept_in = one(&open(&postgres.url("notes"), how), "SELECT 1", &[]).await;
    assert_eq!(kept_in, Err(Fault::Denied));
    // Rights inside the database are the database's business.
    let database = open(&postgres.url("notes"), How::default());
    assert_eq!(
        code(rows(&database, "SELECT * FROM pg_authid", &[]).await),
        "42501"
    );
}

/// Lets go of a call while the server is at it.
async fn leave_when_active<T>(postgres: &Postgres, call: impl Future<Output = T>) {
    let mut call = std::pin::pin!(call);
    // Each look takes the time of a program; the call goes on meanwhile.
    while postgres.sql("postgres", ACTIVE) != "1" {
        let going = tokio::time::timeout(Duration::from_millis(10), &mut call).await;
        assert!(going.is_err(), "it has ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_ends_the_statement_and_frees_the_connection() {
    let postgres = Postgres::start();
    let how = How {
        connections: 1,
        ..How::default()
    };
    let database = open(&postgres.url("notes"), how);
    // In the middle of the rows.
    let endless = "SELECT n FROM generate_series(1, 100000000) n".to_owned();
    let mut answer = database.query(endless, vec![]).await.unwrap();
    for n in 1..=3 {
        let row = answer.rows.next().await.unwrap().unwrap();
        assert_eq!(row.values, [Value::Int4(n)]);
    }
    drop(answer);
    assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    postgres.until("postgres", ACTIVE, "0");
    // While the server computes and says nothing: only being told ends it.
    let waiting = database.query("SELECT pg_sleep(3600)".to_owned(), vec![]);
    leave_when_active(&postgres, waiting).await;
    leave_when_active(
        &postgres,
        database.batch("SELECT pg_sleep(3600)".to_owned()),
    )
    .await;
    assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    postgres.until("postgres", ACTIVE, "0");
    // A value that cannot be told ends the rows, and nothing else.
    let odd = "SELECT row(1, 2) FROM generate_series(1, 100000000)";
    assert!(matches!(
        rows(&database, odd, &[]).await,
        Err(Fault::Conversion(_))
    ));
    assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
}

#[tokio::test]
async fn a_row_that_is_too_long_is_refused_before_it_is_held() {
    let postgres = Postgres::start();
    let how = How {
        options: PostgresOptions {
            max_row: 1 << 20,
            ..PostgresOptions::default()
        },
        ..How::default()
    };
    let database = open(&postgres.url("notes"), how);
    let long = one(&database, "SELECT repeat('x', 100000000)", &[])
        .await
        .unwrap_err();
    let Fault::Other(told) = long else {
        panic!("{long:?}")
    };
    assert!(told.starts_with("a row of 100000"), "{told}");
    let fits = one(&database, "SELECT repeat('x', 1000000)", &[]).await;
    assert!(matches!(fits, Ok(Value::Text(text)) if text.len() == 1_000_000));
}

/// Numbers of a hundred thousand digits, each of which has a few bytes on its way.
#[tokio::test]
async fn a_row_that_is_short_on_its_way_and_too_large_here_is_refused() {
    let postgres = Postgres::start();
    let database = open(&postgres.url("notes"), How::default());
    let grows = "SELECT array_agg(1e131071::numeric) AS many FROM generate_series(1, 10000)";
    let told = one(&database, grows, &[]).await.unwrap_err();
    let Fault::Conversion(told) = told else {
        panic!("{told:?}")
    };
    let wanted = "column 1 `many` of type `_numeric`: with the rest of its row";
    assert!(told.starts_with(wanted), "{told}");
    let fits = "SELECT array_agg(1e131071::numeric) FROM generate_series(1, 10)";
    let fits = one(&database, fits, &[]).await;
    assert!(matches!(fits, Ok(Value::NumericArray(all)) if all.len() == 10));
}

/// Rows wait on the server until somebody takes them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_come_no_faster_than_they_are_taken() {
    let postgres = Postgres::start();
    let database = open(&postgres.url("notes"), How::default());
    postgres.sql("notes", "CREATE SEQUENCE made; GRANT ALL ON made TO notes");
    let sql =
        "SELECT nextval('made'), repeat('x', 1000) FROM generate_series(1, 300000)".to_owned();
    let mut answer = database.query(sql, vec![]).await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'";
    postgres.until("postgres", waits, "1");
    let made: i64 = postgres
        .sql("notes", "SELECT last_value FROM made")
        .parse()
        .unwrap();
    assert!(made < 100_000, "{made} rows of 300000 were made for nobody");
    let mut count = 0;
    while let Some(row) = answer.rows.next().await {
        row.unwrap();
        count += 1;
    }
    assert_eq!(count, 300_000);
}
