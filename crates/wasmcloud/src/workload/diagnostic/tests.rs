//! How errors look, on one line and with an excerpt.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

fn example() -> Diagnostic {
    Diagnostic::new("found `many`, wanted a whole number")
        .in_file(Path::new("workload.yaml"))
        .at(2, 11)
        .with_source("name: a\npoolSize: many # of them\n")
}

#[test]
fn one_line_for_tools() {
    insta::assert_snapshot!(example().with_hint("write a number"), @"
    workload.yaml:2:11: found `many`, wanted a whole number
    hint: write a number
    ");
    assert_eq!(Diagnostic::new("no file").to_string(), "no file");
    let no_line = Diagnostic::new("is empty").in_file(Path::new("a.yaml"));
    assert_eq!(no_line.to_string(), "a.yaml: is empty");
}

#[test]
fn an_excerpt_for_people() {
    insta::assert_snapshot!(example().with_hint("write a number").render(false), @"
    error: found `many`, wanted a whole number
     --> workload.yaml:2:11
      |
    2 | poolSize: many …
      |           ^^^^
      |
      = hint: write a number
    ");
}

#[test]
fn columns_count_characters() {
    let wide = example().at(1, 7).with_source("é: ü, x: 日本 y");
    assert!(
        wide.render(false).contains("workload.yaml:1:7"),
        "{}",
        wide.render(false)
    );
}

#[test]
fn an_excerpt_with_a_masked_value_tells_the_real_column() {
    let source = "{name: something, imgae: x}";
    let masked = Diagnostic::new("unknown field `imgae`")
        .in_file(Path::new("a.yaml"))
        .at(1, 19)
        .with_source(source);
    insta::assert_snapshot!(masked.render(false), @"
    error: unknown field `imgae`
     --> a.yaml:1:19
      |
    1 | {name: …, imgae: …}
      |           ^^^^^
    ");
    assert!(
        !masked.render(true).contains(":::"),
        "{}",
        masked.render(true)
    );
}

#[test]
fn without_a_source_there_is_no_excerpt() {
    let plain = Diagnostic::new("is empty").in_file(Path::new("a.yaml"));
    insta::assert_snapshot!(plain.render(false), @"
    error: is empty
    --> a.yaml
    ");
}

#[test]
fn colour_is_asked_for() {
    assert!(example().render(true).contains('\u{1b}'));
    assert!(!example().render(false).contains('\u{1b}'));
}

#[test]
fn a_long_line_is_cut_around_the_column() {
    let line = format!("{}WRONG{}", "x,".repeat(5_000), ",y".repeat(5_000));
    let cut = Excerpt::new(&line, 10_001);
    assert_eq!(cut.text.get(cut.start..cut.end), Some("WRONG"));
    assert!(cut.text.chars().count() < 210, "{}", cut.text);
    let keys = "x: {},".repeat(2_000);
    let line = format!("{{{keys} WRONG, {keys}}}");
    let wrong = Diagnostic::new("found `WRONG`").in_file(Path::new("workload.yaml"));
    let shown = wrong.at(1, 12_003).with_source(line).render(false);
    assert!(shown.contains("workload.yaml:1:12003"), "{shown}");
    assert!(shown.contains("WRONG"), "{shown}");
    assert!(shown.len() < 1_000, "{shown}");
}

#[test]
fn debug_output_leaves_the_file_out() {
    assert!(!format!("{:?}", example()).contains("of them"));
}

#[test]
fn the_nearest_name_is_near() {
    let fields = ["components", "poolSize", "image", "host"];
    assert_eq!(nearest("componets", fields), Some("components"));
    assert_eq!(nearest("pool_size", fields), Some("poolSize"));
    assert_eq!(nearest("imgae", fields), Some("image"));
    assert_eq!(nearest("replicas", fields), None);
    assert_eq!(nearest("", fields), None);
    assert_eq!(nearest("zz", ["a"]), None);
}

/// What a line looks like where the message is about a place in it.
fn shown(source: &str, place: (u32, u32), message: &str) -> String {
    let shown = Diagnostic::new(message)
        .at(place.0, place.1)
        .with_source(source)
        .render(false);
    let lines = shown.lines().filter(|line| line.contains(" | "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_excerpt_shows_of_values_only_what_the_message_repeats() {
    let line = "{name: a, 'pool size': \"b, c: d\", pool_size: e f, \"g\": h} # i";
    let all = "{name: …, …: …, pool_size: …, \"g\": …} …";
    assert!(shown(line, (1, 1), "odd").contains(all));
    assert!(shown(line, (1, 8), "found `a`").contains("{name: a, …"));
    assert!(shown(line, (1, 8), "found `b`").contains(all));
    // Only the first word of a line in block style is a key.
    assert!(shown("a: b: c", (1, 4), "odd").contains("| a: …"));
    assert!(shown("- - a: b, c: d", (1, 1), "odd").contains("| - - a: …"));
}

#[test]
fn configured_parts_end_where_their_key_does() {
    let sources = [
        "a:\n  config:\n    K: V\n\n# c\n    L: w\n  b: END\n",
        "- config:\n  - V\n  b: END\n",
        "- ? config\n  : K: V\n  b: END\n",
        "config: {K: '}', L: \"\\\"}\", # }\n M: [V, 2]}\nb: END\n",
        "{\"config\":\n{\"K\": \"V\"}, \"b\": \"END\"}",
        "{config: V, b: END}",
        "Environment: &a !t {K: V}\nb: END\n",
    ];
    for source in sources {
        let configured = Configured::of(source);
        let end = source.find("END").unwrap();
        assert!(!configured.holds(end), "{source}");
        assert!(configured.holds(source.find('V').unwrap()), "{source}");
    }
    // Where the end is unclear, everything is.
    for source in ["config: {K: 'V}\nb: END", "config:\r  K: V\nb: END"] {
        assert!(Configured::of(source).holds(source.find("END").unwrap()));
    }
}

proptest! {
    #[test]
    fn lines_of_any_shape_are_masked(
        source in "[a-c:{}\\[\\],&*!|>#\"' \n\r\t-]{0,60}(config|é)?[a:{}'\", \n-]{0,20}",
        line in 0u32..5, column in 0u32..60,
    ) {
        let shown = Diagnostic::new("`a`").at(line, column).with_source(source);
        prop_assert!(!shown.render(false).is_empty());
    }


    #[test]
    fn any_place_in_any_text_renders(
        source in any::<String>(), line in 0u32..5, column in 0u32..500, message in any::<String>(),
    ) {
        let shown = Diagnostic::new(message).at(line, column).with_source(source);
        prop_assert!(!shown.render(false).is_empty());
    }

    #[test]
    fn any_column_of_a_long_line_is_cut_inside_it(line in "\\PC{150,400}", column in 0usize..500) {
        let cut = Excerpt::new(&line, column);
        prop_assert!(cut.text.get(cut.start..cut.end).is_some());
    }
}
