//! A server whose disk is full.

use std::process::Command;

use super::*;

/// Names the folder where there is a small disk.
const SMALL_DISK: &str = "SMALL_DISK";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test below, where there is a small disk"]
async fn on_a_small_disk() {
    let disk = std::env::var(SMALL_DISK).unwrap();
    let postgres = Postgres::start();
    let small = format!("CREATE TABLESPACE small LOCATION '{disk}'");
    postgres.sql("postgres", &small);
    postgres.sql("postgres", "GRANT CREATE ON TABLESPACE small TO notes");
    let how = How {
        connections: 1,
        ..How::default()
    };
    let database = open(&postgres.url("notes"), how);
    let table = "CREATE TABLE t (n int) TABLESPACE small; INSERT INTO t VALUES (1)";
    batch(&database, table).await.unwrap();
    let fill = "INSERT INTO t SELECT n FROM generate_series(1, 1000000) n";
    let prepared = database.prepare(fill.to_owned()).await.unwrap();
    assert_eq!(code(batch(&database, fill).await), "53100");
    assert_eq!(code(rows(&database, fill, &[]).await), "53100");
    assert_eq!(code(database.execute(&prepared, vec![]).await), "53100");
    // What was kept before is there, and when there is room again it is used.
    let count = "SELECT count(*) FROM t";
    assert_eq!(one(&database, count, &[]).await, Ok(Value::Int8(1)));
    batch(&database, "TRUNCATE t").await.unwrap();
    batch(&database, "INSERT INTO t VALUES (2), (3)")
        .await
        .unwrap();
    assert_eq!(one(&database, count, &[]).await, Ok(Value::Int8(2)));
}

#[test]
fn a_server_whose_disk_is_full_says_so_and_serves_what_it_has() {
    /// Shells that mount a disk which only they see and go on. Servers refuse to be run by root, so for root it is that of the user who
    /// runs them, and anybody else is somebody else than root again after mounting.
    const WAYS: [(&[&str], &str); 2] = [
        (
            &["--mount"],
            "mount -t tmpfs -o size=16m,uid=$(id -u postgres),gid=$(id -g postgres) small \"$SMALL_DISK\" \
             && exec \"$0\" \"$@\"",
        ),
        (
            &["--mount", "--map-root-user"],
            "mount -t tmpfs -o size=16m small \"$SMALL_DISK\" \
             && exec unshare --map-user=1 --map-group=1 \"$0\" \"$@\"",
        ),
    ];
    let disk = tempfile::tempdir().unwrap();
    let test = "capability::postgres::conformance::full::on_a_small_disk";
    let mut told = Vec::new();
    let passed = WAYS.into_iter().any(|(rights, mount)| {
        let output = Command::new("unshare")
            .args(rights)
            .args(["sh", "-c", mount])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", test])
            .env(SMALL_DISK, disk.path())
            .output()
            .expect("`unshare` is part of every Linux");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let passed = said.contains("1 passed");
        told.push(said);
        passed
    });
    assert!(passed, "{told:?}");
}
