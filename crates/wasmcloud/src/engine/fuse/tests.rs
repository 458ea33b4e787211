//! Members that fit and members that do not.

use insta::assert_snapshot;

use super::*;
use crate::engine::testing::{ENTRY, LEFT, PLACE, Planned, RIGHT, SEVEN, adder, engine, planned};

fn fused(planned: &Planned) -> Result<Arc<[u8]>, FuseError> {
    let members = planned.entry.members.iter();
    let members: Vec<Inspected> = members
        .map(|member| planned.components[&member.component].clone())
        .collect();
    fuse(&planned.entry.members, &members)
}

/// An import of `demo:x/left` with other functions than the sibling has.
fn wants(functions: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (import "{LEFT}" (instance {functions}))
            (instance $e)
            (export "{ENTRY}" (instance $e)))"#
    ))
    .unwrap()
}

fn refused(functions: &str) -> String {
    let engine = engine(None);
    let components = [("front", wants(functions)), ("back", adder(LEFT, &[], 1))];
    fused(&planned(&engine, &components, &[]))
        .unwrap_err()
        .to_string()
}

#[test]
fn labels_are_words_that_begin_with_letters_and_carry_the_position() {
    for (import, wanted) in [
        ("wasi:cli/stdout@0.2.6", "c3-wasi-cli-stdout-v0p2p6"),
        (
            "wasi:config/store@0.2.0-rc.1",
            "c3-wasi-config-store-v0p2p0-rcp1",
        ),
        ("a:b/c@1.0.0-2026+x", "c3-a-b-c-v1p0p0-n2026-x"),
        ("sessions", "c3-sessions"),
    ] {
        assert_eq!(label(3, import), wanted);
        assert_eq!(position(wanted), Some(Position(3)));
    }
    assert_eq!(position("wasi:cli/stdout@0.2.6"), None);
    assert_eq!(position("cache-main"), None);
}

#[test]
fn a_function_of_another_type_is_named_with_both_components() {
    assert_snapshot!(refused(r#"(export "f" (func (param "a" string) (result u32)))"#), @"component `front` cannot call component `back`: what `demo:x/left@1.0.0` means differs between the two: mismatched instantiation argument `demo:x/left@1.0.0`: mismatched type for export `f`: expected function with parameter count 1, found parameter count 0");
    assert_snapshot!(refused(r#"(export "f" (func (result string)))"#), @"component `front` cannot call component `back`: what `demo:x/left@1.0.0` means differs between the two: mismatched instantiation argument `demo:x/left@1.0.0`: mismatched type for export `f`: mismatched type for function result: expected string, found u32");
}

#[test]
fn a_function_that_the_sibling_lacks_is_named_with_both_components() {
    assert_snapshot!(refused(r#"(export "f" (func (result u32))) (export "g" (func))"#), @"component `front` cannot call component `back`: what `demo:x/left@1.0.0` means differs between the two: mismatched instantiation argument `demo:x/left@1.0.0`: instance is missing expected function export `g`");
}

#[test]
fn a_sibling_may_offer_more_than_is_wanted() {
    let engine = engine(None);
    let components = [("front", wants("")), ("back", adder(LEFT, &[], 1))];
    // Without functions the import is one of plain types, which nobody has to answer: the link makes it a fused one.
    let planned = planned(&engine, &components, &[("front", LEFT, "back")]);
    assert_eq!(planned.entry.members.len(), 2);
    fused(&planned).unwrap();
}

#[test]
fn the_same_members_make_the_same_bytes_whatever_they_are_called() {
    let engine = engine(None);
    let bytes = |front: &'static str, left: &'static str, right: &'static str| {
        let components = [
            (front, adder(ENTRY, &[LEFT, RIGHT, PLACE], 1)),
            (left, adder(LEFT, &[PLACE, SEVEN], 2)),
            (right, adder(RIGHT, &[PLACE, SEVEN], 3)),
        ];
        fused(&planned(&engine, &components, &[])).unwrap()
    };
    assert_eq!(bytes("a", "b", "c"), bytes("z", "y", "x"));
}

#[test]
fn a_lone_component_is_not_touched() {
    let engine = engine(None);
    let alone = planned(&engine, &[("front", adder(ENTRY, &[PLACE], 1))], &[]);
    let bytes = fused(&alone).unwrap();
    let name = &alone.entry.members[0].component;
    assert!(Arc::ptr_eq(&bytes, &alone.components[name].bytes));
}

#[test]
fn members_with_the_same_bytes_are_in_there_once() {
    let engine = engine(None);
    let back = adder(LEFT, &[PLACE], 1);
    let both = [
        ("front", adder(ENTRY, &[LEFT, RIGHT], 1)),
        ("middle", adder(RIGHT, &[LEFT], 1)),
        ("one", back.clone()),
        ("two", back.clone()),
    ];
    let links = [("front", LEFT, "one"), ("middle", LEFT, "two")];
    let planned = planned(&engine, &both, &links);
    assert_eq!(planned.entry.members.len(), 4);
    let bytes = fused(&planned).unwrap();
    let there = bytes.windows(back.len()).filter(|window| *window == back);
    assert_eq!(there.count(), 1);
}
