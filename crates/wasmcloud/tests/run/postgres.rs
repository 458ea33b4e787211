//! A server of PostgreSQL in the configuration of the host, as an operator meets it.

use serde_json::json;
use test_servers::Postgres;

use crate::support::{LEVELS, Sandbox};

const SHOP: &str = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: { name: shop }\nspec:\n  components:\n    - { name: sql, image: ../sql.wasm }\n  hostInterfaces:\n    - { namespace: wasmcloud, package: postgres, version: 0.2.0, interfaces: [query, prepared], config: { database: notes } }\n    - { namespace: wasmcloud, package: postgres, version: 0.2.0, interfaces: [query], name: archive, config: { database: absent_s3cret } }\n  schedules:\n    - { name: seldom, component: sql, function: batch, args: [plain, '\"SELECT 1\"'], schedule: \"0 0 29 2 *\" }\n";

fn ask(sandbox: &Sandbox, way: &str, sql: &str, param: &str) -> String {
    let (sql, params) = (format!("\"{sql}\""), format!("[\"{param}\"]"));
    sandbox.wave("shop", "query", &[way, &sql, &params])
}

/// Everything that may be said is said, and nothing of what is asked.
#[test]
fn the_server_of_the_host_serves_workloads_and_nothing_of_it_is_logged() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "ALTER ROLE notes PASSWORD 'pass_s3cret'");
    let sandbox = Sandbox::with_app();
    std::fs::copy(test_guests::SQL_P3, sandbox.path("sql.wasm")).unwrap();
    sandbox.write("w/shop.yaml", SHOP);
    let url = format!("postgres://notes:pass_s3cret@127.0.0.1:{}", postgres.port());
    sandbox.write(
        "host.yaml",
        format!(
            "postgres: {{ url: '{url}', databases: {{ default/shop: [notes, absent_s3cret] }} }}\n"
        ),
    );
    let mut command = sandbox.command(&[
        "w",
        "--data-dir",
        "data",
        "--config",
        "host.yaml",
        "--http-addr",
        "127.0.0.1:0",
        "--output",
        "json",
    ]);
    let levels = format!("{LEVELS},tokio_postgres=trace,tokio_postgres::prepare=trace");
    command.env("RUST_LOG", levels);
    let mut host = crate::support::Host::start(command);
    assert_eq!(host.expect("ready")["workloads"], json!(["default:shop"]));
    let sql = "SELECT 'sql_s3cret', $1::text";
    assert_eq!(
        ask(&sandbox, "plain", sql, "param_s3cret"),
        "ok(([\"?column?\", \"text\"], [\"sql_s3cret|param_s3cret\"]))"
    );
    let wrong = ask(&sandbox, "plain", "SELECT bad_s3cret, $1::text", "");
    assert!(wrong.contains("42703"), "{wrong}");
    assert_eq!(
        ask(&sandbox, "archive", sql, ""),
        "err(\"connection-failed\")"
    );
    host.signal("TERM");
    host.expect("stopping");
    host.expect("stopped");
    let (_, talk) = host.ended();
    assert!(talk.contains("its server has no such database"), "{talk}");
    assert!(talk.lines().count() > 20, "{talk}");
    for line in talk.lines() {
        assert!(!line.contains("s3cret"), "{line}");
    }
}

/// The line of a secret is not shown.
#[test]
fn a_url_that_is_wrong_is_told_without_it() {
    let sandbox = Sandbox::with_app();
    sandbox.write("host.yaml", "postgres:\n  url: mysql://ann:s3cret@h\n");
    let checked = sandbox.finish(&["w", "--config", "host.yaml", "--check"]);
    assert_ne!(checked.code(), Some(0));
    let told = format!("{}{}", checked.stdout(), checked.stderr());
    assert!(told.contains("wanted a URL such as"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn a_database_that_is_not_granted_is_told_by_a_check() {
    let sandbox = Sandbox::with_app();
    std::fs::copy(test_guests::SQL_P3, sandbox.path("sql.wasm")).unwrap();
    sandbox.write("w/shop.yaml", SHOP);
    let check = |databases: &str| {
        let url = "postgres://ann:s3cret@db.example";
        let text = format!("postgres: {{ url: '{url}', databases: {databases} }}\n");
        sandbox.write("host.yaml", text);
        let checked = sandbox.finish(&["w", "--config", "host.yaml", "--check"]);
        let told = format!("{}{}", checked.stdout(), checked.stderr());
        (checked.code(), told)
    };
    let (code, told) = check("{ default/shop: [absent_s3cret], lab/shop: [notes] }");
    assert_ne!(code, Some(0), "{told}");
    assert!(
        told.contains("does not give this workload the database `notes`"),
        "{told}"
    );
    assert!(
        told.contains("`postgres.databases`: `default/shop: [notes]`"),
        "{told}"
    );
    assert!(!told.contains("s3cret"), "{told}");
    let (code, told) = check("{ 'default/*': ['*'] }");
    assert_eq!(code, Some(0), "{told}");
}
