//! A trap is put down to the component whose code it happened in, or to nobody: never to another one.

use super::*;
use crate::engine::testing::{ENTRY, LEFT, RIGHT, SEVEN, adder, component, engine, planned};

/// Traps, in a function that is too big to be inlined.
fn trapping(export: &str) -> Vec<u8> {
    let bulk = "(drop (i32.add (i32.const 1) (i32.const 2)))".repeat(2000);
    component(export, &[], &format!("{bulk} (unreachable)"))
}

async fn culprit(components: &[(&str, Vec<u8>)], links: &[(&str, &str, &str)]) -> Option<String> {
    let engine = engine(None);
    let (error, culprit) = planned(&engine, components, links).failure(&engine).await;
    assert!(
        error.downcast_ref::<wasmtime::WasmBacktrace>().is_some(),
        "{error:?}"
    );
    culprit
}

#[tokio::test]
async fn the_component_that_traps_is_the_culprit_and_not_its_caller() {
    let front = ("front", adder(ENTRY, &[LEFT], 1));
    let blamed = culprit(&[front, ("back", trapping(LEFT))], &[]).await;
    assert_eq!(blamed.as_deref(), Some("back"));
}

#[tokio::test]
async fn the_front_is_the_culprit_when_it_traps_itself() {
    let front = component(ENTRY, &[LEFT], "(drop (call 0)) (unreachable)");
    let blamed = culprit(&[("front", front), ("back", adder(LEFT, &[SEVEN], 1))], &[]).await;
    assert_eq!(blamed.as_deref(), Some("front"));
}

#[tokio::test]
async fn a_lone_component_is_the_culprit() {
    let blamed = culprit(&[("front", trapping(ENTRY))], &[]).await;
    assert_eq!(blamed.as_deref(), Some("front"));
}

#[tokio::test]
async fn the_deepest_of_a_chain_is_the_culprit() {
    let chain = [
        ("front", adder(ENTRY, &[LEFT], 1)),
        ("middle", adder(LEFT, &[RIGHT], 1)),
        ("end", trapping(RIGHT)),
    ];
    assert_eq!(culprit(&chain, &[]).await.as_deref(), Some("end"));
}

/// A function that is inlined into another component's leaves no frame of its own. Its caller did not trap.
#[tokio::test]
async fn nobody_is_blamed_for_code_that_was_inlined() {
    let small = component(LEFT, &[], "(unreachable)");
    let pair = [("front", adder(ENTRY, &[LEFT], 1)), ("back", small)];
    assert_eq!(culprit(&pair, &[]).await, None);
}

/// Two members have the same code, so which of them trapped cannot be told; their caller it was not.
#[tokio::test]
async fn nobody_is_blamed_where_it_could_be_two() {
    let twins = [
        ("front", adder(ENTRY, &[LEFT, RIGHT], 1)),
        ("middle", adder(RIGHT, &[LEFT], 1)),
        ("one", trapping(LEFT)),
        ("two", trapping(LEFT)),
    ];
    let links = [("front", LEFT, "one"), ("middle", LEFT, "two")];
    assert_eq!(culprit(&twins, &links).await, None);
}

#[tokio::test]
async fn an_error_without_a_backtrace_has_no_culprit() {
    let engine = engine(None);
    let planned = planned(&engine, &[("front", trapping(ENTRY))], &[]);
    let context = planned.context();
    assert!(context.culprit(&wasmtime::format_err!("no trap")).is_none());
}

#[test]
fn modules_are_found_at_any_depth_with_and_without_names() {
    let component = wat::parse_str(
        r#"(component
            (core module $named (func (export "b")) (func (export "a")))
            (component (core module (memory (export "m") 1))))"#,
    )
    .unwrap();
    let shapes = ModuleShape::all(&component).unwrap();
    let shapes: Vec<(Option<&str>, Vec<&str>)> = shapes
        .iter()
        .map(|shape| {
            let exports = shape.exports.iter().map(String::as_str);
            (shape.name.as_deref(), exports.collect())
        })
        .collect();
    assert_eq!(shapes, [(Some("named"), vec!["a", "b"]), (None, vec!["m"])]);
}
