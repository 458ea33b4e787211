//! What a caller gets of a call that came to no good end: an error value where the function's type has room for one, else a trap.

use wasmtime::component::Val;
use wasmtime::component::types::{ComponentFunc, Type};

use super::budget::Full;
use super::call::{Counted, Target};
use crate::instance::CallError;

/// Why a call came to no good end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The callee failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What the call carries found no room.
    #[error(transparent)]
    Full(#[from] Full),
}

/// Cases of an error variant that say no more than that something failed, the best first.
const GENERAL_CASES: [&str; 5] = [
    "unavailable",
    "internal",
    "internal-error",
    "other",
    "unknown",
];

/// How a function can tell its caller of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot: the caller traps.
    Trap,
    /// Its result is `result<_>`.
    Empty,
    /// Its result is `result<_, string>`.
    Text,
    /// Its result is `result<_, variant>` with such a case, which holds a string or nothing.
    Case {
        /// The case.
        name: String,
        /// Whether it holds a string.
        text: bool,
    },
}

impl Failure {
    /// What the type of a function has room for.
    pub(super) fn of(ty: &ComponentFunc) -> Self {
        let mut results = ty.results();
        let (Some(Type::Result(result)), None) = (results.next(), results.next()) else {
            return Self::Trap;
        };
        match result.err() {
            None => Self::Empty,
            Some(Type::String) => Self::Text,
            Some(Type::Variant(variant)) => {
                let case = |wanted: &&str| {
                    let mut cases = variant.cases();
                    let case = cases.find(|case| case.name == *wanted)?;
                    match case.ty {
                        None => Some((wanted.to_string(), false)),
                        Some(Type::String) => Some((wanted.to_string(), true)),
                        Some(_) => None,
                    }
                };
                let found = GENERAL_CASES.iter().find_map(case);
                found.map_or(Self::Trap, |(name, text)| Self::Case { name, text })
            }
            Some(_) => Self::Trap,
        }
    }

    /// Hands the answer over, or what there is instead of one.
    pub(super) fn deliver(
        &self,
        answer: Result<Counted<Vec<Val>>, Failed>,
        target: &Target,
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        match answer {
            Ok((values, _held)) => {
                results
                    .iter_mut()
                    .zip(values)
                    .for_each(|(to, value)| *to = value);
                Ok(())
            }
            Err(error) => {
                let reason = report(&error, target);
                match (self.value(&reason), results) {
                    (Some(value), [result]) => {
                        *result = value;
                        Ok(())
                    }
                    _ => Err(trap(&reason, target)),
                }
            }
        }
    }

    fn value(&self, reason: &str) -> Option<Val> {
        let text = || Some(Box::new(Val::String(reason.to_owned())));
        let error = match self {
            Self::Trap => return None,
            Self::Empty => None,
            Self::Text => text(),
            Self::Case { name, text: held } => {
                let held = if *held { text() } else { None };
                Some(Box::new(Val::Variant(name.clone(), held)))
            }
        };
        Some(Val::Result(Err(error)))
    }
}

/// Logs a failed call. What is returned is for the caller: why, without the callee's insides.
pub(super) fn report(error: &Failed, target: &Target) -> String {
    let reason = match error {
        Failed::Call(CallError::Trap(cause) | CallError::Instantiate(cause)) => {
            format!("{error}: {}", cause.root_cause())
        }
        error => error.to_string(),
    };
    let workload = target.workload();
    // A caller that tries again and again must not fill the log of the host.
    if workload.log.admits(reason.len()) {
        tracing::warn!(
            %workload,
            from = %target.caller(),
            to = target.component(),
            function = target.function(),
            reason,
            "a call over an isolated link failed"
        );
    }
    reason
}

/// The error that a caller traps with. It carries nothing of the callee's error, whose backtrace would pass for the caller's own.
pub(super) fn trap(reason: &str, target: &Target) -> wasmtime::Error {
    wasmtime::format_err!(
        "component `{}` called `{}` of component `{}`, which failed: {reason}",
        target.caller(),
        target.function(),
        target.component()
    )
}
