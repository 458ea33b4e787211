//! `wash dev`: how it begins and ends, and what keeps it from beginning.

use std::fs::File;
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::support::{EMPTY_COMPONENT, Sandbox};

/// A project that needs no build: a manifest with a component that nothing calls.
fn prebuilt(sandbox: &Sandbox) {
    sandbox.write(
        "p/workload.yaml",
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: shop}\nspec:\n  components:\n  - {name: a, image: ./a.wasm}\n",
    );
    sandbox.write("p/a.wasm", EMPTY_COMPONENT);
}

#[test]
fn a_folder_is_served_once() {
    let sandbox = Sandbox::new();
    prebuilt(&sandbox);
    let mut first = sandbox.dev("p");
    first.expect("failed");
    let second = sandbox.run(&["dev", "p", "--http-addr", "127.0.0.1:0"]);
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
    let wanted = format!(
        "error: another `wash dev` runs in p (process {}, http://127.0.0.1:",
        first.pid()
    );
    assert!(second.stderr.starts_with(&wanted), "{}", second.stderr);
    assert!(
        second
            .stderr
            .ends_with("hint: use that one, or stop it first\n"),
        "{}",
        second.stderr
    );
    first.stop("TERM");
    let mut third = sandbox.dev("p");
    third.expect("failed");
    third.stop("INT");
}

#[test]
fn a_port_in_use_is_named() {
    let sandbox = Sandbox::new();
    prebuilt(&sandbox);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = sandbox.run(&["dev", "p", "--http-addr", &address]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.starts_with(&format!(
            "error: cannot listen for HTTP on {address}: Address already in use"
        )),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains(
            "hint: another program listens there; choose another address with `--http-addr`"
        ),
        "{}",
        run.stderr
    );
    sandbox.write(
        "q/.wash/config.yaml",
        format!("build: {{command: 'true'}}\ndev: {{address: '{address}'}}\n"),
    );
    let error = sandbox.run(&["dev", "q", "--output", "json"]);
    assert!(
        error.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains(&address),
        "{}",
        error.snapshot()
    );
}

#[test]
fn what_no_change_of_a_source_could_mend_ends_it() {
    let sandbox = Sandbox::new();
    sandbox.write("p/.wash/config.yaml", "dev:\n  adress: 127.0.0.1:0\n");
    let run = sandbox.run(&["dev", "p"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("p/.wash/config.yaml:2:3")
            && run.stderr.contains("did you mean `address`?"),
        "{}",
        run.stderr
    );
    assert_eq!(sandbox.run(&["dev", "nowhere"]).code, Some(1));
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    assert!(
        sandbox
            .run(&["dev", "empty"])
            .stderr
            .contains("there is nothing to build in empty")
    );
    assert_eq!(
        sandbox.run(&["dev", "p", "--http-addr", "nine"]).code,
        Some(2)
    );
}

#[test]
fn a_manifest_is_read_again_when_it_changes_and_nothing_is_built() {
    let sandbox = Sandbox::new();
    prebuilt(&sandbox);
    let mut dev = sandbox.dev("p");
    let failed = dev.expect("failed");
    assert_eq!(failed["stage"], "start");
    assert!(
        failed["errors"][0]["file"]
            .as_str()
            .unwrap()
            .ends_with("p/workload.yaml"),
        "{failed}"
    );
    sandbox.edit("p/workload.yaml", "./a.wasm", "./b.wasm");
    let failed = dev.expect("failed");
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("there is no such file"),
        "{failed}"
    );
    sandbox.edit("p/workload.yaml", "metadata", "metadatta");
    let failed = dev.expect("failed");
    assert_eq!(failed["stage"], "manifest");
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("unknown field `metadatta`"),
        "{failed}"
    );
    sandbox.edit("p/workload.yaml", "metadatta", "metadata");
    assert_eq!(dev.expect("failed")["stage"], "start");
    sandbox.write("p/b.wasm", "text");
    let failed = dev.expect("failed");
    assert!(
        failed["message"].as_str().unwrap().contains("it is text"),
        "{failed}"
    );
    dev.stop("TERM");
}

#[test]
fn a_wrong_manifest_is_told_before_the_first_build() {
    let sandbox = Sandbox::new();
    prebuilt(&sandbox);
    sandbox.write(
        "p/.wash/config.yaml",
        "build: {command: 'echo built >> ../count', component_path: a.wasm}\n",
    );
    sandbox.edit("p/workload.yaml", "metadata", "metadatta");
    let mut dev = sandbox.dev("p");
    assert_eq!(dev.expect("failed")["stage"], "manifest");
    assert!(!sandbox.path("count").exists());
    sandbox.edit("p/workload.yaml", "metadatta", "metadata");
    dev.expect("rebuilding");
    assert_eq!(dev.expect("failed")["stage"], "start");
    assert_eq!(sandbox.read("count"), "built\n");
    dev.stop("TERM");
}

