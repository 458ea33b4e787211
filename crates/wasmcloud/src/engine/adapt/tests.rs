//! Core modules: those that were built for WASI preview 1 become components, the others are told why not.

use insta::assert_snapshot;

use crate::engine::inspect::{Inspected, inspect};

fn adapted(text: &str) -> Inspected {
    inspect(&wat::parse_str(text).unwrap()).unwrap()
}

fn refused(text: &str) -> String {
    let module = wat::parse_str(text).unwrap();
    inspect(&module).unwrap_err().to_string()
}

fn exports(inspected: &Inspected) -> Vec<String> {
    let exports = inspected.world.exports.iter();
    exports
        .filter_map(|export| export.interface())
        .map(|interface| {
            format!(
                "{}:{}/{}",
                interface.namespace, interface.package, interface.name
            )
        })
        .collect()
}

const EXIT: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;

#[test]
fn a_command_becomes_a_component_that_runs() {
    let command = adapted(&format!(
        r#"(module {EXIT} (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const 0))))"#
    ));
    assert!(command.adapted);
    assert_eq!(exports(&command), ["wasi:cli/run"]);
    assert!(!command.world.concurrent);
}

#[test]
fn a_reactor_with_a_world_exports_what_the_world_says() {
    let module = std::fs::read(test_guests::P1_MODULE).unwrap();
    let reactor = inspect(&module).unwrap();
    assert!(reactor.adapted);
    assert!(exports(&reactor).contains(&"wasi:http/incoming-handler".to_owned()));
    let again = inspect(&reactor.bytes).unwrap();
    assert!(!again.adapted);
    assert_eq!(again.world, reactor.world);
}

#[test]
fn adapting_gives_the_same_bytes_each_time() {
    let module = std::fs::read(test_guests::P1_MODULE).unwrap();
    assert_eq!(
        inspect(&module).unwrap().digest,
        inspect(&module).unwrap().digest
    );
}

#[test]
fn a_module_that_says_nothing_of_a_world_is_told_what_to_do() {
    assert_snapshot!(refused("(module)"), @"the core module cannot be adapted to a component: it embeds no component world and exports no `_start`, so nothing says what it would export; build it for the target wasm32-wasip2, or embed a world with `wasm-tools component embed`");
    assert_snapshot!(refused(r#"(module (func (export "add") (param i32 i32) (result i32) (i32.const 0)))"#), @"the core module cannot be adapted to a component: it embeds no component world and exports no `_start`, so nothing says what it would export; build it for the target wasm32-wasip2, or embed a world with `wasm-tools component embed`");
    assert_snapshot!(refused(&format!("(module {EXIT})")), @"the core module cannot be adapted to a component: it embeds no component world and exports no `_start`, so nothing says what it would export; build it for the target wasm32-wasip2, or embed a world with `wasm-tools component embed`");
}

#[test]
fn a_command_without_wasi_is_told_so() {
    assert_snapshot!(refused(r#"(module (func (export "_start")))"#), @"the core module cannot be adapted to a component: it imports nothing of WASI, so there is nothing to adapt; build it for the target wasm32-wasip2 instead");
}

#[test]
fn a_module_that_imports_from_elsewhere_is_told_from_where() {
    assert_snapshot!(refused(r#"(module (import "env" "f" (func)) (func (export "_start")))"#), @"the core module cannot be adapted to a component: it imports from `env`, for which there is no adapter (there is one for `wasi_snapshot_preview1`); build it for the target wasm32-wasip2 instead");
    assert_snapshot!(refused(r#"(module (import "a" "f" (func)) (import "env" "g" (func)))"#), @"the core module cannot be adapted to a component: it imports from `env`, for which there is no adapter (there is one for `wasi_snapshot_preview1`); build it for the target wasm32-wasip2 instead");
    assert_snapshot!(refused(r#"(module (import "wasi_unstable" "fd_write" (func)) (func (export "_start")))"#), @"the core module cannot be adapted to a component: it imports from `wasi_unstable`, for which there is no adapter (there is one for `wasi_snapshot_preview1`); build it for the target wasm32-wasip2 instead");
    assert_snapshot!(refused(&format!(
        r#"(module {EXIT} (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))"#
    )), @"the core module cannot be adapted to a component: it imports from `env`, for which there is no adapter (there is one for `wasi_snapshot_preview1`); build it for the target wasm32-wasip2 instead");
}

#[test]
fn a_module_that_uses_preview_1_wrongly_is_refused() {
    assert_snapshot!(refused(
        r#"(module (import "wasi_snapshot_preview1" "no_such_thing" (func))
            (memory (export "memory") 1) (func (export "_start")))"#
    ), @"the core module cannot be adapted to a component: failed to decode world from module: failed to validate the imports of the adapter module `wasi_snapshot_preview1`: adapter module did not export `no_such_thing`");
    assert_snapshot!(refused(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
            (memory (export "memory") 1) (func (export "_start")))"#
    ), @"the core module cannot be adapted to a component: failed to decode world from module: failed to validate the imports of the adapter module `wasi_snapshot_preview1`: type mismatch for function `proc_exit`: expected `[I64] -> []` but found `[I32] -> []`");
    assert_snapshot!(refused(&format!(r#"(module {EXIT} (memory (export "memory") 1) (global (export "_start") i32 (i32.const 0)))"#)), @"the core module cannot be adapted to a component: it embeds no component world and exports no `_start`, so nothing says what it would export; build it for the target wasm32-wasip2, or embed a world with `wasm-tools component embed`");
}

#[test]
fn a_broken_module_is_invalid() {
    assert_snapshot!(inspect(b"\0asm\x01\0\0\0\x01\x7f").unwrap_err(), @"the component is damaged or uses features that this version does not know: unexpected end-of-file (at offset 0xa)");
    assert_snapshot!(inspect(b"\0asm\x01\0\0\0\x0a\x04\x01\x02\0\x0b").unwrap_err(), @"the component is damaged or uses features that this version does not know: function section is absent but code section has non-zero count (at offset 0xa)");
}

#[test]
fn damaged_modules_never_crash() {
    let module = std::fs::read(test_guests::P1_MODULE).unwrap();
    for part in 0..64 {
        let _ = inspect(&module[..module.len() * part / 64]);
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..100 {
        let mut damaged = module.clone();
        damaged[random.usize(..module.len())] ^= 1 << random.u32(..8);
        let _ = inspect(&damaged);
    }
    // The world that is embedded in a module is at its end.
    let tail = module.len().saturating_sub(6000);
    for _ in 0..200 {
        let mut damaged = module.clone();
        damaged[random.usize(tail..module.len())] ^= 1 << random.u32(..8);
        let _ = inspect(&damaged);
    }
}
