//! Sessions: what a call leaves behind, how connections are shared, and what prepared statements are.

use futures::StreamExt as _;

use super::*;

/// How many sessions of the role there are.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'notes'";

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_carried_out() {
    let postgres = Postgres::start();
    let database = open(&postgres.url("notes"), How::default());
    batch(
        &database,
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')",
    )
    .await
    .unwrap();
    let evil = "'); DROP TABLE t; --";
    let insert = "INSERT INTO t VALUES ($1, $2)";
    let done = rows(&database, insert, &[Value::Int4(2), text(evil)]).await;
    assert_eq!(done, Ok(vec![]));
    let answer = database.query(
        "SELECT id, v AS \"the text\" FROM t ORDER BY 1".to_owned(),
        vec![],
    );
    let answer = answer.await.unwrap();
    assert_eq!(answer.columns, ["id", "the text"]);
    let found: Vec<_> = answer
        .rows
        .map_ok(|row| row.values)
        .try_collect()
        .await
        .unwrap();
    let row = |id, v: &str| vec![Value::Int4(id), text(v)];
    assert_eq!(found, [row(1, "a"), row(2, evil)]);
    // A batch is one transaction, unless it says otherwise.
    let failed = batch(
        &database,
        "INSERT INTO t VALUES (3, 'c'); INSERT INTO t VALUES (1, 'b')",
    );
    let Err(Fault::Failed(refusal)) = failed.await else {
        panic!("it is a double key")
    };
    assert_eq!((&*refusal.code, &*refusal.severity), ("23505", "ERROR"));
    assert_eq!(
        refusal.detail.as_deref(),
        Some("Key (id)=(1) already exists.")
    );
    let extra = |name: &str| {
        refusal
            .extras
            .iter()
            .find(|(key, _)| key == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!((&*extra("table"), &*extra("constraint")), ("t", "t_pkey"));
    assert_eq!(
        one(&database, "SELECT count(*) FROM t", &[]).await,
        Ok(Value::Int8(2))
    );
    // What fails before the first row fails as a whole, what fails later ends the rows.
    assert_eq!(code(rows(&database, "SELECT 1/0", &[]).await), "22012");
    assert_eq!(code(rows(&database, "SELEC 1", &[]).await), "42601");
    let answer = database.query(
        "SELECT 1/(3-n) FROM generate_series(1, 5) n".to_owned(),
        vec![],
    );
    let mut came: Vec<_> = answer.await.unwrap().rows.collect().await;
    assert_eq!(came.len(), 3);
    assert_eq!(code(came.pop().unwrap()), "22012");
    let two = batch(&database, "SELECT 1").await;
    assert_eq!(two, Ok(()));
    assert_eq!(
        code(rows(&database, "SELECT 1; SELECT 2", &[]).await),
        "42601"
    );
    assert_eq!(rows(&database, "", &[]).await, Ok(vec![]));
    for sql in ["SELECT '\0'".to_owned(), "x".repeat(2 << 20)] {
        assert!(matches!(
            database.batch(sql.clone()).await,
            Err(Fault::Query(_))
        ));
        assert!(matches!(database.prepare(sql).await, Err(Fault::Query(_))));
    }
}

/// With a single connection, whatever a call leaves would be found by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_for_the_next_call() {
    let postgres = Postgres::start();
    let how = How {
        connections: 1,
        ..How::default()
    };
    let database = open(&postgres.url("notes"), how);
    let pid = one(&database, "SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    batch(&database, "CREATE TABLE t (id int)").await.unwrap();
    batch(
        &database,
        "SET search_path = elsewhere; SET statement_timeout = 0",
    )
    .await
    .unwrap();
    let path = one(&database, "SHOW search_path", &[]).await;
    assert_eq!(path, Ok(text("\"$user\", public")));
    rows(
        &database,
        "SELECT set_config('work_mem', '65kB', false)",
        &[],
    )
    .await
    .unwrap();
    assert_eq!(one(&database, "SHOW work_mem", &[]).await, Ok(text("4MB")));
    assert_eq!(
        one(&database, "SHOW statement_timeout", &[]).await,
        Ok(text("1min"))
    );
    // Transactions that are left open are told, and undone.
    for begin in ["BEGIN; INSERT INTO t VALUES (1)", "BEGIN"] {
        let told = batch(&database, begin).await;
        assert!(
            matches!(&told, Err(Fault::Query(told)) if told.contains("rolled back")),
            "{told:?}"
        );
    }
    let told = rows(&database, "BEGIN", &[]).await;
    assert!(matches!(told, Err(Fault::Query(_))), "{told:?}");
    assert_eq!(
        one(&database, "SELECT count(*) FROM t", &[]).await,
        Ok(Value::Int8(0))
    );
    assert_eq!(
        code(
            batch(
                &database,
                "BEGIN; INSERT INTO t VALUES (1); SELECT 1/0; COMMIT"
            )
            .await
        ),
        "22012"
    );
    assert_eq!(
        one(&database, "SELECT count(*) FROM t", &[]).await,
        Ok(Value::Int8(0))
    );
    batch(&database, "BEGIN; INSERT INTO t VALUES (1); COMMIT")
        .await
        .unwrap();
    assert_eq!(
        one(&database, "SELECT count(*) FROM t", &[]).await,
        Ok(Value::Int8(1))
    );
    // Tables, locks, listeners.
    batch(&database, "CREATE TEMP TABLE own (id int)")
        .await
        .unwrap();
    assert_eq!(
        code(rows(&database, "SELECT * FROM own", &[]).await),
        "42P01"
    );
    rows(&database, "SELECT 1 AS id INTO TEMP own", &[])
        .await
        .unwrap();
    assert_eq!(
        code(rows(&database, "SELECT * FROM own", &[]).await),
        "42P01"
    );
    rows(&database, "SELECT pg_advisory_lock(7)", &[])
        .await
        .unwrap();
    batch(&database, "LISTEN news").await.unwrap();
    let held = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') \
        + (SELECT count(*) FROM pg_listening_channels())";
    assert_eq!(one(&database, held, &[]).await, Ok(Value::Int8(0)));
    assert_eq!(
        one(&database, "SELECT pg_backend_pid()", &[]).await,
        Ok(pid.clone())
    );
    // What the client would not know of costs the connection.
    for sql in ["PREPARE mine AS SELECT 1", "DEALLOCATE ALL"] {
        batch(&database, sql).await.unwrap();
        assert_eq!(
            one(
                &database,
                "SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'",
                &[]
            )
            .await,
            Ok(Value::Int8(0))
        );
    }
    for copy in ["COPY t FROM STDIN", "COPY t TO STDOUT"] {
        let told = rows(&database, copy, &[]).await;
        assert!(
            matches!(&told, Err(Fault::Query(told)) if told.contains("COPY")),
            "{copy}: {told:?}"
        );
        let told = batch(&database, copy).await;
        assert!(
            matches!(&told, Err(Fault::Query(told)) if told.contains("COPY")),
            "{copy}: {told:?}"
        );
        assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    }
    assert_ne!(
        one(&database, "SELECT pg_backend_pid()", &[]).await,
        Ok(pid)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_are_good_on_any_connection_and_for_their_owner() {
    let postgres = Postgres::start();
    let one_of = open(&postgres.url("notes"), How::default());
    let other = open(&postgres.url("notes"), How::default());
    batch(&one_of, "CREATE TABLE t (id int, v text)")
        .await
        .unwrap();
    let insert = "INSERT INTO t SELECT n, $1 FROM generate_series(1, $2) n";
    let token = one_of.prepare(insert.to_owned()).await.unwrap();
    assert_eq!(one_of.prepare(insert.to_owned()).await, Ok(token.clone()));
    let params = || vec![text("x"), Value::Int4(3)];
    // Both connections at once, one of which has not prepared it.
    let both = futures::future::join_all([1, 2].map(|_| one_of.execute(&token, params()))).await;
    assert_eq!(both, [Ok(3), Ok(3)]);
    assert_eq!(other.execute(&token, params()).await, Err(Fault::Unknown));
    assert_eq!(one_of.execute("", params()).await, Err(Fault::Unknown));
    assert!(matches!(
        one_of.execute(&token, vec![]).await,
        Err(Fault::Params(_))
    ));
    assert_eq!(code(one_of.prepare("SELEC".to_owned()).await), "42601");
    // What a statement is about changes below it.
    let all = "SELECT * FROM t LIMIT 1";
    assert_eq!(rows(&one_of, all, &[]).await.unwrap()[0].len(), 2);
    assert_eq!(rows(&one_of, all, &[]).await.unwrap()[0].len(), 2);
    batch(&one_of, "ALTER TABLE t ADD COLUMN w int")
        .await
        .unwrap();
    assert_eq!(rows(&one_of, all, &[]).await.unwrap()[0].len(), 3);
    // More statements than there is room for: the oldest is forgotten, what is used stays.
    for n in 0..1000 {
        one_of.prepare(format!("SELECT {n}")).await.unwrap();
        if n % 500 == 0 {
            assert_eq!(one_of.execute(&token, params()).await, Ok(3));
        }
    }
    let first = one_of.prepare("SELECT 999".to_owned()).await.unwrap();
    assert_eq!(one_of.execute(&first, vec![]).await, Ok(1));
    assert_eq!(one_of.execute(&token, params()).await, Ok(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_share_two_connections_in_order() {
    let postgres = Postgres::start();
    let database = Arc::new(open(&postgres.url("notes"), How::default()));
    let ask = |n: i32| {
        let database = Arc::clone(&database);
        tokio::spawn(async move {
            let sql = "SELECT $1::int4 FROM pg_sleep(0.01)";
            let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'notes'";
            let open = one(&*database, count, &[]).await.unwrap();
            assert!(matches!(open, Value::Int8(1..=2)), "{open:?}");
            one(&*database, sql, &[Value::Int4(n)]).await
        })
    };
    let asked: Vec<_> = (0..100).map(ask).collect();
    for (n, asked) in (0..).zip(asked) {
        assert_eq!(asked.await.unwrap(), Ok(Value::Int4(n)));
    }
    // Who holds both lets the third wait no longer than it should.
    let how = How {
        wait: Duration::from_millis(50),
        ..How::default()
    };
    let short = open(&postgres.url("notes"), how);
    let endless = "SELECT generate_series(1, 100000000)".to_owned();
    let held = [1, 2].map(|_| short.query(endless.clone(), vec![]));
    let held = futures::future::join_all(held).await;
    assert_eq!(one(&short, "SELECT 1", &[]).await, Err(Fault::Timeout));
    drop(held);
    let free = async { while one(&short, "SELECT 1", &[]).await.is_err() {} };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
    // Nobody is left when nobody wants anything any more.
    drop((database, short));
    postgres.until("postgres", SESSIONS, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_databases_of_a_host_share_its_room_and_idle_connections_are_closed() {
    let postgres = Postgres::start();
    let room = Arc::new(Room::new(2));
    let how = || How {
        room: Arc::clone(&room),
        wait: Duration::from_millis(500),
        ..How::default()
    };
    let [one_of, other] = [1, 2].map(|_| open(&postgres.url("notes"), how()));
    let both =
        [1, 2].map(|_| one_of.query("SELECT generate_series(1, 100000000)".to_owned(), vec![]));
    let both = futures::future::join_all(both).await;
    assert_eq!(one(&other, "SELECT 1", &[]).await, Err(Fault::Timeout));
    drop(both);
    let free = async { while one(&other, "SELECT 1", &[]).await.is_err() {} };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
    // What one keeps for later, the other gets when it needs it.
    for database in [&one_of, &other, &one_of] {
        let pair = ["SELECT pg_sleep(0.05)"; 2].map(|sql| rows(database, sql, &[]));
        let pair = futures::future::join_all(pair).await;
        assert!(pair.iter().all(Result::is_ok), "{pair:?}");
    }
    drop((one_of, other));
    let seldom = open(
        &postgres.url("notes"),
        How {
            idle: Duration::from_millis(50),
            ..How::default()
        },
    );
    assert_eq!(one(&seldom, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    postgres.until("postgres", SESSIONS, "0");
}
