//! How registries are spoken with: what holds for one of them, and what for all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::access::Credentials;
use crate::net::trust::TrustError;
use crate::workload::Reference;

/// How registries are spoken with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is special about a registry, by its `host` or `host:port` as references have it. Whoever runs the host has named it, so
    /// that it may be anywhere; what else a workload names is held to the egress policy.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// How long a registry may be silent, be it while connecting, before an answer or within one. 30 s by default. While a blob is
    /// waited for, less than 1 KiB/s on average over this time counts as silence, too.
    pub silence: Duration,
    /// How long one thing may take in all, such as a manifest, a blob or an upload: 10 min by default. That a blob waits for others is
    /// part of it. The mirrors and the registry share it equally: a mirror that takes longer is passed over, and what it leaves is for
    /// those after it.
    pub longest: Duration,
    /// How failures that may pass are tried again.
    pub retries: Retries,
    /// How many blobs are fetched at once, by everybody: 4 by default. From one registry it is at most half of them, and at least
    /// one, so that one that is slow does not keep everybody from the others.
    pub parallel: usize,
    /// The largest component, in bytes: 256 MiB by default.
    pub largest_image: u64,
}

/// How failures that may pass are tried again: broken connections, silence, and a registry that says that it cannot just now.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// How often something is tried in all before it has failed. What has brought a blob further does not count, unless that was as
    /// good as silence.
    pub attempts: u32,
    /// About how long it is waited before the second attempt. Each wait is twice as long as the last, with a random part.
    pub first: Duration,
    /// The longest wait, whatever the registry says.
    pub longest: Duration,
}

/// What is special about a registry.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// Whether it speaks HTTP without TLS. Nothing else implies it, not even that the registry is on this machine.
    pub plain_http: bool,
    /// Files with certificates of authorities that may vouch for it, besides those that the system trusts.
    pub ca_files: Vec<PathBuf>,
    /// Who is asked before it, in this order. One that has not got it, fails or takes too long is passed over. Nothing is pushed to
    /// them.
    pub mirrors: Vec<Mirror>,
    /// What it is asked with where nobody says otherwise. No other registry sees it.
    pub credentials: Option<Credentials>,
}

/// Who has what a registry has.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// `host`, `host:port`, or either with a path that its repositories are below.
    pub location: String,
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// Files with certificates of authorities that may vouch for it, besides those that the system trusts.
    pub ca_files: Vec<PathBuf>,
    /// What it is asked with where nobody says otherwise. It never sees what is for the registry.
    pub credentials: Option<Credentials>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            registries: BTreeMap::new(),
            silence: Duration::from_secs(30),
            longest: Duration::from_secs(600),
            retries: Retries::default(),
            parallel: 4,
            largest_image: 256 << 20,
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 4,
            first: Duration::from_millis(250),
            longest: Duration::from_secs(60),
        }
    }
}

/// Settings that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A name that is none of a registry.
    #[error("`{0}` is no registry; wanted `host` or `host:port`")]
    Registry(String),
    /// Another name means the same registry.
    #[error("`{0}` is a registry that is named before in another way")]
    Twice(String),
    /// A name that is none of a mirror.
    #[error("`{0}` is no mirror; wanted `host`, `host:port`, or either with `/path` behind it")]
    Mirror(String),
    /// A file of certificates is of no use.
    #[error("registry `{registry}`: {source}")]
    Trust {
        /// The registry, or the mirror.
        registry: String,
        /// What is wrong.
        source: TrustError,
    },
    /// Nothing could ever be done.
    #[error("{0} must not be 0")]
    Zero(&'static str),
}

/// A registry as references have it.
pub(super) fn host(text: &str) -> Result<String, SettingsError> {
    let wrong = || SettingsError::Registry(text.to_owned());
    match split(text) {
        Some((host, None)) => Ok(host),
        _ => Err(wrong()),
    }
}

/// Where a mirror is, and the path that its repositories are below.
pub(super) fn location(text: &str) -> Result<(String, Option<String>), SettingsError> {
    split(text).ok_or_else(|| SettingsError::Mirror(text.to_owned()))
}

fn split(text: &str) -> Option<(String, Option<String>)> {
    // What a registry and a repository are is known in one place.
    let parsed: Reference = format!("{text}/x").parse().ok()?;
    let (host, path) = text
        .split_once('/')
        .map_or((text, None), |(host, path)| (host, Some(path)));
    // Without a dot or a port, it would have been a repository of Docker's.
    let registry = Reference::canonical_registry(host).ok()?;
    (parsed.registry() == registry).then(|| (registry, path.map(str::to_owned)))
}

impl RegistrySettings {
    /// Whether a text is the name of a registry, as references have it.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_name(text: &str) -> Result<(), SettingsError> {
        host(text).map(|_| ())
    }
}

impl Mirror {
    /// Whether a text says where a mirror is.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_location(text: &str) -> Result<(), SettingsError> {
        location(text).map(|_| ())
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let zero = [
            (
                self.silence.is_zero(),
                "the time that a registry may be silent",
            ),
            (self.longest.is_zero(), "the time that a pull may take"),
            (self.retries.attempts == 0, "the number of attempts"),
            (self.parallel == 0, "the number of parallel pulls"),
            (self.largest_image == 0, "the size of the largest image"),
        ];
        match zero.into_iter().find(|(is_zero, _)| *is_zero) {
            Some((_, what)) => Err(SettingsError::Zero(what)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn registries_and_mirrors_are_named_as_in_references() {
        assert_eq!(host("GHCR.io:443").unwrap(), "ghcr.io");
        assert_eq!(host("index.docker.io").unwrap(), "docker.io");
        assert_eq!(host("localhost:5000").unwrap(), "localhost:5000");
        for wrong in [
            "",
            "a",
            "ghcr.io/acme",
            "https://ghcr.io",
            "a b.c",
            "*",
            "r.example:0",
            "me@r.example",
        ] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        let with_path = ("h.example:1".to_owned(), Some("cache/hub".to_owned()));
        assert_eq!(location("H.example:1/cache/hub").unwrap(), with_path);
        assert_eq!(
            location("m.example").unwrap(),
            ("m.example".to_owned(), None)
        );
        for wrong in [
            "m",
            "m.example/",
            "m.example/A",
            "m.example/../x",
            "http://m.example",
        ] {
            assert!(location(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_with_which_nothing_could_be_done_are_refused() {
        assert!(Settings::default().check().is_ok());
        let settings = Settings {
            parallel: 0,
            ..Settings::default()
        };
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "the number of parallel pulls must not be 0"
        );
    }
}
