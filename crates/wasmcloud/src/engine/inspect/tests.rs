//! Bytes that are no component, or one that was damaged: always an error that says what they are, never a crash.

use insta::assert_snapshot;

use super::*;

fn guest(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    inspect(bytes).unwrap_err().to_string()
}

/// Where one part of a component ends and the next begins: cut there, what is left may be a smaller component.
fn seams(bytes: &[u8]) -> Vec<usize> {
    let mut depth = 0;
    let mut seams = vec![8];
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(at) if depth > 0 => {
                depth -= 1;
                seams.push(at);
            }
            payload => seams.extend(payload.as_section().map(|(_, range)| range.end)),
        }
    }
    seams
}

#[test]
fn other_kinds_of_files_are_called_by_their_names() {
    assert_snapshot!(refused(b""), @"this is not a WebAssembly component: it is an empty file");
    assert_snapshot!(refused(b"\x7fELF\x02\x01\x01"), @"this is not a WebAssembly component: it is a native executable or a compiled artifact (ELF)");
    assert_snapshot!(refused(b"\x1f\x8b\x08\0\0\0\0\0"), @"this is not a WebAssembly component: it is a gzip archive");
    assert_snapshot!(refused(b"PK\x03\x04\x14\0"), @"this is not a WebAssembly component: it is a zip archive");
    assert_snapshot!(refused(b"<!DOCTYPE html><html></html>"), @"this is not a WebAssembly component: it is an HTML or XML document");
    assert_snapshot!(refused(b"\n  (component)"), @"this is not a WebAssembly component: it is a component in text form (WAT); convert it to binary first");
    assert_snapshot!(refused(b"(module (func))"), @"this is not a WebAssembly component: it is a core module in text form (WAT); convert it to binary first");
    assert_snapshot!(refused(b"kind: Workload\nmetadata: {}\n"), @"this is not a WebAssembly component: it is text");
    assert_snapshot!(refused("  \n\t".as_bytes()), @"this is not a WebAssembly component: it is nothing but white space");
    assert_snapshot!(refused(b"\xff\xfe\x00\x01"), @"this is not a WebAssembly component: it is binary data of 4 bytes");
    assert_snapshot!(refused(b"\0as"), @"this is not a WebAssembly component: it is binary data of 3 bytes");
    assert_snapshot!(refused(b"\0asm"), @"this is not a WebAssembly component: it is WebAssembly with an unknown or cut-off header");
    assert_snapshot!(refused(b"\0asm\x07\0\0\0"), @"this is not a WebAssembly component: it is WebAssembly with an unknown or cut-off header");
    assert_snapshot!(refused(b"\0asm\x0e\0\x01\0"), @"this is not a WebAssembly component: it is WebAssembly with an unknown or cut-off header");
}

/// A character that the first 64 bytes cut in two does not make text into bytes.
#[test]
fn text_in_any_language_is_text() {
    for before in 0..4 {
        let text = format!("{}{}", "x".repeat(before), "ж".repeat(100));
        assert!(refused(text.as_bytes()).ends_with("it is text"), "{before}");
    }
}

#[test]
fn a_component_without_anything_is_a_component() {
    let inspected = inspect(&wat("(component)")).unwrap();
    assert_eq!(*inspected.world, World::default());
    assert!(!inspected.adapted);
}

#[test]
fn a_world_is_read_as_the_binary_has_it() {
    let bytes = wat(r#"(component
            (import "demo:a/types@1.0.0" (instance (type $r (record (field "x" u32))) (export "r" (type (eq $r)))))
            (import "demo:a/res@1.0.0" (instance (export "r" (type (sub resource)))))
            (import "demo:a/b@1.0.0" (instance $b (export "f" (func))))
            (import "run" (func))
            (import "odd" (instance))
            (export "demo:a/c@2.0.0" (instance $b)))"#);
    let world = inspect(&bytes).unwrap().world;
    let kinds: Vec<(&str, Option<bool>)> = world
        .imports
        .iter()
        .map(|import| {
            let types_only = match import.kind {
                ExternKind::Interface { types_only, .. } => Some(types_only),
                _ => None,
            };
            (import.name.as_str(), types_only)
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("demo:a/types@1.0.0", Some(true)),
            ("demo:a/res@1.0.0", Some(false)),
            ("demo:a/b@1.0.0", Some(false)),
            ("run", None),
            ("odd", None),
        ]
    );
    assert_eq!(world.imports[3].kind, ExternKind::Function);
    assert_eq!(world.imports[4].kind, ExternKind::Other);
    assert_eq!(
        world.exports[0].interface().unwrap().to_string(),
        "demo:a/c@2.0.0"
    );
    assert!(!world.concurrent);
}

