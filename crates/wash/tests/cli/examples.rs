//! Each example, copied away, is built and served, and does what its README says.

use serde_json::{Value, json};

use crate::support::{Dev, Sandbox, get};

fn served(example: &str) -> (Sandbox, Dev, Value) {
    let sandbox = Sandbox::with_example(example);
    let mut dev = sandbox.dev(example);
    let ready = dev.expect("ready");
    (sandbox, dev, ready)
}

/// The links from component to component.
fn fused(plan: &Value) -> Vec<[&str; 2]> {
    let links = plan["links"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|link| link["kind"] == "fused");
    links
        .map(|link| ["from", "to"].map(|end| link[end].as_str().unwrap()))
        .collect()
}

#[test]
fn http_hello_greets_and_every_request_is_told() {
    let (_sandbox, mut dev, ready) = served("http-hello");
    assert_eq!(
        ready["plan"]["workload"],
        json!({"namespace": "default", "name": "http-hello"})
    );
    assert_eq!(dev.get("/"), (200, "Hello from wasmCloud!\n".to_owned()));
    assert_eq!(
        dev.get("/nowhere"),
        (404, "There is nothing here.\n".to_owned())
    );
    let request = dev.any();
    assert_eq!(
        (&request["event"], &request["method"], &request["path"]),
        (&json!("request"), &json!("GET"), &json!("/"))
    );
    assert_eq!(
        (
            &request["status"],
            &request["workload"],
            &request["component"]
        ),
        (&json!(200), &json!("http-hello"), &json!("hello"))
    );
    assert_eq!(
        (&dev.any()["status"], dev.talk().contains("error")),
        (&json!(404), false)
    );
    dev.stop("INT");
}

#[test]
fn http_hello_p3_greets() {
    let (_sandbox, dev, ready) = served("http-hello-p3");
    assert_eq!(ready["plan"]["entries"][0]["flavour"], "concurrent");
    assert_eq!(
        dev.get("/"),
        (200, "Hello from wasmCloud, on WASI 0.3!\n".to_owned())
    );
    assert_eq!(dev.get("/nowhere").0, 404);
    dev.stop("TERM");
}

#[test]
fn http_chain_is_fused_as_inspect_says() {
    let (sandbox, dev, ready) = served("http-chain");
    let links = [["front", "greeter"], ["greeter", "translator"]];
    assert_eq!(fused(&ready["plan"]), links);
    assert_eq!(
        dev.get("/?name=Ada&lang=de"),
        (200, "Hallo, Ada!\n".to_owned())
    );
    assert_eq!(dev.get("/"), (200, "Hello, World!\n".to_owned()));
    assert_eq!(dev.get("/?name=Ada&lang=tlh").0, 404);
    dev.stop("TERM");

    let plan = sandbox
        .run(&["inspect", "http-chain/workload.yaml", "--output", "json"])
        .succeeded()
        .json();
    assert_eq!(fused(&plan), links);
    assert_eq!(plan["workload"]["name"], "http-chain");
    assert_eq!(plan["entries"][0]["members"].as_array().unwrap().len(), 3);
    let text = sandbox.run(&["inspect", "http-chain"]).succeeded().stdout;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.ends_with("  fused"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines,
        [
            ["front", "demo:greet/greeter", "greeter", "fused"],
            [
                "greeter",
                "demo:translate/translator",
                "translator",
                "fused"
            ]
        ]
    );
    let wit = sandbox
        .run(&["inspect", "http-chain/build/greeter.wasm", "--wit"])
        .succeeded()
        .stdout;
    assert!(
        wit.contains("import demo:translate/translator;")
            && wit.contains("export demo:greet/greeter;"),
        "{wit}"
    );
}

#[test]
fn http_middleware_guards_what_is_behind_it() {
    let (_sandbox, dev, ready) = served("http-middleware");
    assert_eq!(fused(&ready["plan"]), [["auth", "api"]]);
    assert_eq!(dev.get("/"), (401, "A token is needed.\n".to_owned()));
    let (status, body) = get(&dev.http, "/", &["authorization: Bearer s3cret"]);
    assert_eq!(
        (status, serde_json::from_str::<Value>(&body).unwrap()),
        (
            200,
            json!({"message": "You are in.", "tokenVisible": false})
        )
    );
    dev.stop("TERM");
}
