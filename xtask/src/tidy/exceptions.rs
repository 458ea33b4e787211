//! The one table of exceptions to the house rules, each with its reason.

use std::path::PathBuf;

use super::{Finding, Rule};

/// A place that may break a rule.
#[derive(Debug)]
pub(super) struct Exception {
    /// The rule.
    pub(super) rule: Rule,
    /// The place, as the rule names it: a file, `file::function`, or a crate.
    pub(super) at: &'static str,
    /// Why it may.
    pub(super) reason: &'static str,
}

/// Every exception in force. One that is no longer needed is a finding.
pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: Rule::Budgets,
        at: "crates/wasmcloud/src/capability/postgres/value.rs::case",
        reason: "a list: what each kind of value of the interface is called, a line each",
    },
    Exception {
        rule: Rule::Majors,
        at: "base64",
        reason: "the clients of NATS and PostgreSQL are still on 0.22, the one of S3 on 0.23; only texts pass between them",
    },
    Exception {
        rule: Rule::Majors,
        at: "sha2",
        reason: "Cranelift is still on 0.10, the client of PostgreSQL on 0.11; only bytes pass between them",
    },
    Exception {
        rule: Rule::Majors,
        at: "thiserror",
        reason: "wac-graph is still on 1; only its macros are used, no type of it meets ours",
    },
    Exception {
        rule: Rule::Majors,
        at: "wasm-metadata",
        reason: "wac-graph and wit-component release on their own days; only bytes pass between them",
    },
    Exception {
        rule: Rule::Majors,
        at: "wasmparser",
        reason: "Wasmtime and wac-graph release on their own days; only bytes pass between them",
    },
];

impl Exception {
    /// The finding that this exception has nothing left to except.
    pub(super) fn is_stale(&self) -> Finding {
        Finding {
            rule: self.rule,
            path: PathBuf::from("xtask/src/tidy/exceptions.rs"),
            line: 0,
            key: String::new(),
            message: format!(
                "the exception for {} ({}) is no longer needed: take it out",
                self.at, self.reason
            ),
        }
    }
}
