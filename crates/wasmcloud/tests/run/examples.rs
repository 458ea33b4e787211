//! The manifests of the examples, as they are, on one port.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use test_servers::Postgres;

use crate::support::{PATIENCE, Sandbox, copy};

const EXAMPLES: [&str; 4] = [
    "http-chain",
    "http-hello",
    "http-hello-p3",
    "http-middleware",
];

/// Builds an example as `wash build` does, with plain Cargo: a component for each package.
fn build(folder: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--target",
        "wasm32-wasip2",
        "--message-format",
        "json",
    ]);
    cargo.current_dir(folder).env(
        "CARGO_TARGET_DIR",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"),
    );
    for key in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(key);
    }
    let output = cargo.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::create_dir(folder.join("build")).unwrap();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let files = message["filenames"].as_array().into_iter().flatten();
        for file in files
            .filter_map(Value::as_str)
            .filter(|file| file.ends_with(".wasm"))
        {
            let name = message["target"]["name"]
                .as_str()
                .unwrap()
                .replace('_', "-");
            std::fs::copy(file, folder.join(format!("build/{name}.wasm"))).unwrap();
        }
    }
}

/// A copy of an example, built.
pub(crate) fn built(sandbox: &Sandbox, name: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    copy(&examples.join(name), &sandbox.path(name));
    build(&sandbox.path(name));
}

/// Replaces a text in the manifest of an example.
pub(crate) fn edit(sandbox: &Sandbox, name: &str, from: &str, to: &str) {
    let manifest = format!("{name}/workload.yaml");
    let text = std::fs::read_to_string(sandbox.path(&manifest)).unwrap();
    assert!(text.contains(from), "{manifest} holds no {from:?}");
    sandbox.write(&manifest, text.replace(from, to));
}

/// A port of 127.0.0.1 that nobody had a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_examples_with_services_run_as_their_manifests_say() {
    let sandbox = Sandbox::new();
    for name in ["tcp-echo", "tcp-leet"] {
        built(&sandbox, name);
    }
    let port = free_port();
    edit(
        &sandbox,
        "tcp-echo",
        "hostPort: 7070",
        &format!("hostPort: {port}"),
    );
    let mut host = sandbox.start(&["tcp-echo/workload.yaml", "tcp-leet/workload.yaml"]);
    assert_eq!(host.expect("ready")["failed"], json!([]));
    assert_eq!(
        host.post("leet.localhost", "/", "Hello, elite world!"),
        (200, "H3ll0, 3l173 w0rld!".to_owned())
    );
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut echo = String::new();
    client.read_to_string(&mut echo).unwrap();
    assert_eq!(echo, "hello");
    // Both services notice that they are to end.
    host.stop();
}

#[test]
fn connection_pool_runs_with_the_configuration_beside_it() {
    let postgres = Postgres::start();
    let sandbox = Sandbox::new();
    built(&sandbox, "connection-pool");
    edit(
        &sandbox,
        "connection-pool",
        "\"5432\"",
        &format!("\"{}\"", postgres.port()),
    );
    let mut host = sandbox.start(&[
        "--config",
        "connection-pool/host.yaml",
        "connection-pool/workload.yaml",
    ]);
    assert_eq!(host.expect("ready")["failed"], json!([]));
    // It is up before it listens.
    let answer = loop {
        let answer = host.post("pool.localhost", "/notes", "buy milk");
        if answer.0 != 503 {
            break answer;
        }
    };
    assert_eq!(answer, (200, "1 buy milk\n".to_owned()));
    assert_eq!(
        postgres.sql("notes", "SELECT id, text FROM notes"),
        "1|buy milk"
    );
    host.stop();
    // The sessions were ended by the service, which said goodbye.
    postgres.until(
        "notes",
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'connection-pool'",
        "0",
    );
}

#[test]
fn the_examples_are_served_together_by_host_and_path() {
    let sandbox = Sandbox::new();
    let manifests: Vec<String> = EXAMPLES
        .map(|name| format!("{name}/workload.yaml"))
        .to_vec();
    for name in EXAMPLES {
        built(&sandbox, name);
    }
    let paths: Vec<&str> = manifests.iter().map(String::as_str).collect();
    let mut host = sandbox.start(&paths);
    let ready = host.expect("ready");
    assert_eq!(
        ready["workloads"],
        json!(EXAMPLES.map(|name| format!("default:{name}")))
    );
    assert_eq!(ready["failed"], json!([]));
    assert_eq!(
        host.get("127.0.0.1", "/"),
        (200, "Hello from wasmCloud!\n".to_owned())
    );
    assert_eq!(
        host.get("hello-p3.localhost", "/"),
        (200, "Hello from wasmCloud, on WASI 0.3!\n".to_owned())
    );
    assert_eq!(
        host.get("chain.localhost", "/?name=Ada&lang=de"),
        (200, "Hallo, Ada!\n".to_owned())
    );
    assert_eq!(
        host.get("middleware.localhost", "/"),
        (401, "A token is needed.\n".to_owned())
    );
    host.stop();
}
