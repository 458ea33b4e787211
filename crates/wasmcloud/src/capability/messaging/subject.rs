//! Subjects of messages, and the patterns by which subscriptions choose them: words with dots between them, as NATS has them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How long a subject or a pattern may be, in bytes.
pub(crate) const LONGEST: usize = 1024;
/// What the inboxes of requests begin with: whoever waits for an answer has one.
pub(crate) const INBOX: &str = "_INBOX";

/// What the subjects begin with by which hosts, and what runs on them, speak to each other over servers.
#[cfg(feature = "messaging-nats")]
const OF_HOSTS: [&str; 2] = ["wasmcloud", "runtime"];

/// What a message is about: words without wildcards.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Subject(Arc<str>);

/// Which subjects a subscription wants: a word may be `*`, which stands for any one, and the last may be `>`, which stands for one or
/// more.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Pattern(Arc<str>);

/// What is wrong with a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubjectError {
    #[error("a subject must not be empty")]
    Empty,
    #[error("a subject must not be longer than {LONGEST} bytes")]
    TooLong,
    #[error("a subject must have something before, between and after its dots")]
    EmptyWord,
    #[error("a subject must not have spaces or control characters in it")]
    Character,
    #[error("`*` and `>` are for subscriptions only, `*` as a whole word and `>` as the last one")]
    Wildcard,
    #[error("subjects that begin with `$` belong to the broker, and those of inboxes to who asks")]
    Reserved,
    #[cfg(feature = "messaging-nats")]
    #[error(
        "subjects that begin with `wasmcloud` or `runtime` belong to hosts, on a server that others use too"
    )]
    OfHosts,
    #[cfg(feature = "messaging-nats")]
    #[error(
        "on a server that others use too, `>` and `*.…` would hear what is not for everybody, such as answers and stored keys: begin with a word"
    )]
    TooWide,
}

impl Subject {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// An inbox that nobody else has.
    pub(crate) fn inbox() -> Self {
        let unique = (fastrand::u64(..), fastrand::u64(..));
        Self(format!("{INBOX}.{:016x}{:016x}", unique.0, unique.1).into())
    }

    /// A subject that somebody has published to on a server. `None`: it is none.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn published(text: &str) -> Option<Self> {
        check(text).ok().map(|()| Self(text.into()))
    }

    /// Whether a guest may send to it on a server that others use as well.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn may_be_sent_to(&self) -> Result<(), SubjectError> {
        is_for_guests(self.0.split('.').next())
    }

    /// A subject that a broker has made up to be answered to.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn from_broker(text: &str) -> Self {
        Self(text.into())
    }

    /// The same among others of its kind: with something in front of it, which has to end in a dot.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn behind(&self, prefix: &str) -> Self {
        Self(format!("{prefix}{}", self.0).into())
    }

    /// The same without what was in front of it, if it was.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn after(&self, prefix: &str) -> Self {
        Self(self.0.strip_prefix(prefix).unwrap_or(&self.0).into())
    }

    /// Whether somebody waits there for an answer.
    pub(crate) fn is_inbox(&self) -> bool {
        self.0.split('.').next() == Some(INBOX)
    }
}

