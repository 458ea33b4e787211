//! `wash call` and `wash status`: functions called with text, here and in a host that runs.

use std::fs;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Dev, Run, Sandbox};

const MANIFEST: &str = "apiVersion: runtime.wasmcloud.dev/v1alpha1
kind: Workload
metadata: {name: shop}
spec:
  components:
  - {name: api, image: ./api.wasm}
  - {name: errands, image: ./errands.wasm}
  hostInterfaces:
  - {namespace: wasi, package: http, interfaces: [incoming-handler]}
  schedules:
  - {name: tidy, component: errands, function: sum, args: ['[40, 2]'], schedule: '0 0 29 2 *'}
";

/// A project that needs no build, in the folder `p`.
fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("p/workload.yaml", MANIFEST);
    fs::copy(test_guests::ERRANDS, sandbox.path("p/errands.wasm")).unwrap();
    fs::copy(test_guests::HTTP_P2, sandbox.path("p/api.wasm")).unwrap();
    sandbox
}

/// Runs the program in a folder of the sandbox.
fn run_in(sandbox: &Sandbox, folder: &str, args: &[&str]) -> Run {
    let mut command = sandbox.command(args);
    command.current_dir(sandbox.path(folder));
    sandbox.finish(command)
}

fn call(sandbox: &Sandbox, args: &[&str]) -> Run {
    run_in(sandbox, "p", &[&["call"], args].concat())
}

