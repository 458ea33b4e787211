//! How errors look, on one line and with an excerpt.

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
    2 | poolSize: many # of them
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
    let shown = example().at(1, 10_001).with_source(line).render(false);
    assert!(shown.contains("workload.yaml:1:10001"), "{shown}");
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

proptest! {
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
