//! Why a command failed: what, where, and what to do about it.

use std::fmt::Display;

use serde_json::{Value, json};
use wasmcloud::workload::{Diagnostic, Diagnostics};

/// Why a command failed. Holds one problem at least.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What is wrong, in order.
    problems: Vec<Diagnostic>,
    /// What is left to say where another program has shown the problems already.
    summary: Option<Box<Diagnostic>>,
    /// What tools are told besides.
    facts: Option<(&'static str, Box<Value>)>,
    exit: u8,
}

/// The command ran and failed.
const FAILED: u8 = 1;
/// The command was typed wrong.
const USAGE: u8 = 2;

impl Failure {
    /// A failure with a message, which begins in lower case and has no full stop.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Diagnostic::new(message).into()
    }

    /// What was typed makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: USAGE,
            ..Self::new(message)
        }
    }

    /// Something that was done with a file or folder failed: `what` is like "cannot read".
    pub(crate) fn io(what: &str, path: impl Display, error: &std::io::Error) -> Self {
        Self::new(format!("{what} {path}: {error}"))
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(problem) = self.problems.first_mut() {
            problem.hint = Some(hint.into());
        }
        self
    }

    /// Goes on after what it says to do.
    pub(crate) fn more_hint(mut self, more: &str) -> Self {
        if let Some(hint) = self.problems.first_mut().and_then(|it| it.hint.as_mut()) {
            hint.push_str(more);
        }
        self
    }

    /// Both failures as one.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.problems.extend(other.problems);
        self
    }

    /// Another program has shown the problems: only `summary` and the first hint are left to say to people. Tools are told
    /// everything.
    pub(crate) fn shown(mut self, summary: impl Into<String>) -> Self {
        let mut summary = Diagnostic::new(summary);
        summary.hint = self
            .problems
            .first()
            .and_then(|problem| problem.hint.clone());
        self.summary = Some(Box::new(summary));
        self
    }

    /// What tools are told besides the problems: under this key.
    pub(crate) fn with(mut self, key: &'static str, facts: Value) -> Self {
        self.facts = Some((key, Box::new(facts)));
        self
    }

    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    /// For people, on a terminal or in a log.
    pub(crate) fn render(&self, color: bool) -> String {
        if let Some(summary) = &self.summary {
            return render(summary, color);
        }
        let rendered: Vec<String> = self
            .problems
            .iter()
            .map(|problem| render(problem, color))
            .collect();
        let excerpts = self.problems.iter().any(|problem| problem.line.is_some());
        rendered.join(if excerpts { "\n\n" } else { "\n" })
    }

    /// What went wrong, for a tool's one field: each problem on a line of its own.
    pub(crate) fn message(&self) -> String {
        let messages: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        messages.join("\n")
    }

    /// All problems for tools, as a list.
    pub(crate) fn problems_json(&self) -> Value {
        Value::Array(self.problems.iter().map(problem_json).collect())
    }

    /// For tools: the first problem under `error`; if there are more, all of them under `errors`.
    pub(crate) fn to_json(&self) -> Value {
        let all: Vec<Value> = self.problems.iter().map(problem_json).collect();
        let first = all.first().cloned().unwrap_or_default();
        let mut told = if all.len() > 1 {
            json!({"error": first, "errors": all})
        } else {
            json!({"error": first})
        };
        if let (Some((key, facts)), Some(told)) = (&self.facts, told.as_object_mut()) {
            told.insert((*key).to_owned(), facts.as_ref().clone());
        }
        told
    }
}

fn render(problem: &Diagnostic, color: bool) -> String {
    if problem.file.is_some() || problem.line.is_some() {
        return problem.render(color);
    }
    let mut text = error_line(&problem.message, color);
    if let Some(hint) = &problem.hint {
        let label = if color {
            "\u{1b}[1;36mhint\u{1b}[0m"
        } else {
            "hint"
        };
        text.push_str(&format!("\n{label}: {hint}"));
    }
    text
}

fn error_line(message: &str, color: bool) -> String {
    let label = if color {
        "\u{1b}[1;31merror\u{1b}[0m"
    } else {
        "error"
    };
    format!("{label}: {message}")
}

fn problem_json(problem: &Diagnostic) -> Value {
    json!({
        "message": problem.message,
        "hint": problem.hint,
        "file": problem.file.as_deref().map(|file| file.display().to_string()),
        "line": problem.line,
        "column": problem.column,
    })
}

impl From<Diagnostic> for Failure {
    fn from(problem: Diagnostic) -> Self {
        Self {
            problems: vec![problem],
            summary: None,
            facts: None,
            exit: FAILED,
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(problems: Diagnostics) -> Self {
        problems.0.into()
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(problems: Vec<Diagnostic>) -> Self {
        Self {
            problems,
            summary: None,
            facts: None,
            exit: FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_a_line_and_a_hint_and_tools_get_fields() {
        let failure = Failure::usage("no such thing").hint("make one");
        assert_eq!(
            failure.render(false),
            "error: no such thing\nhint: make one"
        );
        assert_eq!(failure.exit(), 2);
        let json = failure.to_json();
        assert_eq!(json["error"]["message"], "no such thing");
        assert_eq!(json["error"]["line"], Value::Null);
        assert!(json.get("errors").is_none());
    }

    #[test]
    fn several_problems_are_all_told() {
        let failure = Failure::from(vec![
            Diagnostic::new("one")
                .in_file(std::path::Path::new("a.yaml"))
                .at(3, 4),
            Diagnostic::new("two"),
        ]);
        assert_eq!(failure.message(), "a.yaml:3:4: one\ntwo");
        assert_eq!(failure.to_json()["errors"][1]["message"], "two");
        assert_eq!(failure.to_json()["error"]["line"], 3);
    }

    #[test]
    fn what_another_program_showed_is_not_shown_again() {
        let failure = Failure::new("E0425")
            .hint("look")
            .shown("the project does not build");
        assert_eq!(
            failure.render(false),
            "error: the project does not build\nhint: look"
        );
        assert_eq!(failure.to_json()["error"]["message"], "E0425");
    }
}
