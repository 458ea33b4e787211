//! Databases: what guests ask of PostgreSQL, where it leads by which import, and what comes of failures.

use std::time::Duration;

use serde_json::{Value, json};
use test_servers::Postgres;
use wasmcloud::assembly::HostConfig;
use wasmcloud::host::CallRequest;

use crate::support::{TestHost, WholeLog, component, id, spec, within};

/// The entries: one for the plain imports, and one for each label.
fn entries(version: &str, plain: &Value, archive: &Value) -> Vec<Value> {
    let entry = |interfaces: &[&str], name: Option<&str>, config: &Value| {
        json!({
            "namespace": "wasmcloud", "package": "postgres", "version": version,
            "interfaces": interfaces, "name": name, "config": config,
        })
    };
    let mut entries = vec![
        entry(&["query", "prepared"], None, plain),
        entry(&["query"], Some("archive"), archive),
    ];
    if version == "0.1.1-draft" {
        entries.push(entry(&["prepared"], Some("archived"), archive));
    }
    entries
}

fn draft(plain: &Value, archive: &Value) -> Value {
    let sql = component("sql", test_guests::SQL_P2);
    spec([sql], entries("0.1.1-draft", plain, archive))
}

fn asynchronous(plain: &Value, archive: &Value) -> Value {
    let sql = component("sql", test_guests::SQL_P3);
    spec([sql], entries("0.2.0", plain, archive))
}

/// A host whose workloads nobody calls but the test, and which may reach servers of this machine.
async fn host_with(change: impl FnOnce(&mut HostConfig)) -> TestHost {
    TestHost::with(|config| {
        config.calls_only = true;
        config.egress.allow = vec!["127.0.0.0/8".parse().unwrap()];
        change(config);
    })
    .await
}

/// Lets a workload use a database of the host's server.
fn grant(config: &mut HostConfig, workloads: &str, database: &str) {
    let granted = (workloads.parse().unwrap(), database.parse().unwrap());
    config.postgres.databases.push(granted);
}

async fn host() -> TestHost {
    host_with(|_| {}).await
}

fn url(url: impl Into<String>) -> Value {
    json!({ "url": url.into() })
}

