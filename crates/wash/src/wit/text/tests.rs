//! Texts of WIT as people write them.

use super::*;

const TEXT: &str = "package demo:app@0.1.0;

/// Types. import not:this/one;
interface types {
  use wasi:io/streams@0.2.3.{input-stream};
  f: func();
}

/* world no { /* nested */ import a:b/c; } */
world app {
  /// The store.
  @since(version = 0.1.0)
  import wasi:keyvalue/store@0.2.0-draft; // why
  // A note that stays.
  import demo:greet/greeter@0.1.0;
  import local: interface {
    use demo:greet/types@0.1.0.{t};
  }
  export run: func();
  include wasi:cli/imports@0.2.3 with { a as b }
  export demo:greet/other@0.1.0;
}

world bare {}
";

fn package(text: &str) -> PackageRef {
    text.parse().unwrap()
}

#[test]
fn packages_and_worlds_are_found() {
    let scan = scan(TEXT);
    let names: Vec<String> = scan
        .mentions
        .iter()
        .map(|it| it.package.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "wasi:io",
            "wasi:keyvalue",
            "demo:greet",
            "demo:greet",
            "wasi:cli",
            "demo:greet"
        ]
    );
    let worlds: Vec<&str> = scan.worlds.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(worlds, ["app", "bare"]);
}

#[test]
fn an_import_goes_behind_the_last_one_and_an_empty_world_is_opened() {
    let scan = scan(TEXT);
    let changed = insert(TEXT, &scan.worlds[0], "import x:y/z@1.0.0;");
    assert!(
        changed.contains("with { a as b }\n  import x:y/z@1.0.0;\n  export"),
        "{changed}"
    );
    let changed = insert(TEXT, &scan.worlds[1], "import x:y/z@1.0.0;");
    assert!(
        changed.ends_with("world bare {\n  import x:y/z@1.0.0;\n}\n"),
        "{changed}"
    );
    let text = "world one { export f: func(); }\n";
    let changed = insert(text, &super::scan(text).worlds[0], "import x:y/z;");
    assert_eq!(
        changed,
        "world one {\n  import x:y/z;\nexport f: func(); }\n"
    );
}

#[test]
fn a_statement_goes_with_its_documentation_and_nothing_else_does() {
    let (changed, count) = remove(TEXT, &package("wasi:keyvalue"), None);
    assert_eq!(count, 1);
    assert!(!changed.contains("wasi:keyvalue"), "{changed}");
    assert!(changed.contains("// A note that stays."), "{changed}");
    let (changed, count) = remove(
        TEXT,
        &package("demo:greet"),
        Some(&"0.9.0".parse().unwrap()),
    );
    assert_eq!((changed.as_str(), count), (TEXT, 0));
    let (changed, _) = remove(TEXT, &package("wasi:cli"), None);
    assert!(
        !changed.contains("wasi:cli") && !changed.contains("a as b"),
        "{changed}"
    );
}

#[test]
fn versions_are_replaced_where_the_package_is_named() {
    let (from, to) = ("0.1.0".parse().unwrap(), "0.1.2".parse().unwrap());
    let changed = reversion(TEXT, &package("demo:greet"), &from, &to);
    assert_eq!(changed.matches("@0.1.2").count(), 3);
    assert!(changed.contains("demo:greet/types@0.1.2.{t}"));
    assert!(changed.contains("package demo:app@0.1.0;"));
}

#[test]
fn nonsense_is_looked_through_without_a_panic() {
    for text in [
        "",
        "{",
        "}}}",
        "world",
        "world {",
        "/*",
        "//",
        "é{;}",
        "import a:b/c@;",
        "world w { import a:b/c@1.0.0",
        "w/*",
        "a//",
    ] {
        let found = scan(text);
        for world in &found.worlds {
            let _ = insert(text, world, "import x:y/z;");
        }
        let _ = remove(text, &package("a:b"), None);
    }
}
