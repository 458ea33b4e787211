//! `wash inspect` of single files and images; manifests of real projects are inspected by the tests of the examples.

use insta::assert_snapshot;
use test_servers::{FaultyRegistry, Registry};

use crate::image_support::run_at;
use crate::support::{EMPTY_COMPONENT, Sandbox};

#[test]
fn a_component_is_described() {
    let sandbox = Sandbox::new();
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    assert_snapshot!(sandbox.run(&["inspect", "a.wasm"]).snapshot(), @r"
    exit: 0
    --- stdout
    a.wasm: a component
    size     8 B
    digest   sha256:24eaf3439a60c96764c4f2c92a0a81b52bd4fe5d5b91f090184a0f6486b1bf29
    engine   plain (synchronous functions only)
    0 imports
    0 exports
    --- stderr
    ");
    let json = sandbox
        .run(&["inspect", "a.wasm", "--output", "json"])
        .json();
    assert_eq!(
        (
            json["adapted"].as_bool(),
            json["flavour"].as_str(),
            json["bytes"].as_u64()
        ),
        (Some(false), Some("plain"), Some(8))
    );
}

#[test]
fn the_world_of_a_component_is_shown_as_wit() {
    let sandbox = Sandbox::new();
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    assert_snapshot!(sandbox.run(&["inspect", "a.wasm", "--wit"]).snapshot(), @r"
    exit: 0
    --- stdout
    package root:component;

    world root {
    }
    --- stderr
    ");
}

#[test]
fn what_is_no_component_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("text.wasm", "hello there\n");
    sandbox.write("cut.wasm", &EMPTY_COMPONENT[..6]);
    sandbox.write("empty.wasm", "");
    assert_snapshot!(sandbox.run(&["inspect", "text.wasm"]).snapshot(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error: text.wasm: this is not a WebAssembly component: it is text
    "#);
    assert!(
        sandbox
            .run(&["inspect", "cut.wasm"])
            .stderr
            .contains("cut-off header")
    );
    assert!(
        sandbox
            .run(&["inspect", "empty.wasm"])
            .stderr
            .contains("an empty file")
    );
    assert_snapshot!(sandbox.run(&["inspect", "none.wasm"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: there is no none.wasm
    ");
    assert_snapshot!(sandbox.run(&["inspect"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: . has no manifest and no components that were built
    hint: run `wash build` first, or give the path of a manifest or a component
    ");
}

#[test]
fn a_core_module_that_cannot_be_adapted_says_why() {
    let sandbox = Sandbox::new();
    // It imports a function `f` from a module `env`, of type () -> ().
    let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0";
    sandbox.write("core.wasm", module);
    let run = sandbox.run(&["inspect", "core.wasm"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr
            .contains("core.wasm: the core module cannot be adapted"),
        "{}",
        run.stderr
    );
}

/// An image is told from its manifest and its config. Only its world is in the component itself.
#[test]
fn an_image_is_looked_at_without_its_component_unless_that_is_wanted() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let way = FaultyRegistry::to(registry.port());
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("a.wasm")).unwrap();
    let (at, address) = (format!("{}/demo/a:1", way.address()), way.address());
    let wash = |args: &[&str]| run_at(&sandbox, &address, args).succeeded();
    wash(&["push", "a.wasm", &at]);
    way.forget();
    let seen = wash(&["inspect", &at, "--output", "json"]).json();
    let size = std::fs::metadata(sandbox.path("a.wasm")).unwrap().len();
    assert_eq!(seen["bytes"], size);
    let layer = format!("/blobs/{}", seen["layer"].as_str().unwrap());
    let text = wash(&["inspect", &at]).stdout;
    assert!(text.contains("  wasi:http/incoming-handler@0.2."), "{text}");
    for method in ["GET", "HEAD"] {
        assert_eq!(way.count(method, &layer), 0, "{:#?}", way.requests());
    }
    assert!(way.bytes("") < size / 2, "{:#?}", way.requests());

    let wit = wash(&["inspect", &at, "--wit"]).stdout;
    assert!(
        wit.contains("export wasi:http/incoming-handler@0.2."),
        "{wit}"
    );
    assert_eq!(way.bytes(&layer), size);
    // Now it is in the cache.
    way.forget();
    assert_eq!(wash(&["inspect", &at, "--wit"]).stdout, wit);
    assert!(way.requests().is_empty(), "{:#?}", way.requests());
}
