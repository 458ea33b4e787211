//! Workloads whose components are in a registry: run from there, from the cache when it is gone, and only if they may.

use std::fs;
use std::process::Command;

use serde_json::json;
use test_servers::{FaultyRegistry, Registry, oras};
use wasmcloud::artifact::Digest;

use crate::support::registry::{RUN, at_image, configuration, image, kept_in, push, stocked};
use crate::support::{Host, Sandbox};

fn manifest(image: &str, more: &str) -> String {
    format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: app }}\nspec:\n  components:\n    \
         - {{ name: app, image: \"{image}\"{more} }}\n  \
         hostInterfaces: [{{ namespace: wasi, package: http, interfaces: [incoming-handler], config: {{ host: a.localhost }} }}]\n"
    )
}

/// A host that speaks HTTP with the registry, and has more of these settings.
fn started(sandbox: &Sandbox, address: &str, more: &str) -> Host {
    sandbox.write("host.yaml", configuration(address, more));
    sandbox.start(&["--config", "host.yaml", "workload.yaml"])
}

#[test]
fn a_workload_starts_from_its_cache_when_the_registry_is_gone() {
    let (sandbox, mut registry) = stocked();
    let image = format!("{}/demo/app:1", registry.address());
    sandbox.write("workload.yaml", manifest(&image, ""));
    let mut host = started(&sandbox, &registry.address(), "");
    host.ready(1);
    assert_eq!(host.get("a.localhost", "/hello").0, 200);
    host.stop();

    registry.stop();
    let mut host = started(&sandbox, &registry.address(), "");
    host.ready(0);
    assert_eq!(host.get("a.localhost", "/hello").0, 200);
    host.stop();
}

#[test]
fn a_hit_in_the_cache_asks_nobody() {
    let (sandbox, registry) = stocked();
    let way = FaultyRegistry::to(registry.port());
    let image = format!("{}/demo/app:1", way.address());
    sandbox.write(
        "workload.yaml",
        manifest(&image, ", imagePullPolicy: IfNotPresent"),
    );
    let mut host = started(&sandbox, &way.address(), "");
    host.expect("ready");
    host.stop();
    assert!(way.count("GET", "/blobs/") > 0);
    way.forget();
    let mut host = started(&sandbox, &way.address(), "");
    assert_eq!(host.expect("ready")["failed"], json!([]), "{}", host.talk());
    assert_eq!(host.get("a.localhost", "/hello").0, 200);
    host.stop();
    assert!(way.requests().is_empty(), "{:?}", way.requests());
}

#[test]
fn only_what_a_trusted_key_has_signed_runs() {
    let (sandbox, registry) = stocked();
    let image = format!("{}/demo/app:1", registry.address());
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl")
            .args(args)
            .current_dir(sandbox.path(""))
            .output();
        assert!(done.unwrap().status.success());
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"]);
    let rule = "  verify: [{ images: \"*\", keys: [key.pub] }]\n";
    sandbox.write("workload.yaml", manifest(&image, ""));
    let mut host = started(&sandbox, &registry.address(), rule);
    assert_eq!(host.expect("ready")["failed"], json!(["default:app"]));
    let error = host.expect("error");
    let told = error["message"].as_str().unwrap();
    assert!(
        told.contains("it has no signature") || told.contains("not signed"),
        "{told}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("wash push --sign"),
        "{error}"
    );
    host.expect("workload-failed");
    host.stop();
    // Nothing of it was kept, let alone compiled.
    assert!(kept_in(&sandbox.path("data/cache")).is_empty());
}

#[test]
fn what_only_a_manifest_names_must_be_where_the_egress_policy_allows() {
    let (sandbox, registry) = stocked();
    let image = format!("{}/demo/app:1", registry.address());
    sandbox.write("workload.yaml", manifest(&image, ""));
    let mut host = started(&sandbox, "other.example", "");
    assert_eq!(host.expect("ready")["failed"], json!(["default:app"]));
    let error = host.expect("error");
    let told = error["message"].as_str().unwrap();
    assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
    host.expect("workload-failed");
    host.stop();
}

#[test]
fn a_private_image_needs_the_pull_secret_of_its_namespace() {
    let sandbox = Sandbox::new();
    let registry = Registry::with_users(&[("ada", "s3cret-word")]);
    fs::copy(test_guests::HTTP_P2, sandbox.path("app.wasm")).unwrap();
    sandbox.write("config.json", "{}");
    let at = format!("{}/demo/app:1", registry.address());
    let mut oras = oras(&sandbox.path(""));
    let config = "config.json:application/vnd.wasm.config.v0+json";
    oras.args([
        "push",
        "--plain-http",
        "--username",
        "ada",
        "--password",
        "s3cret-word",
    ]);
    oras.args(["--config", config, &at, "app.wasm:application/wasm"]);
    assert!(oras.output().unwrap().status.success());
    sandbox.write(
        "pull.json",
        format!(
            r#"{{"auths": {{"{}": {{"username": "ada", "password": "s3cret-word"}}}}}}"#,
            registry.address()
        ),
    );
    let chmod = Command::new("chmod")
        .args(["600", "pull.json"])
        .current_dir(sandbox.path(""))
        .status();
    assert!(chmod.unwrap().success());
    let secrets = "  pullSecrets: { default: { shop: pull.json } }\n";

    sandbox.write(
        "workload.yaml",
        manifest(&at, ", imagePullSecret: { name: shop }"),
    );
    let mut host = started(&sandbox, &registry.address(), secrets);
    assert_eq!(host.expect("ready")["failed"], json!([]), "{}", host.talk());
    host.stop();
    // Now it is in the cache, and for nobody else.
    sandbox.write("workload.yaml", manifest(&at, ", imagePullPolicy: Never"));
    let mut host = started(&sandbox, &registry.address(), secrets);
    assert_eq!(host.expect("ready")["failed"], json!(["default:app"]));
    let error = host.expect("error");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("never pulled with these credentials"),
        "{error}"
    );
    assert!(!host.talk().contains("s3cret-word"));
    host.expect("workload-failed");
    host.stop();

    sandbox.write(
        "workload.yaml",
        manifest(&at, ", imagePullSecret: { name: shop }")
            .replace("name: app }", "name: app, namespace: other }"),
    );
    let mut host = started(&sandbox, &registry.address(), secrets);
    assert_eq!(host.expect("ready")["failed"], json!(["other:app"]));
    let error = host.expect("error");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("no pull secret `shop` for the namespace `other`"),
        "{error}"
    );
    host.expect("workload-failed");
    host.stop();
}