#[test]
fn changes_during_a_build_lead_to_exactly_one_more() {
    let sandbox = Sandbox::new();
    // Whoever opens the gate for writing waits until the build has come to it, and closing it lets the build go on.
    let gate = sandbox.path("gate");
    assert!(
        Command::new("mkfifo")
            .arg(&gate)
            .status()
            .unwrap()
            .success()
    );
    sandbox.write("p/input.wasm", EMPTY_COMPONENT);
    let config = "build: {command: 'cat ../gate; echo built >> ../count; cp input.wasm out.wasm', component_path: out.wasm}\n";
    sandbox.write("p/.wash/config.yaml", config);
    let mut dev = sandbox.dev("p");
    let building = File::create(&gate).unwrap();
    for text in ["1", "2"] {
        sandbox.write("p/a.txt", text);
        sandbox.write("p/b.txt", text);
    }
    drop(building);
    assert_eq!(
        dev.expect("failed")["stage"],
        "start",
        "nothing calls the component"
    );
    assert_eq!(
        dev.expect("rebuilding")["changed"],
        json!(["a.txt", "b.txt"])
    );
    drop(File::create(&gate).unwrap());
    dev.expect("failed");
    sandbox.write("p/c.txt", "");
    assert_eq!(dev.expect("rebuilding")["changed"], json!(["c.txt"]));
    drop(File::create(&gate).unwrap());
    dev.expect("failed");
    assert_eq!(sandbox.read("count").lines().count(), 3);
    dev.stop("TERM");
}

#[test]
fn a_build_that_writes_into_its_own_sources_comes_to_rest() {
    let sandbox = Sandbox::new();
    sandbox.write("p/input.wasm", EMPTY_COMPONENT);
    let config = "build: {command: 'date +%s%N > stamp; cp input.wasm out.wasm', component_path: out.wasm}\n";
    sandbox.write("p/.wash/config.yaml", config);
    let mut dev = sandbox.dev("p");
    dev.wait_for_talk("warning: every build writes stamp");
    sandbox.write("p/other.txt", "");
    loop {
        let rebuilding = dev.wait_for("rebuilding");
        if rebuilding["changed"] == json!(["other.txt"]) {
            break;
        }
    }
    dev.expect("failed");
    dev.stop("TERM");
}

#[test]
fn several_workloads_and_components_beside_the_project_are_served() {
    let sandbox = Sandbox::new();
    let head = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\n";
    let spec = "spec: {components: [{name: a, image: ./a.wasm}]}\n";
    sandbox.write(
        "p/workload.yaml",
        format!("{head}metadata: {{name: one}}\n{spec}---\n{head}metadata: {{name: two}}\n{spec}"),
    );
    let mut dev = sandbox.dev("p");
    let errors = &dev.expect("failed")["errors"];
    assert_eq!(errors.as_array().unwrap().len(), 2, "{errors}");
    dev.stop("TERM");

    sandbox.write("q/main.wasm", EMPTY_COMPONENT);
    let config = "build: {command: 'true', component_path: main.wasm}\ndev: {components: [{name: side, file: side.wasm}]}\n";
    sandbox.write("q/.wash/config.yaml", config);
    let mut dev = sandbox.dev("q");
    let failed = dev.expect("failed");
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("component `side`"),
        "{failed}"
    );
    dev.stop("TERM");
}

#[test]
fn sources_that_a_package_takes_from_elsewhere_are_watched() {
    let sandbox = Sandbox::new();
    let package = |name: &str, rest: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}\n[workspace]\n"
        )
    };
    sandbox.write(
        "app/Cargo.toml",
        package(
            "app",
            "[lib]\ncrate-type = [\"cdylib\"]\n[dependencies]\nshared = { path = \"../shared\" }\n",
        ),
    );
    sandbox.write("app/src/lib.rs", "pub use shared::f;\n");
    sandbox.write("shared/Cargo.toml", package("shared", ""));
    sandbox.write("shared/src/lib.rs", "pub fn f() {}\n");
    let mut dev = sandbox.dev("app");
    assert_eq!(
        dev.expect("failed")["stage"],
        "start",
        "nothing calls the component"
    );
    sandbox.write("shared/src/lib.rs", "pub fn g() {}\n");
    let changed = dev.expect("rebuilding");
    assert!(
        changed["changed"][0]
            .as_str()
            .unwrap()
            .ends_with("/shared/src/lib.rs"),
        "{changed}"
    );
    assert_eq!(dev.expect("failed")["stage"], "build");
    dev.stop("TERM");
}
