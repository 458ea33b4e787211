//! How a run begins: what runs, what does not, and what keeps it from beginning at all.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::support::{Sandbox, at, manifest};

#[test]
fn everything_that_can_run_runs_and_the_rest_is_told_after_ready() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    sandbox.write("w/b.yaml", at("b", 1).replace("app.wasm", "none.wasm"));
    sandbox.write("w/c.yaml", "apiVersion: x");
    sandbox.write("w/.a.yaml.swp", "garbage: [");
    sandbox.write("single.yaml", at("d", 4).replace("../", "./"));
    let mut host = sandbox.start(&["w", "single.yaml"]);
    let ready = host.expect("ready");
    assert_eq!(ready["workloads"], json!(["default:a", "default:d"]));
    assert_eq!(ready["failed"], json!(["default:b"]));
    let garbage = host.expect("error");
    assert_eq!(
        (&garbage["file"], &garbage["line"], &garbage["column"]),
        (&json!("w/c.yaml"), &json!(1), &json!(1))
    );
    assert!(
        garbage["hint"]
            .as_str()
            .unwrap()
            .contains("apiVersion: runtime"),
        "{garbage}"
    );
    let failed = loop {
        let event = host.next();
        if event["event"] != "error" {
            break event;
        }
    };
    assert_eq!(failed["event"], "workload-failed", "{failed}");
    assert_eq!(
        (&failed["workload"], failed.get("running")),
        (&json!("default:b"), None)
    );
    assert_eq!(
        (host.version("a"), host.version("d"), host.version("b")),
        (Some(1), Some(4), None)
    );
    host.stop();
}

#[test]
fn a_workload_that_failed_is_tried_again_when_its_component_is_there() {
    let sandbox = Sandbox::with_app();
    sandbox.rename("app.wasm", "later.wasm");
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&["w"]);
    assert_eq!(host.expect("ready")["workloads"], json!([]));
    let error = host.expect("error");
    assert_eq!(
        (&error["line"], &error["workload"]),
        (&json!(6), &json!("default:a"))
    );
    assert!(
        error["hint"].as_str().unwrap().contains("build it first"),
        "{error}"
    );
    host.expect("workload-failed");
    host.nothing_new();
    sandbox.rename("later.wasm", "app.wasm");
    host.expect("workload-started");
    assert_eq!(host.version("a"), Some(1));
    host.stop();
}

#[test]
fn a_run_with_nothing_that_can_be_used_ends_with_one() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", "garbage: [");
    let finished = sandbox.finish(&["w", "none.yaml", "--output", "json"]);
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    let events = finished.events();
    assert!(
        events.iter().all(|event| event["event"] == "error"),
        "{events:?}"
    );
    let files: Vec<_> = events
        .iter()
        .map(|event| event["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["w/a.yaml", "none.yaml"]);
    let text = sandbox.finish(&["none.yaml"]);
    assert!(
        text.stderr()
            .contains("cannot be read: there is no such file")
            && text.stderr().contains("hint: "),
        "{text:?}"
    );
}

/// An empty folder is no fault: workloads may come.
#[test]
fn a_run_without_workloads_waits_for_some() {
    let sandbox = Sandbox::with_app();
    let mut host = sandbox.start(&["w"]);
    assert_eq!(host.expect("ready")["workloads"], json!([]));
    sandbox.write("w/a.yaml", at("a", 1));
    host.expect("workload-started");
    assert_eq!(host.version("a"), Some(1));
    host.stop();
}

#[test]
fn a_port_that_is_taken_is_told_with_what_to_do() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = sandbox.finish(&["w", "--http-addr", &address, "--output", "json"]);
    assert_eq!(finished.code(), Some(1));
    let [error] = &finished.events()[..] else {
        panic!("{finished:?}")
    };
    assert!(
        error["message"].as_str().unwrap().contains(&address),
        "{error}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("--http-addr"),
        "{error}"
    );
}

#[test]
fn two_hosts_do_not_share_a_data_folder() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&["w", "--data-dir", "data"]);
    host.expect("ready");
    let second = sandbox.finish(&["w", "--data-dir", "data", "--http-addr", "127.0.0.1:0"]);
    assert_eq!(second.code(), Some(1));
    let told = format!("in use by process {}", host.pid());
    assert!(second.stderr().contains(&told), "{second:?}");
    host.stop();
    let mode = Command::new("stat")
        .args(["-c", "%a"])
        .arg(sandbox.path("data"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&mode.stdout).trim(), "700");
    let mut third = sandbox.start(&["w", "--data-dir", "data"]);
    third.expect("ready");
    third.stop();
}

#[test]
fn people_get_sentences() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", manifest("a", 1, "{}"));
    let mut command = sandbox.command(&["w", "--http-addr", "127.0.0.1:0"]);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let ready = lines.next().unwrap().unwrap();
    assert!(
        ready.starts_with("ready: http://127.0.0.1:") && ready.ends_with(" serves default:a"),
        "{ready}"
    );
    sandbox.write("w/a.yaml", manifest("a", 2, "{}"));
    assert_eq!(lines.next().unwrap().unwrap(), "replaced: default:a");
    sandbox.write("w/a.yaml", "garbage: [");
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "kept: default:a runs on as it was"
    );
    let kill = format!("kill -s INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    assert!(
        lines
            .next()
            .unwrap()
            .unwrap()
            .starts_with("stopping on SIGINT: ")
    );
    assert_eq!(lines.next().unwrap().unwrap(), "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