#[test]
fn an_image_that_holds_no_component_is_told_with_what_it_holds_and_the_others_run() {
    let (sandbox, registry) = stocked();
    let address = registry.address();
    sandbox.write("notes.txt", "no component\n");
    sandbox.write("core.wasm", b"\0asm\x01\0\0\0");
    let cases = [
        (
            "core",
            "core.wasm:application/wasm",
            "the core module cannot be adapted to a component: it embeds no component world",
        ),
        (
            "notes",
            "notes.txt:text/plain",
            "with a layer of text/plain), not a component",
        ),
        (
            "text",
            "notes.txt:application/wasm",
            "this is not a WebAssembly component: it is text",
        ),
    ];
    for (name, layer, _) in cases {
        push(&sandbox, &registry, layer, &format!("demo/{name}:1"));
    }
    for name in ["app", "core", "notes", "text"] {
        let workload = at_image(name, 1, &image(&address, name));
        sandbox.write(&format!("w/{name}.yaml"), workload);
    }
    sandbox.write("host.yaml", configuration(&address, ""));
    let mut host = sandbox.start(&RUN);
    let ready = host.expect("ready");
    let failed = json!(["default:core", "default:notes", "default:text"]);
    assert_eq!(
        (&ready["workloads"], &ready["failed"]),
        (&json!(["default:app"]), &failed)
    );
    for (name, _, found) in cases {
        let error = host.expect("error");
        assert_eq!(error["workload"], format!("default:{name}"), "{error}");
        let message = error["message"].as_str().unwrap();
        for part in ["component `app`", &image(&address, name), found] {
            assert!(message.contains(part), "{part}: {message}");
        }
        host.expect("workload-failed");
    }
    assert_eq!(host.version("app"), Some(1));
    sandbox.write("w/app.yaml", at_image("app", 2, &image(&address, "app")));
    host.expect("workload-replaced");
    assert_eq!(host.version("app"), Some(2));
    host.stop();
}

/// The same component with a section that nobody reads: other bytes that do the same.
fn again(component: &[u8], number: u8) -> Vec<u8> {
    // Of the kind 0 and six bytes long: the length of a name, the name, and the number.
    [component, &[0_u8, 6, 4], b"test", &[number]].concat()
}

#[test]
fn what_runs_stays_in_the_cache_however_many_others_are_pulled() {
    let (sandbox, mut registry) = stocked();
    let address = registry.address();
    let app = fs::read(test_guests::HTTP_P2).unwrap();
    let other = fs::read(test_guests::HANDLER_AND_RUN).unwrap();
    // For the app and one of the others, and not for two.
    let room = app.len() + other.len() * 3 / 2;
    let config = configuration(&address, &format!("  cacheSize: {room}B\n"));
    sandbox.write("host.yaml", config);
    sandbox.write("w/a.yaml", at_image("a", 1, &image(&address, "app")));
    let mut host = sandbox.start(&RUN);
    host.ready(1);
    let is_there = |component: &[u8]| {
        let blobs = sandbox.path("data/images/blobs/sha256");
        blobs.join(Digest::of(component).hex()).exists()
    };
    let others = [0, 1, 2].map(|number| {
        let component = again(&other, number);
        let name = format!("other-{number}");
        sandbox.write("other.wasm", &component);
        let layer = "other.wasm:application/wasm";
        push(&sandbox, &registry, layer, &format!("demo/{name}:1"));
        sandbox.write("w/b.yaml", at_image("b", 1, &image(&address, &name)));
        host.expect("workload-started");
        assert!(is_there(&component), "{name}");
        sandbox.remove("w/b.yaml");
        host.expect("workload-stopped");
        component
    });
    assert!(is_there(&app));
    assert_eq!(others.map(|it| is_there(&it)), [false, false, true]);

    registry.stop();
    sandbox.write("w/a.yaml", at_image("a", 2, &image(&address, "app")));
    host.expect("workload-replaced");
    assert_eq!(host.version("a"), Some(2));
    host.stop();
    let mut host = sandbox.start(&RUN);
    host.ready(0);
    assert_eq!(host.version("a"), Some(2));
    host.stop();
}
