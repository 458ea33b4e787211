//! Projects with a service: without a manifest, while it crashes and comes back, and when it is swapped.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use serde_json::{Value, json};
use test_servers::Registry;

use crate::image_support::{run, wash};
use crate::support::{Dev, EMPTY_COMPONENT, Sandbox, connect, free_port};

/// A service that does as it is told, one client after the other.
const SERVICE: &str = r#"
use std::io::{Read, Write};
use std::net::TcpListener;

fn main() {
    let listener = TcpListener::bind("127.0.0.1:7070").unwrap();
    for client in listener.incoming() {
        let mut client = client.unwrap();
        let mut word = String::new();
        client.read_to_string(&mut word).unwrap();
        match word.as_str() {
            "crash" => panic!("told to crash"),
            "end" => return,
            "more" => std::mem::forget(TcpListener::bind("127.0.0.1:7071").unwrap()),
            _ => {}
        }
        client.write_all(b"first edition").unwrap();
    }
}
"#;

/// A project with nothing but that service and a configuration. Each test needs a name of its own: they build into one folder.
fn project(sandbox: &Sandbox, name: &str, config: &str) {
    let package = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n"
    );
    sandbox.write(&format!("{name}/Cargo.toml"), package);
    sandbox.write(&format!("{name}/src/main.rs"), SERVICE);
    sandbox.write(&format!("{name}/.wash/config.yaml"), config);
}

/// Says a word to whoever listens on a port, and hears what it has to say.
fn say(port: u16, word: &str) -> String {
    let mut stream = connect(port);
    let mut answer = String::new();
    // The service may be between two lives; then the connection is closed or reset.
    let said = stream.write_all(word.as_bytes());
    let said = said.and_then(|()| stream.shutdown(Shutdown::Write));
    let _ = said.and_then(|()| stream.read_to_string(&mut answer));
    answer
}

/// The ports of a service that listens where it is published.
fn ports(published: u16) -> Value {
    let published = format!("127.0.0.1:{published}");
    json!([{"inside": "127.0.0.1:7070"}, {"inside": "127.0.0.1:7070", "published": published}])
}

#[test]
fn a_program_is_a_service_whose_ups_and_downs_are_told() {
    let sandbox = Sandbox::new();
    let port = free_port();
    project(
        &sandbox,
        "till",
        &format!("dev: {{service_ports: ['{port}:7070']}}\n"),
    );
    let mut dev = sandbox.dev("till");
    let ready = dev.expect("ready");
    assert_eq!(
        ready["plan"]["service"]["members"][0]["component"],
        "service"
    );
    let up = dev.expect("service");
    assert_eq!(
        (&up["workload"], &up["state"], &up["restarts"]),
        (&json!("till"), &json!("running"), &json!(0))
    );
    dev.ports_are(&ports(port));
    assert_eq!(say(port, "hello"), "first edition");

    say(port, "more");
    let mut more = ports(port);
    let more_of_them = more.as_array_mut().unwrap();
    more_of_them.push(json!({"inside": "127.0.0.1:7071"}));
    dev.ports_are(&more);

    say(port, "crash");
    let again = dev.service_is("running");
    assert_eq!(again["restarts"], 1);
    let reason = again["reason"].as_str().unwrap();
    assert!(reason.contains("unreachable"), "{reason}");
    dev.ports_are(&ports(port));
    assert_eq!(say(port, "hello"), "first edition");

    sandbox.edit("till/src/main.rs", "first edition", "second edition");
    dev.wait_for("reloaded");
    dev.service_is("running");
    assert_eq!(say(port, "hello"), "second edition");

    say(port, "end");
    dev.service_is("completed");
    sandbox.edit("till/src/main.rs", "second edition", "third edition");
    dev.wait_for("reloaded");
    dev.service_is("running");
    dev.ports_are(&ports(port));
    assert_eq!(say(port, "hello"), "third edition");
    dev.stop("TERM");
}

#[test]
fn a_service_that_keeps_crashing_fails_with_its_workload_until_something_changes() {
    let sandbox = Sandbox::new();
    project(&sandbox, "bell", "");
    let manifest = |restarts: u32| {
        format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: bell}}\nspec:\n  service:\n    \
             image: ./build/bell.wasm\n    maxRestarts: {restarts}\n"
        )
    };
    sandbox.write("bell/workload.yaml", manifest(1));
    sandbox.edit(
        "bell/src/main.rs",
        "for client",
        "panic!(\"told to crash\");\n    for client",
    );
    let mut dev = sandbox.dev("bell");
    // It may be up for a moment, and then everything is ready, or it is not.
    let failed = loop {
        let event = dev.next();
        if event["event"] == "failed" || event["state"] == "failed" {
            break event;
        }
    };
    let told = failed["message"].as_str().or(failed["reason"].as_str());
    assert!(told.unwrap().contains("(`maxRestarts`: 1)"), "{failed}");

    sandbox.edit(
        "bell/src/main.rs",
        "panic!(\"told to crash\");\n    for client",
        "for client",
    );
    dev.service_is("running");
    dev.stop("TERM");
}

