//! The section `images`: registries, credentials for them, the cache of what was pulled, and what is demanded of images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::reader::{List, Number, Reader, Text, span};
use crate::registry::store::StoreOptions;
use crate::registry::verify::{Identity, Pattern, Subject};
use crate::registry::{
    AuthSource, ImageOptions, Login, Mirror, RegistrySettings, Requirement, Settings,
};
use crate::workload::{Diagnostics, Digest, Namespace, SecretName};

const MOST_ATTEMPTS: u32 = 100;
const MOST_PARALLEL: u32 = 1000;

/// How images are come by. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagesSection {
    /// Where they are kept.
    pub cache_dir: Option<PathBuf>,
    /// How many bytes of them are kept.
    pub cache_size: Option<u64>,
    /// The largest component, in bytes.
    pub largest: Option<u64>,
    /// How long a registry may be silent.
    pub silence: Option<Duration>,
    /// How long one thing may take in all.
    pub longest: Option<Duration>,
    /// How often something is tried in all.
    pub attempts: Option<u32>,
    /// How many are pulled at once.
    pub parallel: Option<usize>,
    /// A file with credentials that every workload may use.
    pub auth_file: Option<PathBuf>,
    /// Files with credentials, by namespace and name.
    pub pull_secrets: BTreeMap<(Namespace, SecretName), PathBuf>,
    /// What is special about registries.
    pub registries: BTreeMap<String, RegistrySection>,
    /// What is demanded of which images.
    pub verify: Vec<(Pattern, Requirement)>,
}

/// What is special about a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySection {
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// Files with authorities that may certify it.
    pub ca_files: Vec<PathBuf>,
    /// Who is asked before it.
    pub mirrors: Vec<MirrorSection>,
    /// Who one is there.
    pub login: Option<Login>,
}

/// Who has what a registry has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorSection {
    /// `host`, `host:port`, or either with a path.
    pub location: String,
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// Files with authorities that may certify it.
    pub ca_files: Vec<PathBuf>,
}

/// The section in a file of another kind, such as the configuration of a project.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct WrittenImages(Raw);

impl WrittenImages {
    /// Checks it. `text` and `file` are what it was read from, and relative paths in it begin at `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with it, with line and column.
    pub fn read(
        self,
        text: &str,
        file: &Path,
        folder: &Path,
    ) -> Result<ImagesSection, Diagnostics> {
        let mut reader = Reader::new(text, file).below(folder);
        let read = read(&mut reader, self.0);
        reader.finish(read)
    }
}

