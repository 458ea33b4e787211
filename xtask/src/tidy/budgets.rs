//! Files and functions stay small enough to read in one go.

use super::source::{Source, Token};
use super::{Finding, Rule};

/// A file aims at this many lines without its tests …
const FILE_AIM: usize = 400;
/// … and stops at this many.
const FILE_LIMIT: usize = 800;
/// A function stops at this many lines, signature and closing brace included.
const FUNCTION_LIMIT: usize = 80;

/// Files and functions over the limit.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.lines_without_tests();
    let path = source.path.display();
    if lines > FILE_LIMIT {
        let message =
            format!("{lines} lines without tests, more than {FILE_LIMIT}: split the file");
        findings.push(finding(source, 0, path.to_string(), message));
    }
    for function in functions(&source.tokens)
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LIMIT)
    {
        let Function { name, line, lines } = function;
        let message =
            format!("`{name}` has {lines} lines, more than {FUNCTION_LIMIT}: split the function");
        findings.push(finding(source, line, format!("{path}::{name}"), message));
    }
    findings
}

/// Files over their aim, the longest first.
pub(super) fn warnings(sources: &[Source]) -> Vec<String> {
    let mut long: Vec<_> = sources
        .iter()
        .map(|source| (source.lines_without_tests(), source.path.display()))
        .filter(|(lines, _)| *lines > FILE_AIM)
        .collect();
    long.sort_by_key(|(lines, _)| std::cmp::Reverse(*lines));
    long.into_iter()
        .map(|(lines, path)| format!("{path}: {lines} lines without tests (aim: {FILE_AIM})"))
        .collect()
}

fn finding(source: &Source, line: usize, key: String, message: String) -> Finding {
    Finding {
        rule: Rule::Budgets,
        path: source.path.clone(),
        line,
        key,
        message,
    }
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function that has a body, nested ones too.
fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut functions = Vec::new();
    for (index, pair) in tokens.windows(2).enumerate() {
        let [keyword, name] = pair else { continue };
        let is_name = name
            .text
            .starts_with(|c: char| c.is_alphabetic() || c == '_');
        if keyword.text != "fn" || !is_name {
            continue;
        }
        let rest = tokens.get(index..).unwrap_or_default();
        if let Some(end) = end_of_body(rest) {
            let lines = end.saturating_sub(keyword.line) + 1;
            functions.push(Function {
                name: name.text.clone(),
                line: keyword.line,
                lines,
            });
        }
    }
    functions
}

/// The line of the brace that closes the first body; none for a signature that ends in `;`.
fn end_of_body(tokens: &[Token]) -> Option<usize> {
    let mut nesting = 0_usize;
    let mut in_body = false;
    for token in tokens {
        match token.text.as_str() {
            ";" if nesting == 0 => return None,
            "{" if nesting == 0 => {
                in_body = true;
                nesting = 1;
            }
            "{" | "(" | "[" => nesting += 1,
            "}" | ")" | "]" => nesting = nesting.checked_sub(1)?,
            _ => {}
        }
        if in_body && nesting == 0 {
            return Some(token.line);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::source::sample;
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        check(&sample("src/a.rs", text))
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn a_long_function_is_found_and_a_short_one_is_not() {
        let body = "    let _ = [0; 2];\n".repeat(FUNCTION_LIMIT - 2);
        assert!(messages(&format!("fn short(a: [u8; 2]) {{\n{body}}}\n")).is_empty());
        let long = messages(&format!("fn long(a: [u8; 2]) {{\n{body}\n}}\n"));
        assert_eq!(long.len(), 1);
        assert!(long[0].contains("`long` has 81 lines"), "{long:?}");
    }

    #[test]
    fn a_signature_without_a_body_has_no_length() {
        let lines = "const A: u8 = 0;\n".repeat(FUNCTION_LIMIT + 1);
        assert!(
            messages(&format!(
                "trait T {{ fn f(&self) -> [u8; 4]; }}\n{lines}type F = fn(u8);\n"
            ))
            .is_empty()
        );
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let lines = |count: usize| "const A: u8 = 0;\n".repeat(count);
        assert!(messages(&lines(FILE_LIMIT + 1))[0].contains("801 lines"));
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            lines(FILE_LIMIT),
            lines(500)
        );
        assert!(messages(&tested).is_empty());
    }

    #[test]
    fn files_over_the_aim_are_listed_longest_first() {
        let file = |path: &str, lines: usize| sample(path, &"const A: u8 = 0;\n".repeat(lines));
        let warnings = warnings(&[
            file("a.rs", 10),
            file("b.rs", FILE_AIM + 1),
            file("c.rs", FILE_AIM + 2),
        ]);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("c.rs"), "{warnings:?}");
    }
}