/// A text as an argument.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What a function answers: the text of what it returns.
async fn call(host: &TestHost, workload: &str, function: &str, args: &[&str]) -> String {
    let request = CallRequest {
        workload: id(workload),
        component: None,
        function: function.parse().unwrap(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    };
    let answer = within(host.host.call(&request)).await;
    answer.expect("the call returns").wave().to_owned()
}

/// Asks a query by an import.
async fn ask(host: &TestHost, workload: &str, way: &str, sql: &str, params: &[&str]) -> String {
    let params: Vec<String> = params.iter().map(|param| quoted(param)).collect();
    let params = format!("[{}]", params.join(", "));
    call(host, workload, "query", &[way, &quoted(sql), &params]).await
}

async fn batch(host: &TestHost, workload: &str, way: &str, sql: &str) -> String {
    call(host, workload, "batch", &[way, &quoted(sql)]).await
}

/// Waits until the server counts none. What is to end needs the thread in between.
async fn until_none(postgres: &Postgres, count: &str) {
    let gone = async {
        while postgres.sql("postgres", count) != "0" {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
}

/// How many sessions of the role there are.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'notes'";

#[tokio::test]
pub(crate) async fn sql_p2() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "CREATE DATABASE archive OWNER notes");
    let host = host().await;
    let (plain, archive) = (url(postgres.url("notes")), url(postgres.url("archive")));
    host.run("shop", &draft(&plain, &archive)).await;
    let made = batch(
        &host,
        "shop",
        "plain",
        "CREATE TABLE t (id int8 PRIMARY KEY, v text)",
    )
    .await;
    assert_eq!(made, "ok");
    let evil = "'); DROP TABLE t; --";
    let insert = "INSERT INTO t VALUES ($1, $2) RETURNING id, v AS \"the text\", NULL AS none";
    assert_eq!(
        ask(&host, "shop", "plain", insert, &["7", evil]).await,
        format!(
            "ok([\"id=7 the text={} none=-\"])",
            evil.replace('\'', "\\'")
        )
    );
    let twice = ask(&host, "shop", "plain", insert, &["7", ""]).await;
    assert!(
        twice.starts_with("err(\"unexpected: ERROR: duplicate key"),
        "{twice}"
    );
    assert!(twice.contains("(SQLSTATE 23505)"), "{twice}");
    let wrong = ask(&host, "shop", "plain", "SELEC 1", &[]).await;
    assert!(
        wrong.starts_with("err(\"invalid-query: ERROR: syntax error"),
        "{wrong}"
    );
    let few = ask(&host, "shop", "plain", insert, &["8"]).await;
    assert_eq!(
        few,
        "err(\"invalid-params: the statement has 2 parameters, and was given 1\")"
    );
    // The label leads to another database, and tokens stay where they are from.
    let there = ask(
        &host,
        "shop",
        "archive",
        "SELECT current_database()::text AS db",
        &[],
    )
    .await;
    assert_eq!(there, "ok([\"db=archive\"])");
    let token = call(
        &host,
        "shop",
        "prepare",
        &["plain", &quoted("DELETE FROM t WHERE v = $1")],
    )
    .await;
    let token = token
        .strip_prefix("ok(")
        .unwrap()
        .strip_suffix(')')
        .unwrap();
    let evil = format!("[{}]", quoted(evil));
    let elsewhere = call(&host, "shop", "exec", &["archive", token, &evil]).await;
    assert_eq!(elsewhere, "err(\"unknown-prepared-query\")");
    assert_eq!(
        call(&host, "shop", "exec", &["plain", token, &evil]).await,
        "ok(1)"
    );
    assert_eq!(
        call(&host, "shop", "exec", &["plain", token, &evil]).await,
        "ok(0)"
    );
    host.stop_finds_nothing_running("shop").await;
    until_none(&postgres, SESSIONS).await;
}

#[tokio::test]
pub(crate) async fn sql_p3() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "CREATE DATABASE archive OWNER notes");
    let host = host().await;
    let plain = json!({ "url": postgres.url("notes"), "pool_size": "2", "pool_wait": "60s" });
    let archive = json!({ "url": postgres.url("notes"), "database": "archive" });
    host.run("shop", &asynchronous(&plain, &archive)).await;
    let made = batch(
        &host,
        "shop",
        "plain",
        "CREATE TABLE t (id int PRIMARY KEY)",
    )
    .await;
    assert_eq!(made, "ok");
    let insert = "INSERT INTO t SELECT n FROM generate_series(1, 3) n RETURNING id, id = $1";
    let done = ask(&host, "shop", "plain", insert, &["2"]).await;
    assert_eq!(
        done,
        "ok(([\"id\", \"?column?\"], [\"1|false\", \"2|true\", \"3|false\"]))"
    );
    assert_eq!(
        ask(&host, "shop", "plain", "INSERT INTO t VALUES (1)", &[]).await,
        "err(\"query-failed: ERROR 23505 duplicate key value violates unique constraint \\\"t_pkey\\\" \
         (Key (id)=(1) already exists.) schema=public table=t constraint=t_pkey\")"
    );
    let there = ask(
        &host,
        "shop",
        "archive",
        "SELECT current_database()::text",
        &[],
    )
    .await;
    assert_eq!(there, "ok(([\"current_database\"], [\"archive\"]))");
    let token = call(
        &host,
        "shop",
        "prepare",
        &["plain", &quoted("DELETE FROM t WHERE id < $1::int")],
    )
    .await;
    let token = token
        .strip_prefix("ok(")
        .unwrap()
        .strip_suffix(')')
        .unwrap();
    assert_eq!(
        call(&host, "shop", "exec", &["plain", token, "[\"3\"]"]).await,
        "ok(2)"
    );
    let unknown = call(&host, "shop", "exec", &["plain", "\"1\"", "[]"]).await;
    assert_eq!(unknown, "err(\"unknown-prepared-statement\")");
    let open = batch(&host, "shop", "plain", "BEGIN").await;
    assert!(
        open.starts_with("err(\"invalid-query: it leaves a transaction open"),
        "{open}"
    );
    // Many at once share two connections.
    assert_eq!(
        call(
            &host,
            "shop",
            "many",
            &[&quoted("SELECT pg_sleep(0.01)"), "100"]
        )
        .await,
        "100"
    );
    host.stop_finds_nothing_running("shop").await;
    until_none(&postgres, SESSIONS).await;
}

