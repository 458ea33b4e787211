//! Why an image must not run.

use std::fmt;

use crate::registry::layout::shown;
use crate::workload::{Digest, Reference};

use super::policy::Pattern;
use super::source::SourceError;

/// An image that does not meet what is demanded of it.
#[derive(Debug, thiserror::Error)]
#[error("`{image}` must not run: {} {wanted}, and {kind}", Rulebook(rule.as_ref()))]
pub struct VerifyError {
    /// The image.
    pub image: Reference,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The rule that goes for it; `None` when it is the one for everything that no rule goes for.
    pub rule: Option<Pattern>,
    /// What is demanded, in words.
    pub wanted: String,
    /// What is the matter.
    #[source]
    pub kind: VerifyErrorKind,
}

struct Rulebook<'a>(Option<&'a Pattern>);

impl fmt::Display for Rulebook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pattern) => write!(f, "the rule for `{pattern}` demands"),
            None => f.write_str("no rule names it, and the default demands"),
        }
    }
}

/// What is the matter with an image.
#[derive(Debug, thiserror::Error)]
pub enum VerifyErrorKind {
    /// Nothing from there may run.
    #[error("nothing else would do")]
    Denied,
    /// Its digest is not a pinned one.
    #[error("its manifest is {found}")]
    NotPinned {
        /// The digest of its manifest.
        found: Digest,
    },
    /// There are no signatures.
    #[error("it has no signature")]
    Unsigned,
    /// The registry could not be asked for signatures.
    #[error("the registry cannot be asked for signatures: {0}")]
    Unreadable(#[source] SourceError),
    /// None of its signatures will do.
    #[error("none of its signatures is one{}", Listed(rejected))]
    Rejected {
        /// Why not, for each, in the order they were found.
        rejected: Vec<Rejected>,
    },
}

struct Listed<'a>(&'a [Rejected]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        for (at, one) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{} {one}", if at == 0 { ":" } else { ";" })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl VerifyError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &self.kind {
            VerifyErrorKind::Denied => Some("add a rule for it to the policy of the host".to_owned()),
            VerifyErrorKind::NotPinned { found } => {
                Some(format!("if this is the one you want, add {found} to the rule"))
            }
            VerifyErrorKind::Unsigned => Some(
                "sign it with `wash push --sign KEY` or `cosign sign`; signatures are not copied by every tool that copies images"
                    .to_owned(),
            ),
            VerifyErrorKind::Unreadable(_) => Some("signatures are kept in the repository of the image: whoever pulls it must reach both".to_owned()),
            VerifyErrorKind::Rejected { rejected } => rejected.iter().find_map(|one| one.why.hint()),
        }
    }
}

/// A signature that will not do.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub struct Rejected {
    /// Where it is.
    pub place: String,
    /// Why not.
    #[source]
    pub why: Rejection,
}

/// Why a signature will not do.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] SourceError),
    /// It is too large.
    #[error("its {what} has {found} bytes, more than the limit of {limit}")]
    Large {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is more in it than a signature needs, and checking it would take long.
    #[error("it has {found} {what}, more than the limit of {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// It does not read as what it says it is.
    #[error("its {what} is damaged: {problem}")]
    Damaged {
        /// What is damaged.
        what: &'static str,
        /// How.
        problem: String,
    },
    /// None of the keys that are wanted has made it, or what was signed has been changed.
    #[error("it was made by {}, or what it was made for has been changed", Maker(found.as_ref()))]
    OtherKey {
        /// The fingerprint of the key that it says has made it, if it says so.
        found: Option<Digest>,
    },
    /// It is for another image.
    #[error("it is for another image: {found}")]
    OtherImage {
        /// The digest that it is for.
        found: String,
    },
    /// It is about the image, but does not say that it may run.
    #[error("it is no signature of an image but another statement about one: `{found}`")]
    OtherStatement {
        /// The type of the statement.
        found: String,
    },
    /// It was made by a key, and nobody says whose that is.
    #[error("it has no certificate, so that nobody says who made it")]
    NoCertificate,
    /// It was made when the certificate was not valid.
    #[error("it was made at {signed}, and the certificate is for {from} to {until}")]
    Expired {
        /// When it was made.
        signed: jiff::Timestamp,
        /// When the certificate begins to be valid.
        from: jiff::Timestamp,
        /// When it ends.
        until: jiff::Timestamp,
    },
    /// The certificate is not by an authority of the trust root, or not for signing.
    #[error("its certificate is not to be believed: {problem}")]
    Certificate {
        /// What is the matter with it.
        problem: String,
    },
    /// Somebody else has said who made it.
    #[error("it was made by `{subject}`, which `{found}` says; nobody is wanted of that issuer")]
    OtherIssuer {
        /// Who made it.
        subject: String,
        /// Who says so.
        found: String,
    },
    /// Somebody else made it.
    #[error("it was made by `{found}` of `{issuer}`")]
    OtherSubject {
        /// Who made it.
        found: String,
        /// Who says so.
        issuer: String,
    },
    /// No log has recorded it.
    #[error("it has no entry of a log, so that nobody says when it was made")]
    NoLogEntry,
    /// A log has recorded it that is not in the trust root.
    #[error("its entry is of a log that the trust root does not have: {found}")]
    OtherLog {
        /// The id of the log.
        found: String,
    },
    /// The entry is for something else.
    #[error("its entry in the log is for something else: {problem}")]
    OtherEntry {
        /// What differs.
        problem: String,
    },
    /// The log has not signed the entry, or does not have it.
    #[error("its entry is not in the log: {problem}")]
    NotInLog {
        /// What is the matter with it.
        problem: String,
    },
    /// When it was made is not to be believed.
    #[error("when it was made is not to be believed: {problem}")]
    Time {
        /// What is the matter.
        problem: String,
    },
    /// More signatures than are looked at.
    #[error("only the first {limit} signatures are looked at")]
    Many {
        /// The limit.
        limit: usize,
    },
}

struct Maker<'a>(Option<&'a Digest>);

impl fmt::Display for Maker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(found) => write!(f, "the key {found}"),
            None => f.write_str("another key"),
        }
    }
}

impl Rejection {
    /// With a problem that may quote what is damaged.
    pub(super) fn damaged(what: &'static str, problem: impl fmt::Display) -> Self {
        Self::Damaged {
            what,
            problem: shown(&problem.to_string()),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::OtherKey { .. } => {
                "if that key is right, add it to the rule; else sign the image again"
            }
            Self::OtherImage { .. } => "sign the image itself, by the digest of its manifest",
            Self::OtherStatement { .. } => {
                "attestations are not signatures: use `cosign sign`, not `cosign attest`"
            }
            Self::NoCertificate => {
                "the rule demands an identity; demand a key if it is signed by one"
            }
            Self::NoLogEntry => "sign it with the log: without `--tlog-upload=false`",
            Self::OtherLog { .. } | Self::Certificate { .. } => {
                "if it was signed with another Sigstore than the trust root is for, give that one's `trusted_root.json`; if the file is old, get it anew"
            }
            Self::OtherIssuer { .. } | Self::OtherSubject { .. } => {
                "if they may sign it, add them to the identities of the rule"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
