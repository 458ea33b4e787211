//! Relative links in the documents lead to a file that exists.

use std::path::{Component, Path, PathBuf};

use super::{Finding, Rule};

/// Links of one document that lead nowhere. `exists` gets paths relative to the repository.
pub(super) fn check(path: &Path, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (line, target) in links(text) {
        let file = target.split('#').next().unwrap_or_default();
        if file.is_empty() || has_scheme(file) {
            continue;
        }
        let found = match file.strip_prefix('/') {
            Some(absolute) => exists(Path::new(absolute)),
            None => normalize(&folder.join(file)).is_some_and(|file| exists(&file)),
        };
        if !found {
            let message = format!("the link to `{target}` leads nowhere");
            let key = format!("{}::{target}", path.display());
            findings.push(Finding {
                rule: Rule::Links,
                path: path.to_owned(),
                line,
                key,
                message,
            });
        }
    }
    findings
}

fn has_scheme(target: &str) -> bool {
    target.starts_with("//")
        || target.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
}

/// The path without `.` and `..`; none when it leaves the repository.
fn normalize(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Some(clean)
}

/// Every link target with its line, outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let marker = ["```", "~~~"]
            .into_iter()
            .find(|marker| start.starts_with(marker));
        match (fence, marker) {
            (None, Some(_)) => fence = marker,
            (Some(open), Some(close)) if open == close => fence = None,
            (Some(_), _) => {}
            (None, None) => links.extend(
                targets(&without_code(line))
                    .into_iter()
                    .map(|target| (index + 1, target)),
            ),
        }
    }
    links
}

/// The line with its `code spans` blanked.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts
        .map(|(index, part)| if index % 2 == 0 { part } else { "code" })
        .collect()
}

/// Targets of `[text](target)`, `![text](target "title")` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let mut targets = Vec::new();
    if let Some((name, target)) = line.trim_start().split_once("]: ")
        && name.starts_with('[')
        && !name.starts_with("[^")
    {
        targets.extend(first_word(target));
    }
    for part in line.split("](").skip(1) {
        let inside = part.split(')').next().unwrap_or_default();
        targets.extend(first_word(inside));
    }
    targets
}

fn first_word(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    Some(
        word.trim_start_matches('<')
            .trim_end_matches('>')
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let there = ["README.md", "docs/a.md", "examples/x"];
        let exists = |path: &Path| there.iter().any(|file| Path::new(file) == path);
        check(Path::new(path), text, exists)
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn a_link_to_nowhere_is_found_in_every_spelling() {
        for bad in [
            "[a](b.md)",
            "![a](b.png \"title\")",
            "[a](<b.md>)",
            "[a]: b.md",
            "[a](../../README.md)",
            "[a](/b.md)",
        ] {
            assert_eq!(broken("docs/a.md", bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let good = "[a](../README.md#top) [b](a.md) [c](#here) [d](https://x.org/y) [e](mailto:a@b.c) [f](../examples/x/)\n";
        assert_eq!(broken("docs/a.md", good), Vec::<String>::new());
    }

    #[test]
    fn code_is_not_a_link() {
        assert!(broken("README.md", "`[a](b.md)`\n```text\n[a](b.md)\n```\n").is_empty());
        assert_eq!(broken("README.md", "```text\n```\n[a](b.md)\n").len(), 1);
    }
}
