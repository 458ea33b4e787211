//! What `.wash/config.yaml` says under `wit`: where packages come from, and where they go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::Spanned;
use wasm_pkg_common::label::Label;
use wasmcloud::registry::SecretText;
use wasmcloud::workload::{Diagnostic, Diagnostics};

use super::name::{Named, Typed};
use super::place::Place;

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawWit {
    registries: Vec<Spanned<RawRegistry>>,
    skip_fetch: bool,
    wit_dir: Option<Spanned<String>>,
    sources: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegistry {
    url: Spanned<String>,
    username: Option<String>,
    token: Option<SecretText>,
    namespaces: Option<Vec<Spanned<String>>>,
    ca_file: Option<Spanned<String>>,
}

/// What the table says; everything may be missing.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether `wash build` leaves the packages alone.
    pub(super) skip_fetch: bool,
    /// The folder of the WIT, relative to the project.
    pub(super) wit_dir: PathBuf,
    pub(super) registries: Vec<RegistrySetting>,
    /// Packages that come from somewhere else than the registry of their namespace.
    pub(super) sources: BTreeMap<Named, Source>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            skip_fetch: false,
            wit_dir: PathBuf::from("wit"),
            registries: Vec::new(),
            sources: BTreeMap::new(),
        }
    }
}

/// A registry that the project names.
#[derive(Clone, Debug)]
pub(super) struct RegistrySetting {
    pub(super) place: Place,
    pub(super) login: Option<Login>,
    /// Certificates of authorities that may vouch for it, relative to the project.
    pub(super) ca_file: Option<PathBuf>,
    /// Those whose packages it has; none: all that nothing else is said of.
    pub(super) namespaces: Option<Vec<Label>>,
}

/// A name and a password or token.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) token: SecretText,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A folder of `.wit` files, or one file, relative to the project.
    Path(PathBuf),
    /// A registry.
    Registry(Place),
}

impl RawWit {
    /// Checks the table. `text` and `file` are what it was read from.
    pub(crate) fn read(self, text: &str, file: &Path) -> Result<Settings, Diagnostics> {
        let mut checker = Checker {
            file: file.into(),
            text: text.into(),
            problems: Vec::new(),
        };
        let mut settings = Settings {
            skip_fetch: self.skip_fetch,
            ..Settings::default()
        };
        if let Some(dir) = &self.wit_dir {
            if dir.value.is_empty() {
                checker.error(dir, "`wit.wit_dir` is empty", "name a folder, such as wit");
            }
            settings.wit_dir = PathBuf::from(&dir.value);
        }
        for registry in &self.registries {
            let read = checker.registry(registry, &settings.registries);
            settings.registries.extend(read);
        }
        for (key, value) in &self.sources {
            settings.sources.extend(checker.source(key, value));
        }
        if checker.problems.is_empty() {
            Ok(settings)
        } else {
            Err(Diagnostics(checker.problems))
        }
    }
}

/// Gathers everything that is wrong with the table.
struct Checker {
    file: Arc<Path>,
    text: Arc<str>,
    problems: Vec<Diagnostic>,
}

impl Checker {
    fn error<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, hint: impl Into<String>) {
        let number = |number| u32::try_from(number).unwrap_or(1);
        let (line, column) = (number(at.referenced.line()), number(at.referenced.column()));
        let problem = Diagnostic::new(message)
            .in_file(Arc::clone(&self.file))
            .with_source(Arc::clone(&self.text));
        self.problems.push(problem.at(line, column).with_hint(hint));
    }

    fn registry(
        &mut self,
        raw: &Spanned<RawRegistry>,
        before: &[RegistrySetting],
    ) -> Option<RegistrySetting> {
        let RawRegistry {
            url,
            username,
            token,
            namespaces,
            ca_file,
        } = &raw.value;
        let place = match Place::read(&url.value) {
            Ok(place) => place,
            Err(wrong) => {
                let hint = "write it like https://ghcr.io/acme, or http://127.0.0.1:5000 for one without TLS";
                self.error(url, format!("`wit.registries[].url`: {wrong}"), hint);
                return None;
            }
        };
        let login = match (username, token) {
            (Some(username), Some(token)) => Some(Login {
                username: username.clone(),
                token: token.clone(),
            }),
            (None, None) => None,
            _ => {
                let hint = "give both, or neither: then those of `docker login` count";
                let message = "`username` and `token` of a registry go together";
                self.error(raw, message, hint);
                None
            }
        };
        let namespaces = match namespaces {
            Some(list) => Some(self.namespaces(list, before)),
            None => {
                if before.iter().any(|it| it.namespaces.is_none()) {
                    let message = "two registries without `namespaces`: which of them has a package could not be told";
                    self.error(raw, message, "list the `namespaces` of one of them");
                }
                None
            }
        };
        if let Some(file) = ca_file
            && (file.value.is_empty() || place.plain == Some(true))
        {
            let message = "`ca_file` of a registry says whose certificates are trusted";
            let hint = "name a file in PEM, and leave it out where there is no TLS";
            self.error(file, message, hint);
        }
        Some(RegistrySetting {
            place,
            login,
            ca_file: ca_file.as_ref().map(|it| PathBuf::from(&it.value)),
            namespaces,
        })
    }

    fn namespaces(&mut self, list: &[Spanned<String>], before: &[RegistrySetting]) -> Vec<Label> {
        let mut read: Vec<Label> = Vec::new();
        for text in list {
            let Ok(namespace) = text.value.parse::<Label>() else {
                let message = format!("`{}` is no namespace of packages", text.value);
                self.error(
                    text,
                    message,
                    "write the part before the colon of a package, such as wasi",
                );
                continue;
            };
            let mut taken = before
                .iter()
                .filter_map(|it| it.namespaces.as_ref())
                .flatten();
            if taken.any(|it| *it == namespace) || read.contains(&namespace) {
                let message = format!("the namespace `{namespace}` is in two places");
                self.error(text, message, "leave it to one registry");
            }
            read.push(namespace);
        }
        read
    }

    fn source(&mut self, key: &str, value: &Spanned<String>) -> Option<(Named, Source)> {
        let typed = match Typed::package(key) {
            Ok(typed) => typed,
            Err(failure) => {
                let hint = "the keys of `wit.sources` are like wasi:http or wasi:http@0.2.3";
                self.error(value, failure.message(), hint);
                return None;
            }
        };
        let named = Named {
            package: typed.package,
            version: typed.version,
        };
        match read_source(&named, &value.value) {
            Ok(source) => Some((named, source)),
            Err((message, hint)) => {
                self.error(value, format!("`wit.sources`: {key}: {message}"), hint);
                None
            }
        }
    }
}

