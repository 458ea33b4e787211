//! Files of credentials as Docker, Podman and the pull secrets of Kubernetes have them:
//! <https://man.archlinux.org/man/containers-auth.json.5>.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::credentials::{Credentials, SecretText};
use crate::workload::Reference;

/// As these files are written: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// What the name of Docker's registry is in these files, and to credential helpers.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// The credentials of a file.
#[derive(Clone, Default)]
pub struct AuthFile {
    entries: Vec<Entry>,
    /// Programs that know the credentials of one registry each.
    helpers: BTreeMap<String, String>,
    /// A program that knows those of all others.
    store: Option<String>,
}

#[derive(Clone)]
struct Entry {
    scope: Scope,
    /// None where only a program knows them.
    credentials: Option<Credentials>,
}

/// A registry, and the repositories of it that begin with a path.
#[derive(Clone, PartialEq, Eq)]
struct Scope {
    registry: String,
    path: String,
}

/// What a file says about a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Nothing,
    Credentials(Credentials),
    /// Ask this program. It may know nothing, too.
    Ask(&'a str),
}

/// Why a file of credentials is of no use. It is not quoted: it is full of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFileProblem {
    /// It is no JSON, or other fields are in it.
    #[error(
        "it is no JSON of the form `{{\"auths\": {{\"registry\": {{\"auth\": …}}}}}}` (line {line}, column {column})"
    )]
    Json {
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
    },
    /// An `auth` is not what it should be.
    #[error("an `auth` in it is no base64 of `name:password`")]
    Auth,
    /// The name of a helper could lead anywhere.
    #[error("the name of a credential helper in it is not of letters, digits, `-`, `_` and `.`")]
    Helper,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: BTreeMap<String, RawEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct RawEntry {
    auth: Option<SecretText>,
    username: Option<String>,
    password: Option<SecretText>,
    identitytoken: Option<SecretText>,
    registrytoken: Option<SecretText>,
}

impl AuthFile {
    /// Reads what is in a file, or in the `.dockerconfigjson` of a pull secret.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthFileProblem> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| AuthFileProblem::Json {
            line: error.line(),
            column: error.column(),
        })?;
        let mut helpers = raw.cred_helpers.values().chain(&raw.creds_store);
        if !helpers.all(|name| is_helper(name)) {
            return Err(AuthFileProblem::Helper);
        }
        let entries = raw.auths.into_iter().map(|(key, entry)| {
            Ok(Entry {
                scope: Scope::of(&key),
                credentials: entry.credentials()?,
            })
        });
        let helpers = raw.cred_helpers.into_iter();
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
            helpers: helpers
                .filter(|(_, name)| !name.is_empty())
                .map(|(key, name)| (Scope::of(&key).registry, name))
                .collect(),
            store: raw.creds_store.filter(|name| !name.is_empty()),
        })
    }

    /// The credentials for a repository that stand in it. The entry with the longest path counts, and programs are not asked.
    #[must_use]
    pub fn credentials(&self, registry: &str, repository: &str) -> Option<Credentials> {
        let wanted = Scope::of(registry).registry;
        let fitting = self.entries.iter().filter(|entry| {
            let rest = repository.strip_prefix(entry.scope.path.as_str());
            let whole_steps = rest.is_some_and(|rest| {
                entry.scope.path.is_empty() || rest.is_empty() || rest.starts_with('/')
            });
            entry.scope.registry == wanted && whole_steps && entry.credentials.is_some()
        });
        let longest = fitting.max_by_key(|entry| entry.scope.path.len());
        longest.and_then(|entry| entry.credentials.clone())
    }

    pub(super) fn says(&self, registry: &str, repository: &str) -> Said<'_> {
        if let Some(helper) = self.helpers.get(&Scope::of(registry).registry) {
            return Said::Ask(helper);
        }
        match (self.credentials(registry, repository), &self.store) {
            (Some(credentials), _) => Said::Credentials(credentials),
            (None, Some(store)) => Said::Ask(store),
            (None, None) => Said::Nothing,
        }
    }
}

impl fmt::Debug for AuthFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |entry: &Entry| format!("{}/{}", entry.scope.registry, entry.scope.path);
        f.debug_struct("AuthFile")
            .field("for", &self.entries.iter().map(of).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl RawEntry {
    fn credentials(self) -> Result<Option<Credentials>, AuthFileProblem> {
        let text = |text: Option<SecretText>| text.filter(|text| !text.expose().is_empty());
        if let Some(token) = text(self.identitytoken) {
            return Ok(Some(Credentials::Identity(token)));
        }
        if let Some(token) = text(self.registrytoken) {
            return Ok(Some(Credentials::Bearer(token)));
        }
        if let Some(auth) = text(self.auth) {
            let decoded = BASE64.decode(auth.expose().trim()).map(Zeroizing::new);
            let decoded = decoded.map_err(|_| AuthFileProblem::Auth)?;
            let both = std::str::from_utf8(&decoded).ok();
            let both = both.and_then(|both| both.split_once(':'));
            let (username, password) = both.ok_or(AuthFileProblem::Auth)?;
            return Ok(Some(Credentials::Basic {
                username: username.to_owned(),
                // Docker itself pads passwords so.
                password: password.trim_end_matches('\0').into(),
            }));
        }
        let username = self.username.filter(|name| !name.is_empty());
        Ok(username.map(|username| Credentials::Basic {
            username,
            password: self.password.unwrap_or_else(|| "".into()),
        }))
    }
}

impl Scope {
    /// That of a key: `host`, `host:port/path`, or a URL that Docker has left there.
    fn of(key: &str) -> Self {
        let key = key.split_once("://").map_or(key, |(_, rest)| rest);
        let (registry, path) = key.split_once('/').unwrap_or((key, ""));
        let registry = in_references(registry);
        let path = match path.trim_end_matches('/') {
            // The versions of the API, of which nobody has a repository.
            "v1" | "v2" => String::new(),
            path => path.to_owned(),
        };
        Self { registry, path }
    }
}

/// A registry as references have it, so far as it could be in one.
pub(super) fn in_references(registry: &str) -> String {
    let canonical = Reference::canonical_registry(registry);
    canonical.unwrap_or_else(|_| registry.to_ascii_lowercase())
}

/// What credential helpers know a registry by.
pub(super) fn helper_key(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_KEY,
        registry => registry,
    }
}

/// Whether it is the end of the name of a program, and no path to one.
fn is_helper(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
