//! References to what is kept in registries, as the distribution specification of OCI has them:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>.

use std::fmt;
use std::str::FromStr;

use super::diagnostic::quoted;
use super::digest::{Digest, DigestError};

/// What a reference without a registry means to every client.
const DOCKER: &str = "docker.io";
/// The tag of a reference without one.
const LATEST: &str = "latest";
/// How long a name may be, and a tag.
const LONGEST: (usize, usize) = (255, 128);

/// `registry/repository:tag`, `registry/repository@digest`, or both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The host of the registry, with its port if it has one.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry. None of its steps is empty or begins with a dot.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag that is written in the reference, or `latest` where there is neither one nor a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match (&self.tag, self.digest) {
            (None, None) => Some(LATEST),
            (tag, _) => tag.as_deref(),
        }
    }

    /// The digest of the manifest, if the reference is pinned. It counts more than the tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What to ask the registry for: the digest, or else the tag.
    #[must_use]
    pub fn version(&self) -> String {
        match self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag().unwrap_or(LATEST).to_owned(),
        }
    }

    /// The same repository, at a digest and nothing else.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The same repository, under a tag and nothing else.
    ///
    /// # Errors
    /// When the text is no tag.
    pub fn tagged(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::new(tag, Problem::Tag));
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }
}

/// Text that is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no reference: {problem}; wanted `registry/repository:tag` or `registry/repository@sha256:…`", quoted(.found))]
pub struct ReferenceError {
    found: String,
    problem: Problem,
}

impl ReferenceError {
    fn new(found: &str, problem: Problem) -> Self {
        Self {
            found: found.to_owned(),
            problem,
        }
    }

    /// What is wrong with it, for a message that names it already.
    #[must_use]
    pub fn problem(&self) -> &(dyn std::error::Error + 'static) {
        &self.problem
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("it has no `/`")]
    NoRepository,
    #[error("its registry is no `host` or `host:port`")]
    Registry,
    #[error(
        "a repository is of lower-case letters and digits, with `.`, `_`, `__` or `-` between them, in steps with `/` between them"
    )]
    Repository,
    #[error("its repository is longer than {} letters", LONGEST.0)]
    Long,
    #[error(
        "a tag is of letters, digits, `_`, `.` and `-`, begins with neither of the last two, and has at most {} of them",
        LONGEST.1
    )]
    Tag,
    #[error("{0}")]
    Digest(DigestError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |problem| ReferenceError::new(text, problem);
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|error| wrong(Problem::Digest(error)))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (first, path) = name
            .split_once('/')
            .ok_or_else(|| wrong(Problem::NoRepository))?;
        let (registry, repository) = match is_registry(first) {
            true => (first, path),
            false => (DOCKER, name),
        };
        if !is_host(registry) {
            return Err(wrong(Problem::Registry));
        }
        if !repository.split('/').all(is_step) {
            return Err(wrong(Problem::Repository));
        }
        if repository.len() > LONGEST.0 {
            return Err(wrong(Problem::Long));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(Problem::Tag));
        }
        Ok(Self {
            registry: registry.to_ascii_lowercase(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Whether the first step is a registry: by what every client goes by.
fn is_registry(step: &str) -> bool {
    step.contains(['.', ':']) || step == "localhost" || step.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                match port.strip_prefix(':') {
                    Some(port) => ("v6", Some(port)),
                    None if port.is_empty() => ("v6", None),
                    None => return false,
                }
            }
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_step(step: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = |end: Option<u8>| end.is_some_and(alphanumeric);
    let between = step
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
        });
    ends(step.bytes().next()) && ends(step.bytes().last()) && between
}

fn is_tag(tag: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    !tag.is_empty()
        && tag.len() <= LONGEST.1
        && tag.bytes().all(inner)
        && !tag.starts_with(['.', '-'])
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, Option<String>, bool) {
        let reference: Reference = text.parse().unwrap();
        (
            reference.registry().to_owned(),
            reference.repository().to_owned(),
            reference.tag().map(str::to_owned),
            reference.digest().is_some(),
        )
    }

    #[test]
    fn a_reference_has_a_registry_a_repository_and_a_version() {
        let digest = Digest::of(b"");
        let is = |text: &str, registry: &str, repository: &str, tag: Option<&str>, pinned| {
            let wanted = (
                registry.to_owned(),
                repository.to_owned(),
                tag.map(str::to_owned),
                pinned,
            );
            assert_eq!(parts(text), wanted, "{text}");
        };
        is("ghcr.io/a/b:1.0", "ghcr.io", "a/b", Some("1.0"), false);
        is("GHCR.io/a/b", "ghcr.io", "a/b", Some("latest"), false);
        is(
            "localhost:5000/b",
            "localhost:5000",
            "b",
            Some("latest"),
            false,
        );
        is("[::1]:5000/b:x", "[::1]:5000", "b", Some("x"), false);
        is("acme/shop", "docker.io", "acme/shop", Some("latest"), false);
        let pinned = format!("r.example/a__b/c--d@{digest}");
        is(&pinned, "r.example", "a__b/c--d", None, true);
        let both = format!("r.example/a:1@{digest}");
        is(&both, "r.example", "a", Some("1"), true);
        assert_eq!(both.parse::<Reference>().unwrap().to_string(), both);
        assert_eq!(
            both.parse::<Reference>().unwrap().version(),
            digest.to_string()
        );
    }

    #[test]
    fn what_is_no_reference_is_told_why() {
        let told = |text: &str| text.parse::<Reference>().unwrap_err().to_string();
        assert_eq!(
            told("api"),
            "`api` is no reference: it has no `/`; wanted `registry/repository:tag` or `registry/repository@sha256:…`"
        );
        for registry in [
            "a_b.example/x",
            "r.example:0/x",
            "r.example:port/x",
            "[::1/x",
            "-a.b/x",
        ] {
            assert!(told(registry).contains("its registry is no"), "{registry}");
        }
        for repository in [
            "r.example/../etc",
            "r.example/a/../b",
            "r.example/A",
            "r.example/a//b",
            "r.example/",
            "r.example/a/.hidden",
            "r.example/a_-b",
            "r.example/a___b",
            "r.example/é",
            "r.example/a%2fb",
        ] {
            assert!(
                told(repository).contains("a repository is of"),
                "{repository}"
            );
        }
        for tag in [
            "r.example/a:",
            "r.example/a:.x",
            "r.example/a:-x",
            "r.example/a:x y",
        ] {
            assert!(told(tag).contains("a tag is of"), "{tag}");
        }
        assert!(told(&format!("r.example/a:{}", "x".repeat(129))).contains("a tag is of"));
        assert!(told(&format!("r.example/{}", "x".repeat(256))).contains("longer than 255"));
        assert!(told("r.example/a@sha256:12").contains("64 digits"));
        assert!(told("r.example/a@md5:12").contains("64 digits"));
    }
}