/// Rows that were on their way when something failed have come, and the future says what.
#[tokio::test]
async fn what_ends_a_stream_of_rows_is_told_behind_it() {
    let postgres = Postgres::start();
    let host = host().await;
    let plain = url(postgres.url("notes"));
    host.run("shop", &asynchronous(&plain, &plain)).await;
    let later = quoted("SELECT 1/(3-n) FROM generate_series(1, 9) n");
    assert_eq!(
        call(&host, "shop", "ended", &[&later]).await,
        "(2, \"query-failed: ERROR 22012 division by zero () \")"
    );
    let odd = quoted("SELECT CASE WHEN n > 2 THEN row(n) END AS odd FROM generate_series(1, 9) n");
    assert_eq!(
        call(&host, "shop", "ended", &[&odd]).await,
        "(2, \"value-conversion-failed: column 1 `odd` of type `record`: no value of the interface holds it; cast it to text\")"
    );
}

#[tokio::test]
async fn many_rows_pass_through_and_few_are_taken_of_endless_ones() {
    let postgres = Postgres::start();
    let host = host().await;
    let plain = json!({ "url": postgres.url("notes"), "pool_size": "1" });
    host.run("shop", &asynchronous(&plain, &plain)).await;
    let many = quoted("SELECT generate_series(1, 50000), repeat('x', 100)");
    assert_eq!(call(&host, "shop", "count", &[&many]).await, "ok(50000)");
    // In the list of what is selected, the server makes one after the other; behind FROM, it would make all of them first.
    let endless = quoted("SELECT generate_series(1, 1000000000)");
    for _ in 0..3 {
        let first = call(&host, "shop", "first", &[&endless, "2"]).await;
        assert_eq!(first, "ok([\"1\", \"2\"])");
    }
    host.stop_finds_nothing_running("shop").await;
    until_none(&postgres, SESSIONS).await;
}

/// The one that hands over everything at once has an end.
#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error() {
    let postgres = Postgres::start();
    let host = host_with(|config| {
        config.postgres.max_answer = 1 << 20;
        config.postgres.max_row = 1 << 20;
    })
    .await;
    let plain = url(postgres.url("notes"));
    host.run("shop", &draft(&plain, &plain)).await;
    let long = ask(
        &host,
        "shop",
        "plain",
        "SELECT repeat('x', 1000), generate_series(1, 1000000000)",
        &[],
    )
    .await;
    assert!(
        long.starts_with("err(\"unexpected: the rows have more than 1048576 bytes"),
        "{long}"
    );
    // What has next to nothing on its way takes memory here.
    let nulls = format!(
        "SELECT {} FROM generate_series(1, 1000)",
        ["NULL"; 100].join(", ")
    );
    let empty = "SELECT FROM generate_series(1, 10000) a, generate_series(1, 10000) b";
    for sql in [empty, &nulls] {
        let long = ask(&host, "shop", "plain", sql, &[]).await;
        let wanted = "err(\"unexpected: the rows have more than 1048576 bytes";
        assert!(long.starts_with(wanted), "{long}");
    }
    let row = ask(&host, "shop", "plain", "SELECT repeat('x', 100000000)", &[]).await;
    assert!(row.contains("is longer than this host takes"), "{row}");
    assert_eq!(
        ask(&host, "shop", "plain", "SELECT 1 AS one", &[]).await,
        "ok([\"one=1\"])"
    );
    host.stop_finds_nothing_running("shop").await;
}

