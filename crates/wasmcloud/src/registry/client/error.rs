//! Why a registry does not give or take something.

use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::net::dial::DialError;
use crate::net::web::WebError;
use crate::registry::access::{AccessError, Credentials, Found, Origin};
use crate::registry::layout::{ManifestError, NotAComponent};
use crate::workload::{Digest, ReferenceError};

/// Why a registry does not give or take something.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct RegistryError {
    /// The registry and the repository that were spoken with.
    pub place: String,
    /// What went wrong.
    #[source]
    pub kind: RegistryErrorKind,
}

/// What went wrong with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryErrorKind {
    /// Credentials cannot be had.
    #[error("{0}")]
    Access(#[source] AccessError),
    /// The registry, or whoever gives tokens for it, does not let in whoever asks.
    #[error("{0}")]
    Denied(Box<Refusal>),
    /// It is not there, or whoever asks must not know about it.
    #[error("there is no {0}")]
    NotFound(String),
    /// It refuses.
    #[error("{who} answers with {status}{}", words(.message))]
    Status {
        /// Who answers.
        who: String,
        /// How.
        status: StatusCode,
        /// What it says about it, if anything.
        message: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// There is no answer.
    #[error("{who}: {problem}")]
    Unreachable {
        /// Who does not answer.
        who: String,
        /// Why not.
        problem: Unreachable,
    },
    /// It ends too early.
    #[error("{what} ends after {found} of {size} bytes")]
    Truncated {
        /// What.
        what: String,
        /// How many bytes there were.
        found: u64,
        /// How many there should be.
        size: u64,
    },
    /// It leads elsewhere in a way that is not followed.
    #[error("it redirects {0}")]
    Redirect(String),
    /// It does not speak the protocol of registries.
    #[error("{0}")]
    Protocol(String),
    /// It sends more than there should be.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// How many there may be.
        limit: u64,
    },
    /// It sends something else.
    #[error(
        "{what} has the digest {found}, not {wanted}: it was changed on the way, or the registry is broken"
    )]
    Digest {
        /// What.
        what: String,
        /// The digest that it should have.
        wanted: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// It is no component.
    #[error("{0}")]
    NotAComponent(#[source] NotAComponent),
    /// A manifest is not understood.
    #[error("the manifest is damaged: {0}")]
    Manifest(#[source] ManifestError),
    /// A tag or path is none.
    #[error("{0}")]
    Reference(#[source] ReferenceError),
    /// What was fetched cannot be kept.
    #[error("what comes from it cannot be kept: {0}")]
    Keep(#[source] io::Error),
    /// It takes too long.
    #[error("it took longer than {} s", .0.as_secs())]
    Late(Duration),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(#[source] pub(super) WebError);

/// Who is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who refuses.
    pub who: String,
    /// How.
    pub status: StatusCode,
    /// What was tried. None if credentials were not wanted.
    pub tried: Option<Found>,
    /// What it says about it, if anything.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            who,
            status,
            tried,
            message,
        } = self;
        match tried {
            None => write!(f, "{who} refuses ({status})")?,
            Some(Found {
                credentials: Credentials::Anonymous,
                ..
            }) => write!(f, "{who} wants credentials, and there are none ({status})")?,
            Some(Found { origin, .. }) => {
                write!(f, "{who} refuses the credentials of {origin} ({status})")?;
            }
        }
        f.write_str(&words(message))
    }
}

fn words(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(": {message}"),
    }
}

impl RegistryError {
    /// What to do about it, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let registry = self.place.split('/').next().unwrap_or_default();
        match &self.kind {
            RegistryErrorKind::Access(_) => {
                Some("see whether the file or program works with `docker login`".to_owned())
            }
            RegistryErrorKind::Denied(refusal) => Some(refusal.hint(registry)),
            RegistryErrorKind::NotFound(_) => Some(format!(
                "look for a slip in the reference; if it is private, `docker login {registry}` or an `imagePullSecret` may be wanted"
            )),
            RegistryErrorKind::Unreachable { problem, .. } => problem.hint(registry),
            RegistryErrorKind::NotAComponent(
                NotAComponent::ContainerImage | NotAComponent::Index(_),
            ) => Some(
                "components are pushed with `wash push`, or as OCI artifacts by other clients"
                    .to_owned(),
            ),
            RegistryErrorKind::NotAComponent(NotAComponent::Compressed(_)) => {
                Some("push the component as it is, with a layer of `application/wasm`".to_owned())
            }
            _ => None,
        }
    }

    /// Whether the same may work later, without anybody doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match &self.kind {
            RegistryErrorKind::Status { status, .. } => may_pass(*status),
            RegistryErrorKind::Unreachable { problem, .. } => problem.may_pass(),
            RegistryErrorKind::Truncated { .. } => true,
            _ => false,
        }
    }

    /// Whether the registry says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind, RegistryErrorKind::NotFound(_))
    }

    pub(super) fn after(&self) -> Option<Duration> {
        match &self.kind {
            RegistryErrorKind::Status { after, .. } => *after,
            _ => None,
        }
    }
}

pub(super) fn may_pass(status: StatusCode) -> bool {
    [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
        || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
}

impl Refusal {
    fn hint(&self, registry: &str) -> String {
        match self.tried.as_ref().map(|found| &found.origin) {
            Some(Origin::Nowhere) => format!(
                "`docker login {registry}` on this machine, or give the workload an `imagePullSecret`; what is not there may be told so, too"
            ),
            Some(_) => format!(
                "check that they are for `{registry}`, not expired, and may do this with this repository"
            ),
            None => "whoever runs the registry knows why".to_owned(),
        }
    }
}

impl Unreachable {
    /// The egress policy does not change by itself, and neither do certificates.
    fn may_pass(&self) -> bool {
        !matches!(
            self.0.dial(),
            Some(DialError::Denied { .. } | DialError::Tls { .. })
        )
    }

    fn hint(&self, registry: &str) -> Option<String> {
        match self.0.dial() {
            Some(DialError::Denied { .. }) => Some(format!(
                "if workloads may pull from it, list `{registry}` among the registries in the host's configuration"
            )),
            Some(DialError::Tls { .. }) => Some(format!(
                "if its certificate is by an authority of your own, give `{registry}` a file of authorities (`caFiles` in the configuration, `--ca-file` of `wash`); if it speaks plain HTTP, say so for this registry (`plainHttp`, `--plain-http`)"
            )),
            _ => None,
        }
    }
}
