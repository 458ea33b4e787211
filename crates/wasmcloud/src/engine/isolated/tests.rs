//! Who is called over isolated links, what is shared nevertheless, and ends that do not fit.

use insta::assert_snapshot;
use wasmtime::component::Val;

use crate::engine::testing::{
    ENTRY, LEFT, PLACE, Planned, RIGHT, SEVEN, adder, component, engine, planned, planned_over,
};
use crate::workload::LinkKind;

use super::*;

fn isolated(
    engine: &crate::engine::Engine,
    components: &[(&str, Vec<u8>)],
    links: &[(&str, &str, &str)],
) -> Planned {
    planned_over(LinkKind::Isolated, engine, components, links)
}

#[tokio::test]
async fn an_isolated_callee_answers_with_what_the_host_gives_it() {
    let engine = engine(None);
    let components = [
        ("front", adder(ENTRY, &[LEFT, PLACE], 1)),
        ("back", adder(LEFT, &[SEVEN, PLACE], 20)),
    ];
    let planned = isolated(&engine, &components, &[("front", LEFT, "back")]);
    assert_eq!(planned.entry.members.len(), 1);
    assert_eq!(planned.run_all(&engine).await.unwrap(), 28);
}

/// Two fused members import the same interface; each has its own callee, and both callees the same one behind them.
#[tokio::test]
async fn members_that_are_fused_reach_callees_of_their_own() {
    let engine = engine(None);
    let components = [
        ("front", adder(ENTRY, &[RIGHT, LEFT], 1)),
        ("middle", adder(RIGHT, &[LEFT], 10)),
        ("one", adder(LEFT, &["demo:x/deep@1.0.0"], 100)),
        ("two", adder(LEFT, &["demo:x/deep@1.0.0"], 2000)),
        ("deep", adder("demo:x/deep@1.0.0", &[SEVEN], 0)),
    ];
    let links = [
        ("front", LEFT, "one"),
        ("middle", LEFT, "two"),
        ("one", "demo:x/deep@1.0.0", "deep"),
        ("two", "demo:x/deep@1.0.0", "deep"),
    ];
    let planned = isolated(&engine, &components, &links);
    assert_eq!(planned.entry.members.len(), 2);
    assert_eq!(planned.callees.len(), 3);
    assert_eq!(planned.run_all(&engine).await.unwrap(), 2125);
}

#[tokio::test]
async fn who_answers_is_no_part_of_the_callers_artifact() {
    let engine = engine(None);
    let front = adder(ENTRY, &[LEFT], 1);
    let one = [("front", front.clone()), ("one", adder(LEFT, &[], 20))];
    let other = [("front", front), ("other", adder(LEFT, &[SEVEN], 300))];
    let one = isolated(&engine, &one, &[("front", LEFT, "one")]);
    let other = isolated(&engine, &other, &[("front", LEFT, "other")]);
    let artifacts = (one.prepare(&engine).await, other.prepare(&engine).await);
    assert!(Arc::ptr_eq(&artifacts.0, &artifacts.1));
    assert_eq!(one.run_all(&engine).await.unwrap(), 21);
    assert_eq!(other.run_all(&engine).await.unwrap(), 308);
}

#[tokio::test]
async fn whether_an_import_is_isolated_is_part_of_the_artifact() {
    let engine = engine(None);
    let seven = "demo:host/seven@1.0.0";
    let alone = [("front", adder(ENTRY, &[seven], 1))];
    let both = [
        ("front", adder(ENTRY, &[seven], 1)),
        ("fake", adder(seven, &[], 100)),
    ];
    let real = planned(&engine, &alone, &[]);
    let fake = isolated(&engine, &both, &[("front", seven, "fake")]);
    let artifact = real.prepare(&engine).await;
    assert!(!Arc::ptr_eq(&artifact, &fake.prepare(&engine).await));
    assert_eq!(real.run_all(&engine).await.unwrap(), 8);
    assert_eq!(fake.run_all(&engine).await.unwrap(), 101);
}

#[tokio::test]
async fn a_callee_that_traps_makes_its_caller_trap_by_name() {
    let engine = engine(None);
    let components = [
        ("front", adder(ENTRY, &[LEFT], 1)),
        ("back", component(LEFT, &[], "unreachable")),
    ];
    let planned = isolated(&engine, &components, &[("front", LEFT, "back")]);
    let error = planned.run_all(&engine).await.unwrap_err();
    assert_snapshot!(error.root_cause(), @"component `front` called `f` of component `back`, which failed: the component trapped: wasm trap: wasm `unreachable` instruction executed");
    let culprit = planned.context().culprit(&error).unwrap().name.to_string();
    assert_eq!(culprit, "front", "it was the caller whose call failed");
}

/// What keeps a caller that wants such functions of `demo:x/left` from calling an adder.
async fn differing(functions: &str) -> String {
    let front = wat::parse_str(format!(
        r#"(component
            (import "{LEFT}" (instance {functions}))
            (instance $e)
            (export "{ENTRY}" (instance $e)))"#
    ))
    .unwrap();
    let engine = engine(None);
    let components = [("front", front), ("back", adder(LEFT, &[], 1))];
    let planned = isolated(&engine, &components, &[("front", LEFT, "back")]);
    let callee = &planned.callees[0];
    let callee = engine
        .prepare(callee.flavour, &callee.members, &planned.components)
        .await
        .unwrap();
    let caller = planned.prepare(&engine).await;
    caller.connect(0, &callee, LEFT).unwrap_err()
}

#[tokio::test]
async fn ends_that_do_not_fit_are_told_apart() {
    assert_snapshot!(differing(r#"(export "g" (func))"#).await, @"function `g` is missing");
    assert_snapshot!(differing(r#"(export "f" (func (param "a" string) (result u32)))"#).await, @"function `f` takes 1 parameters here but 0 there");
    assert_snapshot!(differing(r#"(export "f" (func (result string)))"#).await, @"function `f` returns something else there");
    assert_snapshot!(differing(r#"(export "f" (func))"#).await, @"function `f` returns something else there");
    assert_snapshot!(differing(r#"(export "f" (func async (result u32)))"#).await, @"function `f` is async here but not async there");
}

#[test]
fn values_count_with_everything_in_them() {
    let one = size_of::<Val>();
    let text = || Val::String("four".to_owned());
    let boxed = || Some(Box::new(text()));
    assert_eq!(budget::size(&[]), 0);
    assert_eq!(budget::size(&[text(), Val::U8(1)]), 2 * one + 4);
    assert_eq!(
        budget::size(&[Val::List(vec![text(), text()])]),
        3 * one + 8
    );
    assert_eq!(budget::size(&[Val::Option(boxed())]), 2 * one + 4);
    assert_eq!(budget::size(&[Val::Result(Err(boxed()))]), 2 * one + 4);
    let case = Val::Variant("other".to_owned(), boxed());
    assert_eq!(budget::size(&[case]), 2 * one + 9);
    let field = size_of::<(String, Val)>();
    let record = Val::Record(vec![("name".to_owned(), text())]);
    assert_eq!(budget::size(&[record]), one + field + 8);
}