impl Pattern {
    /// Whether a guest may hear it on a server that others use as well: nothing that it matches is theirs.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn may_be_heard(&self) -> Result<(), SubjectError> {
        let mut words = self.0.split('.');
        let (first, second) = (words.next(), words.next());
        match first {
            Some(">") => Err(SubjectError::TooWide),
            // Alone it stands for one word, and nothing of others has only one.
            Some("*") if second.is_some() => Err(SubjectError::TooWide),
            first => is_for_guests(first),
        }
    }

    /// The same for a stream, which has what it has: only what names the subjects of hosts is not for guests.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn may_be_heard_of_a_stream(&self) -> Result<(), SubjectError> {
        is_for_guests(self.0.split('.').next())
    }

    /// The same among others of its kind: with something in front of it, which has to end in a dot.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn behind(&self, prefix: &str) -> Self {
        Self(format!("{prefix}{}", self.0).into())
    }

    /// Whether it wants messages about the subject.
    pub(crate) fn matches(&self, subject: &Subject) -> bool {
        let mut words = subject.0.split('.');
        for wanted in self.0.split('.') {
            match (wanted, words.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(word)) if wanted == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        check(text)?;
        if text.contains(['*', '>']) {
            return Err(SubjectError::Wildcard);
        }
        if text.starts_with('$') {
            return Err(SubjectError::Reserved);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Pattern {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        check(text)?;
        let mut words = text.split('.').peekable();
        if words.peek() == Some(&INBOX) || text.starts_with('$') {
            return Err(SubjectError::Reserved);
        }
        while let Some(word) = words.next() {
            let fits = match word {
                "*" => true,
                ">" => words.peek().is_none(),
                _ => !word.contains(['*', '>']),
            };
            if !fits {
                return Err(SubjectError::Wildcard);
            }
        }
        Ok(Self(text.into()))
    }
}

/// Whether subjects that begin with a word are for guests.
#[cfg(feature = "messaging-nats")]
fn is_for_guests(first: Option<&str>) -> Result<(), SubjectError> {
    match first.is_some_and(|first| OF_HOSTS.contains(&first)) {
        true => Err(SubjectError::OfHosts),
        false => Ok(()),
    }
}

fn check(text: &str) -> Result<(), SubjectError> {
    if text.is_empty() {
        return Err(SubjectError::Empty);
    }
    if text.len() > LONGEST {
        return Err(SubjectError::TooLong);
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(SubjectError::Character);
    }
    if text.split('.').any(str::is_empty) {
        return Err(SubjectError::EmptyWord);
    }
    Ok(())
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn what_is_no_subject_is_refused() {
        let long = "a".repeat(LONGEST + 1);
        for (text, error) in [
            ("", SubjectError::Empty),
            (long.as_str(), SubjectError::TooLong),
            (".", SubjectError::EmptyWord),
            ("a..b", SubjectError::EmptyWord),
            ("a.", SubjectError::EmptyWord),
            ("a b", SubjectError::Character),
            ("a\r\nPUB b 0", SubjectError::Character),
            ("a\0", SubjectError::Character),
            ("a.*", SubjectError::Wildcard),
            ("a.>", SubjectError::Wildcard),
            ("$SYS.a", SubjectError::Reserved),
        ] {
            assert_eq!(text.parse::<Subject>().unwrap_err(), error, "{text:?}");
        }
        for text in ["a>b", "a.>.b", "a*.b"] {
            assert_eq!(text.parse::<Pattern>().unwrap_err(), SubjectError::Wildcard);
        }
        for text in ["$JS.>", "_INBOX.>"] {
            assert_eq!(text.parse::<Pattern>().unwrap_err(), SubjectError::Reserved);
        }
        assert_eq!(
            "..".repeat(9).parse::<Pattern>().unwrap_err(),
            SubjectError::EmptyWord
        );
    }

    /// What hosts say to each other, requests of other workloads, their keys and the answers that they wait for.
    #[cfg(feature = "messaging-nats")]
    #[test]
    fn on_a_server_that_others_use_nothing_of_theirs_is_reached() {
        use SubjectError::{OfHosts, TooWide};
        for (text, error) in [
            ("runtime.host.abc.workload.start", OfHosts),
            (
                "wasmcloud.messages.default.workload.bank.asked.pay",
                OfHosts,
            ),
            ("wasmcloud.requests.ORDERS.a", OfHosts),
            ("wasmcloud", OfHosts),
        ] {
            let subject: Subject = text.parse().unwrap();
            assert_eq!(subject.may_be_sent_to(), Err(error), "{text}");
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.may_be_heard(), Err(error), "{text}");
        }
        for (text, error) in [
            (">", TooWide),
            ("*.>", TooWide),
            ("*.*", TooWide),
            ("*.host.*.workload.start", TooWide),
            ("wasmcloud.>", OfHosts),
            ("runtime.*", OfHosts),
        ] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.may_be_heard(), Err(error), "{text}");
        }
        for text in ["a", "*", "a.>", "a.*.b", "runtimes.>", "my.wasmcloud.>"] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.may_be_heard(), Ok(()), "{text}");
        }
        for text in ["a.wasmcloud", "runtimes", "_INBOX.abc"] {
            let subject: Subject = text.parse().unwrap();
            assert_eq!(subject.may_be_sent_to(), Ok(()), "{text}");
        }
    }

    #[test]
    fn patterns_choose_subjects() {
        for (pattern, subject, wanted) in [
            ("a.b", "a.b", true),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("größe.*", "größe.ä", true),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.matches(&subject.parse().unwrap()),
                wanted,
                "{pattern} {subject}"
            );
        }
        assert_ne!(Subject::inbox(), Subject::inbox());
        assert!(Subject::inbox().is_inbox());
    }
}
