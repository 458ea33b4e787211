//! Components that the configuration of a project makes plugins of its host.

use std::fs;

use serde_json::json;

use crate::support::{Run, Sandbox};

/// A project whose components are there already: one that calls the plugin, one that serves, and the plugin.
fn project(config: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let copy = |from: &str, to: &str| sandbox.write(to, fs::read(from).unwrap());
    copy(test_guests::TELLER, "p/app.wasm");
    copy(test_guests::HTTP_P2, "p/api.wasm");
    copy(test_guests::LEDGER, "p/plugins/ledger.wasm");
    sandbox.write(
        "p/.wash/config.yaml",
        format!("build: {{command: 'true', component_path: app.wasm}}\n{config}\n"),
    );
    sandbox
}

fn run_in(sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.command(args);
    command.current_dir(sandbox.path("p"));
    sandbox.finish(command)
}

const SIDE: &str = "components: [{name: api, file: api.wasm}]";
const LEDGER: &str = "{id: ledger, file: plugins/ledger.wasm, config: {title: book}}";

#[test]
fn a_plugin_of_the_configuration_answers_the_components_of_the_project() {
    for config in [
        format!("dev: {{{SIDE}, host_plugins: [{LEDGER}]}}"),
        format!("dev: {{{SIDE}}}\nhost: {{hostPlugins: [{LEDGER}]}}"),
    ] {
        let sandbox = project(&config);
        let mut dev = sandbox.dev("p");
        let ready = dev.expect("ready");
        let links = ready["plan"]["links"].as_array().unwrap();
        let wanted = json!({"from": "app", "import": "test:ledger/book@0.1.0", "to": "ledger", "kind": "host"});
        assert!(links.contains(&wanted), "{ready}");
        let called = run_in(&sandbox, &["call", "app", "tell", "\"sold\""]).succeeded();
        assert_eq!(
            called.stdout, "ok(\"book 1: default/app/app: sold\")\n",
            "{}",
            called.stderr
        );
        assert_eq!(dev.get("/hello").0, 200);
        let status = run_in(&sandbox, &["status"]).succeeded().stdout;
        assert!(status.contains("ledger"), "{status}");
        // What is planned without a host knows of it as well.
        let plan = run_in(&sandbox, &["inspect", ".", "--output", "json"])
            .succeeded()
            .json();
        assert!(
            plan["links"].as_array().unwrap().contains(&wanted),
            "{plan}"
        );
        dev.stop("TERM");
    }
}

#[test]
fn a_plugin_that_cannot_be_one_is_told_where_it_stands() {
    let dev = |config: &str| {
        let run = project(config).run(&["dev", "p", "--http-addr", "127.0.0.1:0"]);
        assert_eq!(run.code, Some(1), "{}", run.snapshot());
        run.stderr
    };
    let twice = format!("dev: {{host_plugins: [{LEDGER}]}}\nhost: {{hostPlugins: [{LEDGER}]}}");
    let told = dev(&twice);
    assert!(told.contains("p/.wash/config.yaml:3:22"), "{told}");
    assert!(
        told.contains("a plugin `ledger` is there already"),
        "{told}"
    );
    let told = dev(
        "dev: {host_plugins: [{id: ledger, file: a.wasm, pullPolicy: Always, configFrom: [a]}, {id: two}]}",
    );
    for wanted in [
        "`configFrom` is not supported for plugins",
        "`pullPolicy` is for an `image`",
        "has neither `file` nor `image`",
    ] {
        assert!(told.contains(wanted), "{told}");
    }
    let told = dev("dev: {host_plugins: [{id: ledger, file: gone.wasm}]}");
    assert!(
        told.contains("the plugin `ledger` cannot be used") && told.contains("gone.wasm"),
        "{told}"
    );
    let told =
        dev("dev: {host_plugins: [{id: ledger, file: plugins/ledger.wasm, maxRestarts: 3}]}");
    assert!(told.contains("exports no `wasi:cli/run`"), "{told}");
}