#[test]
fn a_function_of_a_file_is_called_and_its_result_printed() {
    let sandbox = project();
    let file = |args: &[&str]| call(&sandbox, &[&["--file", "errands.wasm"], args].concat());
    assert_snapshot!(file(&["sum", "[1, 2, 39]"]).snapshot(), @r"
    exit: 0
    --- stdout
    42
    --- stderr
    ");
    assert_snapshot!(file(&["divide", "-84", "2", "--output", "json"]).snapshot(), @r#"
    exit: 0
    --- stdout
    {"result":{"ok":-42},"wave":"ok(-42)"}
    --- stderr
    "#);
    assert_snapshot!(file(&["note", "\"a line\""]).snapshot(), @r"
    exit: 0
    --- stdout
    --- stderr
    [errands] a line
    ");
    assert_eq!(
        file(&["--", "divide", "-84", "-2"]).succeeded().stdout,
        "ok(42)\n"
    );
}

#[test]
fn a_function_that_returns_err_ends_with_1_and_its_result() {
    let sandbox = project();
    assert_snapshot!(call(&sandbox, &["--file", "errands.wasm", "divide", "1", "0"]).snapshot(), @r#"
    exit: 1
    --- stdout
    err("1 / 0 is no number")
    --- stderr
    "#);
}

#[test]
fn what_is_typed_wrong_is_explained() {
    let sandbox = project();
    let file = |args: &[&str]| call(&sandbox, &[&["--file", "errands.wasm"], args].concat());
    assert_snapshot!(file(&["greet", "Ada"]).snapshot(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: argument 1 of `test:errands/desk@0.1.0#greet`, `who`, is no record { name: string, age: u32 }: found `Ada`: invalid value type at 0..1
    hint: write it like {name: "text", age: 42}; in a shell, put each between single quotes, such as '"text"'
    "#);
    assert_snapshot!(file(&["divide", "1"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: `test:errands/desk@0.1.0#divide` takes 2 arguments, found 1: test:errands/desk@0.1.0#divide: func(a: s32, b: s32) -> result<s32, string>
    hint: write them like -42 -42
    ");
    assert_snapshot!(file(&["a:b/c"]).snapshot(), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `a:b/c` is no name of a function: it names an interface but no function; wanted `function`, or `namespace:package/interface#function`
    ");
    let unknown = file(&["sun"]);
    assert!(
        unknown.stderr.contains(
            "error: no component exports `sun`\nhint: did you mean `sum`? exported here:\n"
        ),
        "{}",
        unknown.stderr
    );
    assert_snapshot!(call(&sandbox, &["--schedule", "tidy"]).snapshot(), @r"
    exit: 2
    --- stdout
    --- stderr
    error: `--schedule` needs a workload
    hint: write `wash call WORKLOAD --schedule NAME`
    ");
}

#[test]
fn a_function_of_the_project_here_is_called_in_a_host_of_its_own() {
    let sandbox = project();
    assert_eq!(call(&sandbox, &["sum", "[5]"]).succeeded().stdout, "5\n");
    let file = ["call", "-f", "p/workload.yaml", "sum", "[6]"];
    assert_eq!(sandbox.run(&file).succeeded().stdout, "6\n");
    let both = ["-f", "workload.yaml", "--component", "api", "sum", "[6]"];
    let error = call(&sandbox, &both).stderr;
    assert!(
        error.starts_with("error: component `api` does not export `sum`"),
        "{error}"
    );
    // A folder with nothing but built components.
    fs::remove_file(sandbox.path("p/workload.yaml")).unwrap();
    sandbox.write(
        "q/build/errands.wasm",
        fs::read(test_guests::ERRANDS).unwrap(),
    );
    assert_eq!(
        run_in(&sandbox, "q", &["call", "tick"]).succeeded().stdout,
        "1\n"
    );
}

#[test]
fn without_a_host_a_first_word_that_is_no_function_here_is_a_workload() {
    let sandbox = project();
    assert_snapshot!(call(&sandbox, &["shop", "sum", "[5]"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: no `wash dev` runs in this folder or one around it
    hint: start it, or name the data folder of a `wasmcloud run` with `--host`; `shop` is taken for a workload, as nothing here exports a function of that name
    ");
    let elsewhere = sandbox.run(&["call", "--host", "p", "shop", "sum"]);
    assert!(
        elsewhere
            .stderr
            .starts_with("error: no host that runs is found at p\nhint: give the `--data-dir`"),
        "{}",
        elsewhere.stderr
    );
}

#[test]
fn a_workload_that_wash_dev_serves_is_called_and_shown() {
    let sandbox = project();
    fs::create_dir(sandbox.path("p/src")).unwrap();
    let mut dev = sandbox.dev("p");
    dev.expect("ready");
    assert_eq!(
        call(&sandbox, &["shop", "sum", "[5]"]).succeeded().stdout,
        "5\n"
    );
    let json = call(
        &sandbox,
        &["default/shop", "divide", "6", "2", "--output", "json"],
    );
    assert_eq!(
        json.succeeded().json(),
        json!({"result": {"ok": 3}, "wave": "ok(3)"})
    );
    // From a folder inside, and from elsewhere.
    assert_eq!(
        run_in(
            &sandbox,
            "p/src",
            &["call", "--workload", "shop", "sum", "[7]"]
        )
        .succeeded()
        .stdout,
        "7\n"
    );
    assert_eq!(
        sandbox
            .run(&["call", "--host", "p", "shop", "sum", "[8]"])
            .succeeded()
            .stdout,
        "8\n"
    );
    let err = call(&sandbox, &["shop", "divide", "1", "0"]);
    assert_eq!(
        (err.code, err.stdout.as_str()),
        (Some(1), "err(\"1 / 0 is no number\")\n")
    );
    let run = call(&sandbox, &["shop", "--schedule", "tidy"]);
    assert_eq!(run.succeeded().stdout, "42\n");
    let none = call(&sandbox, &["shpo", "sum", "[5]"]);
    assert_eq!(
        none.stderr,
        "error: no workload is called `shpo`\nhint: did you mean `shop`?\n"
    );
    let status = run_in(&sandbox, "p", &["status", "--output", "json"])
        .succeeded()
        .json();
    assert_eq!(status["http"], dev.http.as_str());
    assert_eq!(status["workloads"][0]["schedules"][0]["runs"], 1);
    let status = run_in(&sandbox, "p", &["status"]).succeeded().stdout;
    assert!(
        status.contains("default/shop  running") && status.contains("default/shop tidy  errands test:errands/desk@0.1.0#sum  2028-02-29T00:00:00+00:00[UTC]"),
        "{status}"
    );
    dev.stop("TERM");
    assert_eq!(run_in(&sandbox, "p", &["status"]).code, Some(1));
}

/// Ctrl-C ends the call, and the guest with it: nothing is left to be waited for.
#[test]
fn a_call_that_is_interrupted_leaves_no_guest_behind() {
    let sandbox = project();
    let mut dev = sandbox.dev("p");
    dev.expect("ready");
    let mut command = sandbox.command(&["call", "shop", "spin"]);
    let mut calling = command.current_dir(sandbox.path("p")).spawn().unwrap();
    assert_eq!(dev.wait_for("log")["text"], "spinning");
    calling.kill().unwrap();
    calling.wait().unwrap();
    let usage = || {
        let status = run_in(&sandbox, "p", &["status", "--output", "json"])
            .succeeded()
            .json();
        status["workloads"][0]["usage"]["invocations"]
            .as_u64()
            .unwrap()
    };
    while usage() > 0 {}
    dev.stop("INT");
}

/// What is away is told as long as it is, and no secret with it.
#[test]
fn the_status_tells_what_is_away() {
    let sandbox = project();
    let mut redis = test_servers::Redis::absent();
    let url = format!("redis://:s3cret@127.0.0.1:{}", redis.port());
    let keep = format!(
        "  - {{name: keep, image: ./keep.wasm}}
  hostInterfaces:
  - {{namespace: wasi, package: keyvalue, interfaces: [store, atomics, batch], config: {{backend: redis, url: '{url}'}}}}
  - {{namespace: wasi, package: keyvalue, interfaces: [store], name: sessions}}
"
    );
    // Something has to call it, or it is not bound to anything.
    let look = "  - {name: look, component: keep, function: get, args: ['plain', '\"b\"', '\"k\"'], schedule: '0 0 29 2 *'}\n";
    let manifest = MANIFEST.replace("  hostInterfaces:\n", &keep) + look;
    sandbox.write("p/workload.yaml", &manifest);
    fs::copy(test_guests::KEEP_P2, sandbox.path("p/keep.wasm")).unwrap();
    let mut command = sandbox.command(&["dev", "p", "--http-addr", "127.0.0.1:0"]);
    command.args(["--output", "json", "--allow-egress", "127.0.0.1/32"]);
    let mut dev = Dev::start(command);
    dev.expect("ready");
    let away = format!(
        "keyvalue: redis at `127.0.0.1:{}`: it cannot be reached",
        redis.port()
    );
    let json = || {
        let status = run_in(&sandbox, "p", &["status", "--output", "json"]);
        status.succeeded().json()["workloads"][0]["troubles"].clone()
    };
    assert_eq!(json(), json!([away]));
    let text = run_in(&sandbox, "p", &["status"]).succeeded().stdout;
    let line = format!("default/shop  running  {away}");
    assert!(text.contains(&line) && !text.contains("s3cret"), "{text}");
    redis.resume();
    while json() != json!(null) {}
    dev.stop("TERM");
}