/// Tells paths from registries, and from what wash 2 reads and this version does not.
fn read_source(named: &Named, text: &str) -> Result<Source, (String, String)> {
    let vendor = |what: &str| {
        let hint = "put the package into `wit/deps` by hand, or into a folder that is named here";
        (format!("{what} is not supported"), hint.to_owned())
    };
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Err(vendor("an archive from a web server"));
    }
    if lower.starts_with("git") && lower.contains(':') || lower.starts_with("ssh://") {
        return Err(vendor("a Git repository"));
    }
    if let Some(path) = text.strip_prefix("file://") {
        return Ok(Source::Path(PathBuf::from(path)));
    }
    let Some(reference) = text.strip_prefix("oci://") else {
        if text.is_empty() || text.contains("://") {
            let hint = "write a path, or oci:// and a repository";
            return Err((format!("`{text}` is no source"), hint.to_owned()));
        }
        return Ok(Source::Path(PathBuf::from(text)));
    };
    let end = format!("{}/{}", named.package.namespace(), named.package.name());
    let wanted = || {
        let hint = format!("write it like oci://ghcr.io/acme/{end}; the WIT says which version");
        (format!("the repository has to end in /{end}"), hint)
    };
    let before = reference.strip_suffix(&end).ok_or_else(wanted)?;
    let before = before.strip_suffix('/').ok_or_else(wanted)?;
    let place = Place::read(before).map_err(|wrong| (wrong, wanted().1))?;
    Ok(Source::Registry(place))
}

#[cfg(test)]
mod tests {
    use wasmcloud::workload::decode_yaml;

    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let file = Path::new("config.yaml");
        let raw: RawWit = decode_yaml(text, file).map_err(|error| error.to_string())?;
        raw.read(text, file).map_err(|wrong| {
            let all = wrong
                .0
                .iter()
                .map(|it| format!("{it} | {}", it.hint.as_deref().unwrap_or("")));
            all.collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn registries_and_sources_are_read() {
        let settings = read(
            "registries:\n- {url: 'http://127.0.0.1:5000', namespaces: [demo, acme]}\n- {url: ghcr.io/wit, username: ann, token: s3cret}\n\
             skip_fetch: true\nwit_dir: api\nsources:\n  demo:here: ../here\n  demo:there@0.1.0: oci://h.example/x/demo/there\n",
        )
        .unwrap();
        assert!(settings.skip_fetch);
        assert_eq!(settings.wit_dir, Path::new("api"));
        assert_eq!(settings.registries[0].place.to_string(), "127.0.0.1:5000");
        assert_eq!(settings.registries[1].place.to_string(), "ghcr.io/wit");
        assert!(!format!("{settings:?}").contains("s3cret"));
        let sources: Vec<_> = settings.sources.into_iter().collect();
        assert_eq!(sources[0].1, Source::Path("../here".into()));
        assert_eq!(sources[1].0.to_string(), "demo:there@0.1.0");
        assert!(
            matches!(&sources[1].1, Source::Registry(place) if place.to_string() == "h.example/x")
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_at_its_place() {
        for (text, wanted) in [
            (
                "sources: {'a:b': 'https://x.example/a.tar.gz'}",
                "an archive from a web server is not supported",
            ),
            (
                "sources: {'a:b': 'git+ssh://x/y'}",
                "a Git repository is not supported",
            ),
            (
                "sources: {'a:b': 'git@github.com:a/b.git'}",
                "a Git repository is not supported",
            ),
            (
                "sources: {'a:b': 'oci://x.example/c/d'}",
                "has to end in /a/b",
            ),
            (
                "sources: {'a:b': 'oci://x.example/a/b:1.0.0'}",
                "has to end in /a/b",
            ),
            ("sources: {'a:b': 'warg://x'}", "`warg://x` is no source"),
            ("sources: {'ab': x}", "`ab` names no package"),
            ("registries: [{url: 'ftp://x'}]", "wit.registries[].url"),
            (
                "registries: [{url: x.example}, {url: y.example}]",
                "two registries without `namespaces`",
            ),
            ("registries: [{url: x.example, username: u}]", "go together"),
            (
                "registries: [{url: 'http://x.example', ca_file: ca.pem}]",
                "`ca_file`",
            ),
            (
                "registries: [{url: x.example, namespaces: [a, a]}]",
                "in two places",
            ),
            (
                "registries: [{url: x.example, namespaces: ['a b']}]",
                "is no namespace",
            ),
            ("registry: x", "unknown field `registry`"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
            assert!(error.contains("config.yaml:1:"), "{error}");
        }
    }

    #[test]
    fn a_login_is_never_told() {
        let error =
            read("registries: [{url: 'ftp://x', username: ann, token: s3cret}]").unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
