//! How the image of a component is pulled from its registry.

use std::fmt;
use std::str::FromStr;

use super::diagnostic::quoted;
use super::reference::Reference;
use super::secret::SecretName;

/// When a registry is asked, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pull {
    /// When the registry is asked. `None`: as [`PullPolicy::default_for`] says.
    pub policy: Option<PullPolicy>,
    /// The credentials to use, by the name under which the host keeps them for this namespace.
    pub secret: Option<SecretName>,
}

impl Pull {
    /// The policy for an image.
    #[must_use]
    pub fn policy_for(&self, image: &Reference) -> PullPolicy {
        self.policy
            .unwrap_or_else(|| PullPolicy::default_for(image))
    }
}

/// When a registry is asked for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullPolicy {
    /// Each time: a tag may have moved. What is known by its digest is not pulled again.
    Always,
    /// When the image is not in the cache. Otherwise the network is not touched.
    IfNotPresent,
    /// Not at all: what is not in the cache is an error.
    Never,
}

impl PullPolicy {
    /// That of Kubernetes: `Always` for `latest` and for no tag, or else `IfNotPresent`.
    #[must_use]
    pub fn default_for(image: &Reference) -> Self {
        match (image.digest(), image.tag()) {
            (None, Some("latest")) => Self::Always,
            _ => Self::IfNotPresent,
        }
    }

    /// The word in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Text that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no pull policy: wanted `Always`, `IfNotPresent` or `Never`", quoted(.found))]
pub struct PullPolicyError {
    found: String,
}

impl FromStr for PullPolicy {
    type Err = PullPolicyError;

    fn from_str(text: &str) -> Result<Self, PullPolicyError> {
        let all = [Self::Always, Self::IfNotPresent, Self::Never];
        let found = all.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| PullPolicyError {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_policy_it_is_that_of_kubernetes() {
        let of = |text: &str| Pull::default().policy_for(&text.parse().unwrap());
        assert_eq!(of("r.example/a"), PullPolicy::Always);
        assert_eq!(of("r.example/a:latest"), PullPolicy::Always);
        assert_eq!(of("r.example/a:1"), PullPolicy::IfNotPresent);
        let digest = super::super::Digest::of(b"");
        assert_eq!(
            of(&format!("r.example/a@{digest}")),
            PullPolicy::IfNotPresent
        );
        assert!("always".parse::<PullPolicy>().is_err());
    }
}
