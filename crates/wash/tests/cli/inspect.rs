//! `wash inspect` of single files; manifests of real projects are inspected by the tests of the examples.

use insta::assert_snapshot;

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