#[test]
fn a_component_beside_the_project_is_the_service_if_the_configuration_says_so() {
    let sandbox = Sandbox::new();
    let copy = |guest: &str, name: &str| sandbox.write(name, std::fs::read(guest).unwrap());
    copy(test_guests::HTTP_P2, "shop/app.wasm");
    copy(test_guests::NET_WSTD, "shop/echo.wasm");
    let port = free_port();
    let config = format!(
        "build: {{command: 'true', component_path: app.wasm}}\n\
         dev: {{service_file: echo.wasm, service_ports: ['{port}:7070'], environment: {{LISTEN: '127.0.0.1:7070'}}}}\n"
    );
    sandbox.write("shop/.wash/config.yaml", config);
    let mut dev = sandbox.dev("shop");
    let ready = dev.expect("ready");
    assert_eq!(
        ready["plan"]["entries"][0]["members"][0]["component"],
        "app"
    );
    dev.ports_are(&ports(port));
    assert_eq!(say(port, "echo"), "echo");
    dev.stop("TERM");
    let plan = sandbox.run(&["inspect", "shop"]).succeeded().stdout;
    assert!(
        plan.contains("the host runs service (wasi:cli/run@0.2."),
        "{plan}"
    );
    assert!(
        plan.contains(&format!(
            "port 7070 of service is published at 127.0.0.1:{port}"
        )),
        "{plan}"
    );
}

#[test]
fn what_is_wrong_with_the_settings_of_a_service_is_told_where_it_stands() {
    let sandbox = Sandbox::new();
    project(
        &sandbox,
        "till",
        "dev:\n  service: true\n  service_file: other.wasm\n  service_ports: [7070, '0.0.0.0:1:1', '8080:0', '7070:1']\n",
    );
    let run = sandbox.run(&["dev", "till"]);
    insta::assert_snapshot!(run.snapshot(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: `dev.service` says that the project's own component is the service, and `dev.service_file` names another one
     --> till/.wash/config.yaml:3:17
      |
    3 |   service_file: …
      |                 ^
      |
      = hint: a workload has one service; remove one of the two

    error: `0.0.0.0:1:1` has an address; ports are published on 127.0.0.1 only
     --> till/.wash/config.yaml:4:25
      |
    4 |   service_ports: […, '0.0.0.0:1:1', …, …]
      |                      ^^^^^^^^^^^^^
      |
      = hint: write a port from 1 to 65535, such as `7070`, or two, such as "8080:7070": that of this machine, then that of the service

    error: `8080:0` is no port
     --> till/.wash/config.yaml:4:40
      |
    4 |   service_ports: […, …, '8080:0', …]
      |                         ^^^^^^^^
      |
      = hint: write a port from 1 to 65535, such as `7070`, or two, such as "8080:7070": that of this machine, then that of the service

    error: port 7070 of this machine is taken by the entry at line 4
     --> till/.wash/config.yaml:4:50
      |
    4 |   service_ports: […, …, …, …]
      |                            ^
      |
      = hint: choose another port of this machine
    "#);
    sandbox.write("till/workload.yaml", "");
    sandbox.write("till/.wash/config.yaml", "dev: {service_ports: [7070]}\n");
    let run = sandbox.run(&["dev", "till"]);
    assert!(
        run.stderr
            .contains("`dev.service_ports` has no effect beside workload.yaml"),
        "{}",
        run.stderr
    );
}

/// With its registry gone, it comes from the cache.
#[test]
fn a_project_has_a_service_of_a_registry() {
    let (sandbox, mut registry) = (Sandbox::new(), Registry::start());
    let port = free_port();
    project(&sandbox, "desk", "{}\n");
    let built = sandbox.run(&["build", "desk", "--output", "json"]);
    let built = built.succeeded().json();
    let component = built["components"][0]["path"].as_str().unwrap();
    let address = registry.address();
    let at = format!("{address}/demo/desk:1");
    run(&sandbox, &registry, &["push", component, &at]).succeeded();
    sandbox.write("p/own.wasm", EMPTY_COMPONENT);
    sandbox.write(
        "p/.wash/config.yaml",
        format!(
            "build: {{ command: 'true', component_path: own.wasm }}\ndev:\n  service_image: '{at}'\n  \
             service_pull_policy: IfNotPresent\n  service_ports: ['{port}:7070']\n\
             images: {{ registries: {{ '{address}': {{ plainHttp: true }} }} }}\n"
        ),
    );
    let args = ["dev", "p", "--http-addr", "127.0.0.1:0", "--output", "json"];
    for is_there in [true, false] {
        if !is_there {
            registry.stop();
        }
        let mut dev = Dev::start(wash(&sandbox, &args));
        dev.wait_for("ready");
        dev.ports_are(&ports(port));
        assert_eq!(say(port, "hello"), "first edition");
        dev.stop("TERM");
    }
}
