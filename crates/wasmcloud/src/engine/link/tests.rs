//! Components that do not fit the host although the names are right, and types that nobody answers.

use insta::assert_snapshot;

use crate::engine::PrepareError;
use crate::engine::testing::{ENTRY, PLACE, SEVEN, engine, planned};

fn importing(import: &str, contents: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (import "{import}" (instance {contents}))
            (instance $e)
            (export "{ENTRY}" (instance $e)))"#
    ))
    .unwrap()
}

async fn refused(component: Vec<u8>) -> String {
    let engine = engine(None);
    let planned = planned(&engine, &[("front", component)], &[]);
    let error = planned.try_prepare(&engine).await.unwrap_err();
    assert!(matches!(error, PrepareError::Link(_)), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_host_function_of_another_type_is_named() {
    let string = r#"(export "f" (func (result string)))"#;
    assert_snapshot!(refused(importing(SEVEN, string)).await, @"the component does not fit this host: component imports instance `demo:host/seven@1.0.0`, but a matching implementation was not found in the linker: instance export `f` has the wrong type: type mismatch with results: expected `u32` found `string`");
    assert_snapshot!(refused(importing(PLACE, string)).await, @"the component does not fit this host: component imports instance `demo:host/place@1.0.0`, but a matching implementation was not found in the linker: instance export `f` has the wrong type: type mismatch with results: expected `u32` found `string`");
    let environment = r#"(export "get-environment" (func (result u64)))"#;
    assert_snapshot!(refused(importing("wasi:cli/environment@0.2.0", environment)).await, @"the component does not fit this host: component imports instance `wasi:cli/environment@0.2.0`, but a matching implementation was not found in the linker: instance export `get-environment` has the wrong type: type mismatch with results: expected `list` found `u64`");
}

#[tokio::test]
async fn a_host_function_that_is_not_there_is_named() {
    let more = r#"(export "f" (func (result u32))) (export "g" (func))"#;
    assert_snapshot!(refused(importing(SEVEN, more)).await, @"the component does not fit this host: component imports instance `demo:host/seven@1.0.0`, but a matching implementation was not found in the linker: instance export `g` has the wrong type: function implementation is missing");
}

/// Both components import the types, one of them and a third component export them; nobody has to answer.
#[tokio::test]
async fn plain_types_that_nobody_answers_link() {
    const TYPES: &str = "demo:greet/types@1.0.0";
    const GREETER: &str = "demo:greet/greeter@1.0.0";
    let import_types = format!(
        r#"(import "{TYPES}" (instance $types (type $r (record (field "x" u32))) (export "r" (type (eq $r)))))
           (alias export $types "r" (type $r))"#
    );
    let back = wat::parse_str(format!(
        r#"(component {import_types}
            (core module (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
            (core instance $m (instantiate 0))
            (func $f (param "r" $r) (result u32) (canon lift (core func $m "f")))
            (component $shim
                (type $own (record (field "x" u32)))
                (import "r" (type $r0 (eq $own)))
                (import "f" (func $f (param "r" $r0) (result u32)))
                (export $r1 "r" (type $r0))
                (export "f" (func $f) (func (param "r" $r1) (result u32))))
            (instance $e (instantiate $shim (with "r" (type $r)) (with "f" (func $f))))
            (export "{GREETER}" (instance $e)))"#
    ))
    .unwrap();
    let front = wat::parse_str(format!(
        r#"(component {import_types}
            (import "{GREETER}" (instance $g
                (alias outer 1 $r (type $r0))
                (export "r" (type $r1 (eq $r0)))
                (export "f" (func (param "r" $r1) (result u32)))))
            (core func $f (canon lower (func $g "f")))
            (core module
                (import "" "f" (func (param i32) (result i32)))
                (func (export "run") (result i32) (call 0 (i32.const 41))))
            (core instance $m (instantiate 0 (with "" (instance (export "f" (func $f))))))
            (func $run (result u32) (canon lift (core func $m "run")))
            (instance $e (export "run" (func $run)))
            (export "{ENTRY}" (instance $e)))"#
    ))
    .unwrap();
    let other = wat::parse_str(format!(
        r#"(component {import_types} (export "{TYPES}" (instance $types)))"#
    ))
    .unwrap();
    let engine = engine(None);
    let components = [("front", front), ("back", back), ("other", other)];
    let planned = planned(&engine, &components, &[]);
    assert_eq!(planned.entry.members.len(), 2);
    let artifact = planned.prepare(&engine).await;
    assert_eq!(planned.run(&artifact).await.unwrap(), 42);
}
