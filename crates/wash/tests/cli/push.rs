//! What `wash push` sends, and what it says of it: read back from the registry, past the program.

use serde_json::Value;
use test_servers::{FaultyRegistry, Registry};
use wasmcloud::workload::Digest;
use wit_component::DecodedWasm;

use crate::image_support::{COMMITTED, METADATA, commit, git, json, run, run_at};
use crate::support::{EMPTY_COMPONENT, Sandbox, get};

const PREFIX: &str = "org.opencontainers.image.";

#[test]
fn a_push_prints_what_is_where_and_the_second_one_sends_nothing() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let way = FaultyRegistry::to(registry.port());
    let (address, repository) = (way.address(), format!("{}/demo/a", way.address()));
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{repository}:1");
    let push = || run_at(&sandbox, &address, &["push", "a.wasm", &at]).succeeded();
    let first = push();
    let (pinned, rest) = first.stdout.split_once('\n').unwrap();
    assert_eq!(rest, "pushed\n");
    let digest = pinned.strip_prefix(&format!("{repository}@")).unwrap();
    assert!(registry.blob(digest).is_file(), "{digest}");
    assert!(way.count("PUT", "/manifests/1") > 0);
    way.forget();
    assert_eq!(push().stdout, format!("{pinned}\nwas there already\n"));
    let sent = ["POST", "PUT", "PATCH"].map(|method| way.count(method, ""));
    assert_eq!(sent, [0; 3], "{:#?}", way.requests());
}

/// What the registry has under a path of the repository `demo/a`.
fn kept(registry: &Registry, path: &str) -> Value {
    let accept = "accept: application/vnd.oci.image.manifest.v1+json";
    let path = format!("/v2/demo/a/{path}");
    let (status, body) = get(&registry.address(), &path, &[accept]);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The manifest of a tag, and its config.
fn kept_as(registry: &Registry, tag: &str) -> [Value; 2] {
    let manifest = kept(registry, &format!("manifests/{tag}"));
    let config = manifest["config"]["digest"].as_str().unwrap();
    let config = kept(registry, &format!("blobs/{config}"));
    [manifest, config]
}

/// The imports and exports of a component, as another reader of components finds them.
fn world(component: &[u8]) -> [Vec<String>; 2] {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component).unwrap() else {
        panic!("it is no component");
    };
    let world = &resolve.worlds[world];
    [&world.imports, &world.exports].map(|items| {
        let names = items.keys().map(|key| resolve.name_world_key(key));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    })
}

#[test]
fn the_config_says_what_the_component_imports_and_exports() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let guests = [
        (
            test_guests::HTTP_P2,
            "wasip2",
            "wasi:http/incoming-handler@0.2.",
        ),
        (test_guests::HTTP_P3, "wasip3", "wasi:http/handler@0.3."),
    ];
    for (guest, os, handler) in guests {
        let bytes = std::fs::read(guest).unwrap();
        sandbox.write("a.wasm", &bytes);
        let at = format!("{}/demo/a:{os}", registry.address());
        run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
        let [manifest, config] = kept_as(&registry, os);
        assert_eq!(
            manifest["config"]["mediaType"],
            "application/vnd.wasm.config.v0+json"
        );
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1, "{manifest}");
        assert_eq!(layers[0]["mediaType"], "application/wasm");
        let layer = Digest::of(&bytes).to_string();
        assert_eq!(layers[0]["digest"], layer);
        assert_eq!(config["layerDigests"], serde_json::json!([layer]));
        assert_eq!(
            (&config["architecture"], &config["os"]),
            (&"wasm".into(), &os.into())
        );
        let [imports, exports] = world(&bytes);
        assert!(
            exports.iter().any(|it| it.starts_with(handler)),
            "{exports:?}"
        );
        let inside = &config["component"];
        assert_eq!(inside["imports"], serde_json::json!(imports));
        assert_eq!(inside["exports"], serde_json::json!(exports));
    }
}

#[test]
fn what_is_known_of_a_component_goes_along() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let named = METADATA.replace(
        "(component ",
        r#"(component $shop (@custom "authors" "Ada") "#,
    );
    sandbox.write("a.wasm", wat::parse_str(named).unwrap());
    commit(&sandbox);
    let origin = "https://ada:s3cret-word@git.example/acme/shop.git";
    git(&sandbox, &["remote", "add", "origin", origin]);
    let at = format!("{}/demo/a:1", registry.address());
    run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
    let [manifest, config] = kept_as(&registry, "1");
    let said = |key: &str| &manifest["annotations"][format!("{PREFIX}{key}")];
    for (key, wanted) in [
        ("title", "shop"),
        ("description", "says hello"),
        ("authors", "Ada"),
        ("licenses", "MIT"),
        ("version", "1.4.0"),
        ("source", "https://git.example/acme/shop.git"),
        ("created", COMMITTED),
    ] {
        assert_eq!(said(key), wanted, "{key}: {manifest}");
    }
    let revision = said("revision").as_str().unwrap();
    assert_eq!(revision.len(), 40, "{revision}");
    assert_eq!(
        (&config["author"], &config["created"]),
        (&"Ada".into(), &COMMITTED.into())
    );
    let all = format!("{manifest}{config}");
    assert!(!all.contains("s3cret-word"), "{all}");
}

#[test]
fn the_source_is_told_without_passwords_and_without_paths_of_this_machine() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    commit(&sandbox);
    let at = format!("{}/demo/a:1", registry.address());
    let source = || {
        run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
        let [manifest, _] = kept_as(&registry, "1");
        manifest["annotations"][format!("{PREFIX}source")].clone()
    };
    assert_eq!(source(), Value::Null);
    git(&sandbox, &["remote", "add", "origin", "to-be-set"]);
    for (origin, told) in [
        (
            "https://s3cret-token@git.example/acme/shop.git",
            Some("https://git.example/acme/shop.git"),
        ),
        (
            "ssh://ada:p@ss@git.example:2222/acme/shop.git",
            Some("ssh://git.example:2222/acme/shop.git"),
        ),
        (
            "git@git.example:acme/shop.git",
            Some("git@git.example:acme/shop.git"),
        ),
        ("/srv/git/shop.git", None),
        ("file:///srv/git/shop.git", None),
    ] {
        git(&sandbox, &["remote", "set-url", "origin", origin]);
        assert_eq!(source().as_str(), told, "{origin}");
    }
    // What the maker of the component says comes first.
    let own = r#"(component (@custom "source" "https://own.example/shop"))"#;
    sandbox.write("a.wasm", wat::parse_str(own).unwrap());
    assert_eq!(source(), "https://own.example/shop");
}

/// A commit does not have what was changed after it.
#[test]
fn only_what_is_committed_is_labelled_with_the_commit() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    commit(&sandbox);
    let labels = |tag: &str| {
        let at = format!("{}/demo/a:{tag}", registry.address());
        run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
        let seen = json(&sandbox, &registry, &["inspect", &at]);
        ["revision", "created"].map(|key| seen["annotations"][format!("{PREFIX}{key}")].clone())
    };
    assert!(labels("clean").iter().all(Value::is_string));
    sandbox.write("source.txt", "second");
    assert_eq!(labels("dirty"), [Value::Null, Value::Null]);
}