/// A guest whose time is over takes its statement along.
#[tokio::test]
async fn an_endless_statement_ends_with_its_guest_or_its_time() {
    let postgres = Postgres::start();
    let host = host_with(|config| config.limits.time.default = Some(Duration::from_secs(2))).await;
    let plain =
        json!({ "url": postgres.url("notes"), "pool_size": "1", "statement_timeout": "1h" });
    let short = json!({ "url": postgres.url("notes"), "statement_timeout": "100ms" });
    host.run("shop", &asynchronous(&plain, &short)).await;
    let late = ask(&host, "shop", "archive", "SELECT pg_sleep(3600)", &[]).await;
    assert_eq!(late, "err(\"timeout\")");
    let request = CallRequest {
        workload: id("shop"),
        component: None,
        function: "batch".parse().unwrap(),
        args: vec!["plain".to_owned(), quoted("SELECT pg_sleep(3600)")],
    };
    within(host.host.call(&request)).await.unwrap_err();
    let active = format!("{SESSIONS} AND state = 'active'");
    until_none(&postgres, &active).await;
    let next = ask(&host, "shop", "plain", "SELECT 1", &[]).await;
    assert_eq!(next, "ok(([\"?column?\"], [\"1\"]))");
    host.stop_finds_nothing_running("shop").await;
}