impl std::fmt::Debug for WrittenImages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrittenImages")
    }
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    cache_dir: Text,
    cache_size: Text,
    largest: Text,
    silence: Text,
    longest: Text,
    attempts: Number,
    parallel: Number,
    auth_file: Text,
    pull_secrets: Option<BTreeMap<String, BTreeMap<String, Spanned<String>>>>,
    registries: Option<BTreeMap<String, Spanned<RawRegistry>>>,
    verify: Option<Vec<Spanned<RawRule>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawRegistry {
    plain_http: Option<bool>,
    ca_files: List,
    mirrors: Option<Vec<Spanned<RawMirror>>>,
    username: Text,
    password_file: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawMirror {
    location: Text,
    plain_http: Option<bool>,
    ca_files: List,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawRule {
    images: Text,
    allow: Option<bool>,
    digests: List,
    keys: List,
    trust_root: Text,
    identities: Option<Vec<Spanned<RawIdentity>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawIdentity {
    issuer: Text,
    subject: Text,
    subject_pattern: Text,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> ImagesSection {
    let attempts = reader.number(raw.attempts, 1..=MOST_ATTEMPTS);
    let parallel = reader.number(raw.parallel, 1..=MOST_PARALLEL);
    ImagesSection {
        cache_dir: reader.path(raw.cache_dir),
        cache_size: reader.size(raw.cache_size),
        largest: reader.size(raw.largest),
        silence: reader.text(raw.silence, span),
        longest: reader.text(raw.longest, span),
        attempts,
        parallel: parallel.and_then(|number| usize::try_from(number).ok()),
        auth_file: reader.path(raw.auth_file),
        pull_secrets: pull_secrets(reader, raw.pull_secrets.unwrap_or_default()),
        registries: registries(reader, raw.registries.unwrap_or_default()),
        verify: raw
            .verify
            .unwrap_or_default()
            .into_iter()
            .filter_map(|rule| read_rule(reader, rule.referenced, rule.value))
            .collect(),
    }
}

fn pull_secrets(
    reader: &mut Reader,
    raw: BTreeMap<String, BTreeMap<String, Spanned<String>>>,
) -> BTreeMap<(Namespace, SecretName), PathBuf> {
    let mut secrets = BTreeMap::new();
    for (namespace, files) in raw {
        for (name, file) in files {
            let at = file.referenced;
            let whose: Result<Namespace, _> = namespace.parse();
            let whose = whose.map_err(|error| reader.error(at, error.to_string(), None));
            let named: Result<SecretName, _> = name.parse();
            let named = named.map_err(|error| reader.error(at, error.to_string(), None));
            let path = reader.path(Some(file));
            if let (Ok(whose), Ok(named), Some(path)) = (whose, named, path) {
                secrets.insert((whose, named), path);
            }
        }
    }
    secrets
}

fn registries(
    reader: &mut Reader,
    raw: BTreeMap<String, Spanned<RawRegistry>>,
) -> BTreeMap<String, RegistrySection> {
    let mut registries = BTreeMap::new();
    for (name, raw) in raw {
        let (at, raw) = (raw.referenced, raw.value);
        if let Err(error) = RegistrySettings::check_name(&name) {
            let hint = "settings are for one registry each, as references name it";
            reader.error(at, error.to_string(), Some(hint));
        }
        let login = login(reader, at, raw.username, raw.password_file);
        let mirrors = raw.mirrors.unwrap_or_default().into_iter();
        let section = RegistrySection {
            plain_http: raw.plain_http.unwrap_or_default(),
            ca_files: paths(reader, raw.ca_files),
            mirrors: mirrors
                .filter_map(|mirror| read_mirror(reader, mirror))
                .collect(),
            login,
        };
        registries.insert(name, section);
    }
    registries
}

fn paths(reader: &mut Reader, list: List) -> Vec<PathBuf> {
    let paths = reader.list(list, |reader, path| reader.path(Some(path)));
    paths.unwrap_or_default()
}

fn login(reader: &mut Reader, at: Location, username: Text, password_file: Text) -> Option<Login> {
    let missing = match (&username, &password_file) {
        (Some(_), None) => Some("`username` needs a `passwordFile`"),
        (None, Some(_)) => Some("`passwordFile` needs a `username`"),
        _ => None,
    };
    if let Some(missing) = missing {
        reader.error(at, missing, None);
    }
    let (username, password_file) = (reader.filled(username), reader.path(password_file));
    Some(Login {
        username: username?,
        password_file: password_file?,
    })
}

fn read_mirror(reader: &mut Reader, raw: Spanned<RawMirror>) -> Option<MirrorSection> {
    let (at, raw) = (raw.referenced, raw.value);
    if raw.location.is_none() {
        reader.error(at, "the mirror has no `location`", None);
    }
    let location = reader.text(raw.location, |text| match Mirror::check_location(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    });
    let ca_files = paths(reader, raw.ca_files);
    Some(MirrorSection {
        location: location?,
        plain_http: raw.plain_http.unwrap_or_default(),
        ca_files,
    })
}

fn read_rule(reader: &mut Reader, at: Location, raw: RawRule) -> Option<(Pattern, Requirement)> {
    if raw.images.is_none() {
        reader.error(at, "the rule does not say for which `images` it is", None);
    }
    let pattern = raw.images.and_then(|text| match text.value.parse() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let error: crate::registry::verify::PatternError = error;
            reader.error(text.referenced, error.to_string(), None);
            None
        }
    });
    let said = [
        raw.allow.is_some(),
        raw.digests.is_some(),
        raw.keys.is_some(),
        raw.identities.is_some(),
    ];
    if said.iter().filter(|said| **said).count() != 1 {
        let message = "a rule demands one of `allow`, `digests`, `keys` and `identities`";
        reader.error(at, message, None);
        return None;
    }
    if raw.trust_root.is_some() != raw.identities.is_some() {
        let message = "`identities` and `trustRoot` belong together";
        reader.error(at, message, None);
        return None;
    }
    let requirement = if let Some(allow) = raw.allow {
        match allow {
            true => Requirement::Nothing,
            false => Requirement::Deny,
        }
    } else if raw.digests.is_some() {
        Requirement::Digests(digests(reader, raw.digests))
    } else if raw.keys.is_some() {
        Requirement::Keys(filled(reader, at, "keys", |reader| paths(reader, raw.keys)))
    } else {
        let raw_identities = raw.identities.unwrap_or_default();
        Requirement::Identities {
            trust_root: reader.path(raw.trust_root)?,
            identities: filled(reader, at, "identities", |reader| {
                let read = |raw| read_identity(reader, raw);
                raw_identities.into_iter().filter_map(read).collect()
            }),
        }
    };
    Some((pattern?, requirement))
}

/// A list that names somebody: by an empty one, nobody could ever have signed.
fn filled<T>(
    reader: &mut Reader,
    at: Location,
    what: &str,
    read: impl FnOnce(&mut Reader) -> Vec<T>,
) -> Vec<T> {
    let list = read(reader);
    if list.is_empty() {
        let message = format!("`{what}` is empty, so that no image could ever run");
        reader.error(
            at,
            message,
            Some("write `allow: false` if that is what is wanted"),
        );
    }
    list
}

fn digests(reader: &mut Reader, list: List) -> BTreeSet<Digest> {
    let read = reader.list(list, |reader, text| match text.value.parse() {
        Ok(digest) => Some(digest),
        Err(error) => {
            let error: crate::workload::DigestError = error;
            reader.error(text.referenced, error.to_string(), None);
            None
        }
    });
    read.unwrap_or_default().into_iter().collect()
}

fn read_identity(reader: &mut Reader, raw: Spanned<RawIdentity>) -> Option<Identity> {
    let (at, raw) = (raw.referenced, raw.value);
    if raw.issuer.is_none() {
        reader.error(at, "the identity has no `issuer`", None);
    }
    if raw.subject.is_some() == raw.subject_pattern.is_some() {
        let message = "an identity has either a `subject` or a `subjectPattern`";
        reader.error(at, message, None);
    }
    let exact = reader.filled(raw.subject).map(|text| Subject::exact(&text));
    let pattern = reader.text(raw.subject_pattern, |text| {
        Subject::pattern(text).map_err(|error| error.to_string())
    });
    Some(Identity {
        issuer: reader.filled(raw.issuer)?,
        subject: exact.or(pattern)?,
    })
}

impl ImagesSection {
    /// Puts what it says over some options.
    pub fn apply(&self, options: &mut ImageOptions) {
        if self.cache_dir.is_some() {
            options.cache.clone_from(&self.cache_dir);
        }
        let StoreOptions { limit, wait } = options.store;
        options.store = StoreOptions {
            limit: self.cache_size.unwrap_or(limit),
            wait,
        };
        self.apply_settings(&mut options.settings);
        if let Some(file) = &self.auth_file {
            options.auth = AuthSource::File(file.clone());
        }
        options.pull_secrets.extend(self.pull_secrets.clone());
        for (name, section) in &self.registries {
            if let Some(login) = &section.login {
                options.logins.insert(name.clone(), login.clone());
            }
        }
        options.verify.extend(self.verify.iter().cloned());
    }

    fn apply_settings(&self, settings: &mut Settings) {
        settings.largest_image = self.largest.unwrap_or(settings.largest_image);
        settings.silence = self.silence.unwrap_or(settings.silence);
        settings.longest = self.longest.unwrap_or(settings.longest);
        settings.parallel = self.parallel.unwrap_or(settings.parallel);
        let retries = &mut settings.retries;
        retries.attempts = self.attempts.unwrap_or(retries.attempts);
        for (name, section) in &self.registries {
            let mirror = |mirror: &MirrorSection| Mirror {
                location: mirror.location.clone(),
                plain_http: mirror.plain_http,
                ca_files: mirror.ca_files.clone(),
                credentials: None,
            };
            let listed = RegistrySettings {
                plain_http: section.plain_http,
                ca_files: section.ca_files.clone(),
                mirrors: section.mirrors.iter().map(mirror).collect(),
                credentials: None,
            };
            settings.registries.insert(name.clone(), listed);
        }
    }
}
