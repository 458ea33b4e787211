//! Workloads whose components are in a registry: run from there, from the cache when it is gone, and only if they may.

use std::process::Command;

use serde_json::json;
use test_servers::{FaultyRegistry, Registry, oras};

use crate::support::{Host, Sandbox};

/// A registry with the guest under `demo/app:1`, pushed by another client.
fn stocked() -> (Sandbox, Registry) {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("app.wasm")).unwrap();
    push(&sandbox, &registry, "demo/app:1");
    (sandbox, registry)
}

fn push(sandbox: &Sandbox, registry: &Registry, to: &str) {
    sandbox.write("config.json", "{}");
    let at = format!("{}/{to}", registry.address());
    let mut oras = oras(&sandbox.path(""));
    let config = "config.json:application/vnd.wasm.config.v0+json";
    oras.args([
        "push",
        "--plain-http",
        "--config",
        config,
        &at,
        "app.wasm:application/wasm",
    ]);
    let pushed = oras.output().unwrap();
    assert!(
        pushed.status.success(),
        "{}",
        String::from_utf8_lossy(&pushed.stderr)
    );
}

fn manifest(image: &str, more: &str) -> String {
    format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: app }}\nspec:\n  components:\n    \
         - {{ name: app, image: \"{image}\"{more} }}\n  \
         hostInterfaces: [{{ namespace: wasi, package: http, interfaces: [incoming-handler], config: {{ host: a.localhost }} }}]\n"
    )
}

/// A host that speaks HTTP with the registry, and has more of these settings.
fn started(sandbox: &Sandbox, address: &str, more: &str) -> Host {
    sandbox.write(
        "host.yaml",
        format!("dataDir: data\nimages:\n  registries: {{ \"{address}\": {{ plainHttp: true }} }}\n{more}"),
    );
    sandbox.start(&["--config", "host.yaml", "workload.yaml"])
}

#[test]
fn a_workload_starts_from_its_cache_when_the_registry_is_gone() {
    let (sandbox, mut registry) = stocked();
    let image = format!("{}/demo/app:1", registry.address());
    sandbox.write("workload.yaml", manifest(&image, ""));
    let mut host = started(&sandbox, &registry.address(), "");
    let ready = host.expect("ready");
    assert_eq!(
        (&ready["failed"], &ready["compiled"]),
        (&json!([]), &json!(1)),
        "{}",
        host.talk()
    );
    assert_eq!(host.get("a.localhost", "/hello").0, 200);
    host.stop();

    registry.stop();
    let mut host = started(&sandbox, &registry.address(), "");
    let ready = host.expect("ready");
    assert_eq!(
        (&ready["failed"], &ready["compiled"]),
        (&json!([]), &json!(0)),
        "{}",
        host.talk()
    );
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
    let compiled = std::fs::read_dir(sandbox.path("data/cache"))
        .into_iter()
        .flatten()
        .flatten();
    let artifacts =
        compiled.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
    let artifacts = artifacts
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|it| it == "cwasm"));
    assert_eq!(artifacts.count(), 0);
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
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("app.wasm")).unwrap();
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