/// The server says that its disk is full; that ends the statement and nothing else.
#[tokio::test]
async fn a_disk_that_is_full_is_told_with_its_code_and_the_next_call_goes_on() {
    let postgres = Postgres::start();
    let host = host().await;
    let plain = json!({ "url": postgres.url("notes"), "pool_size": "1" });
    let full = "DO $$ BEGIN RAISE disk_full USING MESSAGE = 'could not extend file'; END $$";
    for (name, spec, told, one) in [
        (
            "p2",
            draft(&plain, &plain),
            "err(\"unexpected: ERROR: could not extend file (SQLSTATE 53100)",
            "ok([\"one=1\"])",
        ),
        (
            "p3",
            asynchronous(&plain, &plain),
            "err(\"query-failed: ERROR 53100 could not extend file",
            "ok(([\"one\"], [\"1\"]))",
        ),
    ] {
        host.run(name, &spec).await;
        let refused = batch(&host, name, "plain", full).await;
        assert!(refused.starts_with(told), "{refused}");
        let refused = ask(&host, name, "plain", full, &[]).await;
        assert!(refused.starts_with(told), "{refused}");
        let next = ask(&host, name, "plain", "SELECT 1 AS one", &[]).await;
        assert_eq!(next, one);
        host.stop_finds_nothing_running(name).await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_until_it_is_back() {
    let mut postgres = Postgres::start();
    let plain = url(postgres.url("notes"));
    postgres.stop();
    let host = host().await;
    let started = host.run("shop", &asynchronous(&plain, &plain)).await;
    let told = started.troubles.first().unwrap();
    let at = format!("`127.0.0.1:{}`", postgres.port());
    let wanted = format!("postgres at {at}: it cannot be reached");
    assert!(told.ends_with(&wanted), "{told}");
    let away = ask(&host, "shop", "plain", "SELECT 1", &[]).await;
    assert_eq!(away, "err(\"connection-failed\")");
    postgres.resume();
    host.until_well("shop").await;
    let back = async {
        while !ask(&host, "shop", "plain", "SELECT 1", &[])
            .await
            .starts_with("ok")
        {
            tokio::task::yield_now().await;
        }
    };
    within(back).await;
    host.stop_finds_nothing_running("shop").await;
}

/// Two workloads on the host's server: each has its own database, connections and tokens.
#[tokio::test]
async fn workloads_share_the_server_of_the_host_and_nothing_else() {
    let postgres = Postgres::start();
    for name in ["one", "other"] {
        postgres.sql("postgres", &format!("CREATE DATABASE {name} OWNER notes"));
    }
    let of_host = format!("postgres://notes:notes@127.0.0.1:{}", postgres.port());
    let host = host_with(|config| {
        // The host may lead anywhere.
        config.egress.allow.clear();
        config.postgres.url = Some(of_host.parse().unwrap());
        for name in ["one", "other"] {
            grant(config, &format!("default/{name}"), name);
        }
    })
    .await;
    for name in ["one", "other"] {
        let own = json!({ "database": name, "pool_size": "1" });
        host.run(name, &asynchronous(&own, &own)).await;
    }
    let mut pids = Vec::new();
    for name in ["one", "other"] {
        let at = ask(
            &host,
            name,
            "plain",
            "SELECT current_database()::text, pg_backend_pid()",
            &[],
        )
        .await;
        assert!(at.contains(&format!("\"{name}|")), "{at}");
        pids.push(at);
    }
    let token = call(&host, "one", "prepare", &["plain", &quoted("SELECT 1")]).await;
    let token = token
        .strip_prefix("ok(")
        .unwrap()
        .strip_suffix(')')
        .unwrap();
    let stolen = call(&host, "other", "exec", &["plain", token, "[]"]).await;
    assert_eq!(stolen, "err(\"unknown-prepared-statement\")");
    host.stop_finds_nothing_running("one").await;
    until_none(&postgres, &format!("{SESSIONS} AND datname = 'one'")).await;
    let still = ask(
        &host,
        "other",
        "plain",
        "SELECT current_database()::text, pg_backend_pid()",
        &[],
    )
    .await;
    assert_eq!(still, pids[1]);
    host.stop_finds_nothing_running("other").await;
}

/// All of them log in as one user, so the host says who gets which database.
#[tokio::test]
async fn a_database_that_the_host_has_not_granted_is_refused() {
    let postgres = Postgres::start();
    for name in ["one", "other", "every"] {
        postgres.sql("postgres", &format!("CREATE DATABASE {name} OWNER notes"));
    }
    let of_host = format!(
        "postgres://notes:notes@127.0.0.1:{}/s3cret",
        postgres.port()
    );
    let host = host_with(|config| {
        config.postgres.url = Some(of_host.parse().unwrap());
        grant(config, "default/one", "one");
        grant(config, "lab/*", "*");
        grant(config, "*", "every");
    })
    .await;
    let own = |database: &str| json!({ "database": database });
    let one = asynchronous(&own("one"), &own("every"));
    host.run("one", &one).await;
    let made = batch(
        &host,
        "one",
        "plain",
        "CREATE TABLE t AS SELECT 1 AS of_one",
    )
    .await;
    assert_eq!(made, "ok");
    let denied = "the server of the host does not give this workload";
    for (plain, archive, index, told) in [
        (own("one"), own("every"), 0, "the database `one`"),
        (own("every"), own("one"), 1, "the database `one`"),
        // Nothing is done to a name.
        (own("One"), own("every"), 0, "the database `One`"),
        (own("postgres"), own("every"), 0, "the database `postgres`"),
        (json!({}), own("every"), 0, "its own database"),
    ] {
        let spec = asynchronous(&plain, &archive);
        let error = host.try_run("other", &spec).await.unwrap_err();
        let error = format!("{error:?} {error}");
        assert!(error.contains(&format!("{denied} {told}")), "{error}");
        let place = format!("spec.hostInterfaces.{index}.config.database");
        assert!(error.contains(&place), "{error}");
        assert!(error.contains("`postgres.databases`"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    host.run("other", &asynchronous(&own("every"), &own("every")))
        .await;
    let seen = ask(&host, "other", "plain", "SELECT * FROM t", &[]).await;
    assert!(seen.contains("42P01"), "{seen}");
}

#[tokio::test]
async fn wrong_settings_are_refused_before_anything_runs() {
    let host = host_with(|config| config.egress.allow.clear()).await;
    let good = url("postgres://ann:s3cret@db.example/shop");
    for (config, told) in [
        (
            json!({}),
            "`url` is missing: this host has no server of its own",
        ),
        (
            url("mysql://ann:s3cret@db.example/shop"),
            "`url`: wanted a URL such as",
        ),
        (
            url("postgres://ann:s3cret@db.example/shop?sslmode=prefer"),
            "would let anybody on the way turn TLS off",
        ),
        (
            url("postgres://ann:s3cret@127.0.0.1/shop"),
            "127.0.0.1 is a loopback address",
        ),
        (
            url("postgres://ann:s3cret@192.0.2.1/shop?sslmode=verify-ca"),
            "`backends.extraCaFiles`",
        ),
        (
            json!({ "url": good["url"], "pool_size": "101" }),
            "wanted a number from 1 to 100",
        ),
        (
            json!({ "url": good["url"], "statement_timeout": "0s" }),
            "wanted a time from `1ms` to `24h`",
        ),
        (
            json!({ "url": good["url"], "databse": "x" }),
            "`databse` is not a setting of wasmcloud:postgres",
        ),
    ] {
        let refused = host.try_run("shop", &asynchronous(&config, &good)).await;
        let refused = refused.unwrap_err();
        let refused = format!("{refused}{refused:?}");
        assert!(refused.contains(told), "{refused}");
        assert!(!refused.contains("s3cret"), "{refused}");
    }
}

/// Neither SQL nor parameters, URLs, passwords or what the server says are anywhere but with the guest.
#[tokio::test]
async fn the_log_of_the_host_knows_nothing_of_what_is_asked() {
    let log = WholeLog::begin();
    let mut postgres = Postgres::start();
    postgres.sql("postgres", "ALTER ROLE notes PASSWORD 'pass_s3cret'");
    let host = host().await;
    let plain = url(postgres.url("notes").replace(":notes@", ":pass_s3cret@"));
    let wrong = url(postgres.url("notes").replace(":notes@", ":wrong_s3cret@"));
    host.run("unsaid", &asynchronous(&plain, &wrong)).await;
    let secret = "SELECT 'sql_s3cret', $1::text";
    assert!(
        ask(&host, "unsaid", "plain", secret, &["param_s3cret"])
            .await
            .starts_with("ok")
    );
    assert_eq!(
        ask(&host, "unsaid", "archive", secret, &[""]).await,
        "err(\"access-denied\")"
    );
    for sql in [
        "DO $$ BEGIN RAISE NOTICE 'notice_s3cret'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'error_s3cret'; END $$",
        "SELECT bad_s3cret",
    ] {
        batch(&host, "unsaid", "plain", sql).await;
    }
    postgres.stop();
    assert_eq!(
        ask(&host, "unsaid", "plain", secret, &[""]).await,
        "err(\"connection-failed\")"
    );
    assert_eq!(
        ask(&host, "unsaid", "plain", secret, &[""]).await,
        "err(\"connection-failed\")"
    );
    let lines = log.lines_with("default/unsaid");
    let complaints = lines.iter();
    let complaints = complaints.filter(|line| line.contains("no connection to PostgreSQL"));
    assert_eq!(complaints.count(), 2, "{lines:?}");
    let port = postgres.port().to_string();
    assert!(!lines.iter().any(|line| line.contains(&port)), "{lines:?}");
    for said in ["sql", "param", "notice", "error", "bad", "pass", "wrong"] {
        let found = log.lines_with(&format!("{said}_s3cret"));
        assert!(found.is_empty(), "{found:?}");
    }
    host.stop_finds_nothing_running("unsaid").await;
}