#[test]
fn a_label_is_known_by_what_it_implements() {
    let bytes = wat(
        r#"(component (import "cache" (implements "demo:a/b@1.0.0") (instance (export "f" (func)))))"#,
    );
    let world = inspect(&bytes).unwrap().world;
    assert!(world.imports[0].is_label());
    assert_eq!(world.imports[0].name, "cache");
    assert_eq!(
        world.imports[0].interface().unwrap().to_string(),
        "demo:a/b@1.0.0"
    );
}

/// What keeps the only import from being called across stores, in words.
fn confined(contents: &str) -> Option<String> {
    let bytes = wat(&format!(
        r#"(component (import "demo:a/b@1.0.0" (instance {contents})))"#
    ));
    let world = inspect(&bytes).unwrap().world;
    world.imports[0].confined().map(|confined| match confined {
        Confined::Function {
            name,
            returned,
            value,
        } => {
            let verb = if *returned { "returns" } else { "takes" };
            format!("{name} {verb} {value}")
        }
        Confined::Resource { name } => format!("defines {name}"),
    })
}

#[test]
fn plain_values_of_any_kind_may_cross_stores() {
    let plain = r#"
        (type $r (record (field "x" u32) (field "y" (list string))))
        (export "r" (type $r1 (eq $r)))
        (type $v (variant (case "a" (option $r1)) (case "b" (tuple f64 char bool)) (case "c")))
        (export "v" (type $v1 (eq $v)))
        (type $f (flags "one" "two"))
        (export "f" (type $f1 (eq $f)))
        (type $e (enum "one" "two"))
        (export "e" (type $e1 (eq $e)))
        (export "call" (func async (param "v" $v1) (param "f" $f1) (result (result $e1 (error string)))))"#;
    assert_eq!(confined(plain), None);
    assert_eq!(confined(""), None);
}

