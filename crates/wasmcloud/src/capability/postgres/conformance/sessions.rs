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

/// A database with a single connection: whatever a call leaves would be found by the next one.
fn single(postgres: &Postgres) -> impl Database + use<> {
    let how = How {
        connections: 1,
        ..How::default()
    };
    open(&postgres.url("notes"), how)
}

async fn session_of(database: &impl Database) -> Value {
    let pid = one(database, "SELECT pg_backend_pid()", &[]).await;
    pid.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_sets_locks_or_listens_to_is_gone_for_the_next_one() {
    let postgres = Postgres::start();
    let database = single(&postgres);
    let pid = session_of(&database).await;
    let set = "SET search_path = elsewhere; SET statement_timeout = 0";
    batch(&database, set).await.unwrap();
    let set = "SELECT set_config('work_mem', '65kB', false)";
    rows(&database, set, &[]).await.unwrap();
    for (show, wanted) in [
        ("SHOW search_path", "\"$user\", public"),
        ("SHOW work_mem", "4MB"),
        ("SHOW statement_timeout", "1min"),
    ] {
        assert_eq!(one(&database, show, &[]).await, Ok(text(wanted)));
    }
    for made in [
        "CREATE TEMP TABLE own (id int)",
        "SELECT 1 AS id INTO TEMP own",
    ] {
        rows(&database, made, &[]).await.unwrap();
        let own = rows(&database, "SELECT * FROM own", &[]).await;
        assert_eq!(code(own), "42P01", "{made}");
    }
    let lock = "SELECT pg_advisory_lock(7)";
    rows(&database, lock, &[]).await.unwrap();
    batch(&database, "LISTEN news").await.unwrap();
    let held = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') \
        + (SELECT count(*) FROM pg_listening_channels())";
    assert_eq!(one(&database, held, &[]).await, Ok(Value::Int8(0)));
    assert_eq!(session_of(&database).await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_a_call_leaves_open_is_told_and_undone() {
    let postgres = Postgres::start();
    let database = single(&postgres);
    let pid = session_of(&database).await;
    batch(&database, "CREATE TABLE t (id int)").await.unwrap();
    let count = "SELECT count(*) FROM t";
    let undone = |told: Result<(), Fault>| {
        assert!(
            matches!(&told, Err(Fault::Query(told)) if told.contains("rolled back")),
            "{told:?}"
        );
    };
    undone(batch(&database, "BEGIN; INSERT INTO t VALUES (1)").await);
    undone(batch(&database, "BEGIN").await);
    undone(rows(&database, "BEGIN", &[]).await.map(drop));
    let begin = database.prepare("BEGIN".to_owned()).await.unwrap();
    undone(database.execute(&begin, vec![]).await.map(drop));
    assert_eq!(one(&database, count, &[]).await, Ok(Value::Int8(0)));
    let failed = "BEGIN; INSERT INTO t VALUES (1); SELECT 1/0; COMMIT";
    assert_eq!(code(batch(&database, failed).await), "22012");
    assert_eq!(one(&database, count, &[]).await, Ok(Value::Int8(0)));
    let whole = "BEGIN; INSERT INTO t VALUES (1); COMMIT";
    batch(&database, whole).await.unwrap();
    assert_eq!(one(&database, count, &[]).await, Ok(Value::Int8(1)));
    assert_eq!(session_of(&database).await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_would_not_know_of_costs_the_connection() {
    let postgres = Postgres::start();
    let database = single(&postgres);
    batch(&database, "CREATE TABLE t (id int)").await.unwrap();
    for sql in ["PREPARE mine AS SELECT 1", "DEALLOCATE ALL", "DISCARD ALL"] {
        let pid = session_of(&database).await;
        batch(&database, sql).await.unwrap();
        assert_ne!(session_of(&database).await, pid, "{sql}");
    }
    for sql in ["COPY t FROM STDIN", "COPY t TO STDOUT"] {
        let both = [
            rows(&database, sql, &[]).await.map(drop),
            batch(&database, sql).await,
        ];
        for told in both {
            assert!(
                matches!(&told, Err(Fault::Query(told)) if told.contains("COPY")),
                "{sql}: {told:?}"
            );
        }
        assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    }
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

/// A thousand of them were kept, a MiB each.
#[tokio::test(flavor = "multi_thread")]
async fn long_prepared_statements_are_forgotten_before_there_are_a_thousand() {
    let postgres = Postgres::start();
    let share = share(100);
    let [database, other] = [1, 2].map(|_| {
        let how = How {
            share: Arc::clone(&share),
            ..How::default()
        };
        open(&postgres.url("notes"), how)
    });
    let short = other.prepare("SELECT 1".to_owned()).await.unwrap();
    let mut tokens = Vec::new();
    for n in 0..20 {
        let sql = format!("SELECT {n} {}", " ".repeat(1_000_000));
        tokens.push(database.prepare(sql).await.unwrap());
    }
    assert_eq!(
        database.execute(&tokens[0], vec![]).await,
        Err(Fault::Unknown)
    );
    assert_eq!(database.execute(&tokens[19], vec![]).await, Ok(1));
    assert_eq!(other.execute(&short, vec![]).await, Ok(1));
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
    let room = room(2);
    let how = || How {
        room: Arc::clone(&room),
        share: share(2),
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

/// However many entries it has, and whether it asks in one or in another.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_has_no_more_connections_than_its_share() {
    let postgres = Postgres::start();
    let (room, own) = (room(100), share(1));
    let how = |share: &Arc<Share>, wait| How {
        room: Arc::clone(&room),
        share: Arc::clone(share),
        wait,
        ..How::default()
    };
    let short = Duration::from_millis(50);
    let entries =
        [PATIENCE, short, PATIENCE].map(|wait| open(&postgres.url("notes"), how(&own, wait)));
    let endless = "SELECT generate_series(1, 100000000)".to_owned();
    let held = entries[0].query(endless, vec![]).await.unwrap();
    let none = one(&entries[1], "SELECT 1", &[]).await;
    assert_eq!(none, Err(Fault::Timeout));
    let others = share(1);
    let other = open(&postgres.url("notes"), how(&others, PATIENCE));
    assert_eq!(one(&other, "SELECT 1", &[]).await, Ok(Value::Int4(1)));
    // Who waits gets the connection that comes back, whether it could be used again or not.
    let waiting = one(&entries[2], "SELECT 2", &[]);
    let free = async { drop(held) };
    let (two, ()) = tokio::join!(waiting, free);
    assert_eq!(two, Ok(Value::Int4(2)));
    let rows = "SELECT generate_series(1, 2)".to_owned();
    let held = entries[0].query(rows, vec![]).await.unwrap();
    let waiting = one(&entries[2], "SELECT 4", &[]);
    let (four, rows) = tokio::join!(waiting, held.rows.try_collect::<Vec<_>>());
    assert_eq!((four, rows.unwrap().len()), (Ok(Value::Int4(4)), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_the_workload_itself_make_room_before_those_of_others() {
    let postgres = Postgres::start();
    let room = room(2);
    let open = |share: &Arc<Share>| {
        let how = How {
            room: Arc::clone(&room),
            share: Arc::clone(share),
            ..How::default()
        };
        open(&postgres.url("notes"), how)
    };
    let [own, of_other] = [1, 2].map(|_| share(2));
    let [first, second] = [1, 2].map(|_| open(&own));
    let other = open(&of_other);
    let pids = [session_of(&other).await, session_of(&first).await];
    // There is no more room, and both connections are unused.
    let third = session_of(&second).await;
    assert!(!pids.contains(&third));
    assert_eq!(session_of(&other).await, pids[0]);
    assert_ne!(session_of(&first).await, pids[1], "it had to go");
    assert_eq!(session_of(&other).await, pids[0]);
}
