//! What goes wrong in YAML, and how it is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it decodes is of interest")]
struct Config {
    command: Option<String>,
    port: Option<u16>,
    mode: Option<Mode>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Slow,
}

#[derive(Debug, Deserialize)]
struct Strict {
    #[expect(dead_code, reason = "only whether it decodes is of interest")]
    name: String,
}

fn errors<T: DeserializeOwned>(text: &str) -> String {
    let error = decode_yaml::<T>(text, Path::new("config.yaml"))
        .err()
        .unwrap();
    error.to_string()
}

#[test]
fn an_empty_file_is_an_empty_mapping() {
    for text in ["", "\n", "# nothing yet\n", "---\n", "\u{feff}", "{}"] {
        assert!(
            decode_yaml::<Config>(text, Path::new("c.yaml")).is_ok(),
            "{text:?}"
        );
    }
    insta::assert_snapshot!(errors::<Strict>(""), @"config.yaml:1:1: the field `name` is missing");
}

#[test]
fn errors_say_found_wanted_and_nearest() {
    insta::assert_snapshot!(errors::<Config>("comand: make\n"), @"
    config.yaml:1:1: unknown field `comand`
    hint: did you mean `command`? known here: `command`, `port`, `mode`, `env`
    ");
    insta::assert_snapshot!(errors::<Config>("mode: fats\n"), @"
    config.yaml:1:7: unknown value `fats`
    hint: did you mean `fast`? known here: `fast`, `slow`
    ");
    insta::assert_snapshot!(errors::<Config>("port: many # really\n"), @"config.yaml:1:7: found `many`, wanted a whole number, not negative");
    insta::assert_snapshot!(errors::<Config>("port: -1\n"), @"config.yaml:1:7: found `-1`, wanted a whole number, not negative");
    insta::assert_snapshot!(errors::<Config>("env: [a]\n"), @"config.yaml:1:6: found a list, wanted a mapping (`key: value`)");
    insta::assert_snapshot!(errors::<Config>("command: {a: b}\n"), @"config.yaml:1:10: found a mapping, wanted a text");
    insta::assert_snapshot!(errors::<Config>("env:\n  A:\n"), @r#"
    config.yaml:2:4: found nothing, wanted a text
    hint: write "" for an empty text
    "#);
    insta::assert_snapshot!(errors::<Config>("command: *make\n"), @"
    config.yaml:1:10: `*make` refers to no anchor of this file
    hint: a text that begins with `*` needs quotes
    ");
    insta::assert_snapshot!(errors::<Config>("hello\n"), @"config.yaml:1:1: found `hello`, wanted a mapping (`key: value`)");
    insta::assert_snapshot!(errors::<Config>("env:\n\tA: b\n"), @"
    config.yaml:2:2: not valid YAML or JSON: tabs disallowed within this context (block indentation)
    hint: indent with spaces
    ");
    insta::assert_snapshot!(errors::<Config>("env: {\n"), @"
    config.yaml:1:6: not valid YAML or JSON: unclosed bracket '{'
    hint: check quotes, brackets and indentation; a text with `: ` or ` #` in it needs quotes
    ");
    insta::assert_snapshot!(errors::<Config>("port: 1\n---\nport: 2\n"), @"config.yaml:3:1: found a second document (`---`), wanted one");
}

#[test]
fn too_much_is_said_plainly() {
    insta::assert_snapshot!(errors::<Config>(&"[".repeat(100)), @"
    config.yaml:1:33: too much for one file: it is nested too deeply
    hint: write it flatter, with fewer aliases, or as several files
    ");
    insta::assert_snapshot!(errors::<Config>(&"? ".repeat(100)), @"
    config.yaml:1:65: too much for one file: it is nested too deeply
    hint: write it flatter, with fewer aliases, or as several files
    ");
}

#[test]
fn a_byte_order_mark_shifts_no_column() {
    assert!(errors::<Config>("\u{feff}prt: 1\n").starts_with("config.yaml:1:1: "));
}

#[test]
fn a_duplicate_key_names_both_places() {
    let first = |text: &str| errors::<Config>(text).lines().next().unwrap().to_owned();
    assert_eq!(
        first("port: 1\nenv:\n  port: x\n\n# why\nport: 2\n"),
        "config.yaml:6:1: `port` is there twice in one mapping; the first is at 1:1"
    );
    assert_eq!(
        first("{\"env\": {\"A\": \"}\", \"A\": \"2\"}}"),
        "config.yaml:1:20: `A` is there twice in one mapping; the first is at 1:10"
    );
    assert_eq!(
        first("{\n  \"port\": 1,\n  \"port\": 2\n}"),
        "config.yaml:3:3: `port` is there twice in one mapping; the first is at 2:3"
    );
}

#[test]
fn hostile_documents_are_refused_without_harm() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, last) in ('b'..='z').zip('a'..) {
        let uses = format!("*{last}, ").repeat(9);
        bomb.push_str(&format!("{this}: &{this} [{uses}]\n"));
    }
    let deep_block: String = (0..5_000)
        .map(|i| format!("{}a:\n", " ".repeat(i)))
        .collect();
    let hostile = [
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        bomb,
        deep_block.chars().take(MAX_BYTES).collect(),
        "x".repeat(MAX_BYTES + 1),
        "a: \0\n".to_owned(),
        "\0".to_owned(),
        "!!binary a: b".to_owned(),
        "&a [*a]".to_owned(),
        "&a {<<: *a}".to_owned(),
    ];
    for text in hostile {
        let error = errors::<BTreeMap<String, Vec<Config>>>(&text);
        assert!(error.len() < 1_000, "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_decodes_or_explains(text in any::<String>()) {
        if let Err(error) = decode_yaml::<Config>(&text, Path::new("c.yaml")) {
            prop_assert!(!error.render(false).is_empty());
        }
    }

    #[test]
    fn anything_like_yaml_decodes_or_explains(text in "[a-c:{}\\[\\],&*!|>#%@`\"' \n\t-]{0,60}") {
        if let Err(error) = decode_yaml::<Config>(&text, Path::new("c.yaml")) {
            prop_assert!(!error.render(false).is_empty());
        }
    }
}