#[test]
fn the_first_function_with_something_confined_is_named_with_what_it_is() {
    let resource = r#"(export "handle" (type $h (sub resource)))"#;
    let cases = [
        (
            format!(r#"{resource} (export "f" (func)) (export "open" (func (result (own $h))))"#),
            "open returns a resource (`handle`)",
        ),
        (
            format!(
                r#"{resource} (export "[method]handle.read" (func (param "self" (borrow $h)) (result (own $h))))"#
            ),
            "[method]handle.read takes a resource (`handle`)",
        ),
        (
            format!(
                r#"{resource} (export "f" (func (result (result (tuple u8 (list (option (own $h)))) (error string)))))"#
            ),
            "f returns a resource (`handle`)",
        ),
        (
            r#"(export "f" (func (param "s" (stream u8)) (param "t" (future u8))))"#.to_owned(),
            "f takes a stream",
        ),
        (
            r#"(export "f" (func (result (list (future string)))))"#.to_owned(),
            "f returns a future",
        ),
        (
            r#"(export "f" (func (param "e" error-context)))"#.to_owned(),
            "f takes an error context",
        ),
        (resource.to_owned(), "defines handle"),
    ];
    for (contents, wanted) in cases {
        assert_eq!(confined(&contents).as_deref(), Some(wanted), "{contents}");
    }
}

#[test]
fn types_within_types_are_looked_through() {
    let mut types = r#"(type $t0 (list u8))"#.to_owned();
    for n in 1..17 {
        types += &format!("(type $t{n} (tuple $t{p} (option $t{p})))", p = n - 1);
    }
    let nested = format!(r#"{types} (export "f" (func (param "t" $t16)))"#);
    assert_eq!(confined(&nested), None);
    let streaming = nested.replace("(list u8)", "(stream u8)");
    assert_eq!(confined(&streaming).unwrap(), "f takes a stream");
}

#[test]
fn guests_are_told_apart_by_whether_they_need_the_async_abi() {
    for (path, concurrent) in [(test_guests::HTTP_P2, false), (test_guests::HTTP_P3, true)] {
        assert_eq!(
            inspect(&guest(path)).unwrap().world.concurrent,
            concurrent,
            "{path}"
        );
    }
}

#[test]
fn a_component_that_breaks_off_is_refused() {
    for path in [test_guests::HTTP_P2, test_guests::HTTP_P3, test_guests::MW] {
        let bytes = guest(path);
        let seams = seams(&bytes);
        let whole = inspect(&bytes).unwrap().world.exports.len();
        for part in 0..64 {
            let end = bytes.len() * part / 64;
            match inspect(&bytes[..end]) {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(inspected) => {
                    assert!(
                        seams.contains(&end),
                        "{path} cut at {end} is taken for a component"
                    );
                    assert!(inspected.world.exports.len() < whole);
                }
            }
        }
    }
    let bytes = guest(test_guests::HTTP_P2);
    assert!(refused(&bytes[..bytes.len() / 2]).contains("unexpected end-of-file"));
}

#[test]
fn flipped_bits_never_crash() {
    for (path, flips) in [(test_guests::HTTP_P2, 400), (test_guests::HTTP_P3, 100)] {
        let bytes = guest(path);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..flips {
            let mut damaged = bytes.clone();
            damaged[random.usize(..bytes.len())] ^= 1 << random.u32(..8);
            // Many flips change code into other code, so most of these are fine.
            let _ = inspect(&damaged);
        }
    }
}

/// The types at the end of a component are where damage does most: flips there, and in small components.
#[test]
fn flipped_bits_in_types_never_crash() {
    let small = wat(r#"(component
            (import "demo:a/types@1.0.0" (instance $types
                (export "r" (type $r (sub resource)))
                (type $v (variant (case "a" u32) (case "b" (list string)) (case "c" (own $r))))
                (export "v" (type $w (eq $v)))
                (export "[method]r.f" (func (param "self" (borrow $r)) (param "v" $w) (result (option $w))))))
            (alias export $types "r" (type $r))
            (alias export $types "v" (type $v))
            (import "demo:a/b@1.0.0" (instance $b
                (alias outer 1 $v (type $v1))
                (export "v" (type $w (eq $v1)))
                (export "f" (func (param "v" $w) (result (tuple u8 (result string (error $w))))))))
            (core module $m (memory (export "m") 1))
            (core instance (instantiate $m))
            (component $inner (import "x" (func)) (export "y" (func 0)))
            (export "demo:a/c@1.0.0" (instance $b)))"#);
    inspect(&small).unwrap();
    for index in 0..small.len() {
        for bit in 0..8 {
            let mut damaged = small.clone();
            damaged[index] ^= 1 << bit;
            let _ = inspect(&damaged);
        }
        let _ = inspect(&small[..index]);
    }
}

#[test]
fn what_the_reader_of_types_does_not_know_is_an_error_and_no_crash() {
    let bytes = wat(r#"(component
            (import "m" (core module
                (type $f (func))
                (import "" "f" (func (exact (type $f)))))))"#);
    assert_snapshot!(refused(&bytes), @"the component is damaged or uses features that this version does not know: its imports and exports have types that are not known");
}

#[test]
fn deep_nesting_is_refused_or_read_but_never_crashes() {
    for depth in [50, 200, 5000] {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..depth {
            let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
            let mut length = bytes.len();
            while length >= 0x80 {
                outer.push(0x80 | (length & 0x7f) as u8);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(&bytes);
            bytes = outer;
        }
        match inspect(&bytes) {
            Ok(inspected) => assert!(inspected.world.exports.is_empty()),
            Err(error) => assert!(matches!(error, InspectError::Invalid { .. }), "{error}"),
        }
    }
}

#[test]
fn a_section_that_claims_more_than_there_is_is_refused() {
    let with = |section: &[u8]| [b"\0asm\x0d\0\x01\0", section].concat();
    assert_snapshot!(refused(&with(b"\x0a\xff\xff\xff\xff\x0f")), @"the component is damaged or uses features that this version does not know: unexpected end-of-file (at offset 0xe)");
    assert_snapshot!(refused(&with(b"\x07\xff\xff\xff\x07\x01")), @"the component is damaged or uses features that this version does not know: unexpected end-of-file (at offset 0xd)");
    // A section of six bytes with four thousand million imports in it.
    assert_snapshot!(refused(&with(b"\x0a\x06\xff\xff\xff\xff\x0f\x00")), @"the component is damaged or uses features that this version does not know: unexpected end-of-file (at offset 0x10)");
}
