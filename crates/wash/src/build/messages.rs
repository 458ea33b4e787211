//! Finds in a compiler's output what went wrong, and where.

use std::path::PathBuf;

use wasmcloud::workload::Diagnostic;

/// What a compiler said, from its first error on, with the place of that error. Nothing, if it named no error.
pub(super) fn first_error(said: &str) -> Option<Diagnostic> {
    let said = without_colors(said);
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let start = lines.iter().position(|line| line.starts_with("error"))?;
    let lines = lines.get(start..)?;
    let problem = Diagnostic::new(lines.join("\n").trim_end());
    Some(match lines.iter().find_map(|line| place(line)) {
        Some((file, line, column)) => problem.in_file(file).at(line, column),
        None => problem,
    })
}

/// The place in a line like `  --> src/lib.rs:3:14`.
fn place(line: &str) -> Option<(PathBuf, u32, u32)> {
    let mut parts = line.trim_start().strip_prefix("--> ")?.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?.into(), line, column))
}

/// The text without the sequences that colour it.
fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if chars.next() == Some('[') {
            // A sequence ends with its first letter.
            chars.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_found_with_its_place() {
        let said = "   Compiling a v0.1.0\nwarning: unused\n --> src/other.rs:1:1\n\n\u{1b}[1;31merror[E0425]\u{1b}[0m: cannot find value `x`\n  --> src/lib.rs:3:14\n   |\n\nerror: could not compile `a`\n";
        let problem = first_error(said).unwrap();
        assert!(
            problem
                .message
                .starts_with("error[E0425]: cannot find value `x`\n"),
            "{}",
            problem.message
        );
        assert!(problem.message.ends_with("error: could not compile `a`"));
        assert_eq!((problem.line, problem.column), (Some(3), Some(14)));
        assert_eq!(
            problem.file.as_deref(),
            Some(std::path::Path::new("src/lib.rs"))
        );
    }

    #[test]
    fn output_without_an_error_has_none() {
        assert!(first_error("   Compiling a v0.1.0\nKilled\n").is_none());
        assert_eq!(first_error("error: no space left").unwrap().line, None);
    }
}
