//! What a bench asks the process of a host: a line of JSON on its standard input, answered by one on its standard output.

use serde::{Deserialize, Serialize};

/// A question.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Question {
    /// How a workload is, by its name. Answered by a [`Usage`].
    Usage(String),
    /// To start copies of the first workload, each with a name and a host name of its own, until there are so many of it.
    /// Answered by [`Copies`].
    Copies(usize),
}

/// What a workload uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Invocations under way.
    pub(crate) invocations: usize,
    /// Invocations of all its entries that found a warm instance.
    pub(crate) hits: u64,
    /// Invocations that got a fresh one.
    pub(crate) misses: u64,
}

impl Usage {
    /// The part of the invocations that found a warm instance; none before the first.
    pub(crate) fn hit_rate(self) -> Option<f64> {
        let all = self.hits + self.misses;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate needs no more digits than a float has"
        )]
        let rate = (all > 0).then(|| self.hits as f64 / all as f64);
        rate
    }
}

/// What connections cost that are held open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// How many KiB the memory of the host's process grew by.
    pub(crate) all: f64,
    /// How many of them are the guests' own.
    pub(crate) guests: f64,
}

/// Copies that were started.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Copies {
    /// How many.
    pub(crate) started: usize,
    /// How long their starts took together, one after another.
    pub(crate) milliseconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_one_line() {
        let asked = serde_json::to_string(&Question::Copies(7)).unwrap();
        assert_eq!(asked, r#"{"copies":7}"#);
        let understood: Question = serde_json::from_str(r#"{"usage":"quiet"}"#).unwrap();
        assert_eq!(understood, Question::Usage("quiet".to_owned()));
    }

    #[test]
    fn a_pool_that_was_never_asked_has_no_rate() {
        assert_eq!(Usage::default().hit_rate(), None);
        let usage = Usage {
            hits: 3,
            misses: 1,
            ..Usage::default()
        };
        assert_eq!(usage.hit_rate(), Some(0.75));
    }
}
