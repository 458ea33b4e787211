//! References to what is kept in registries, as the distribution specification of OCI has them:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::diagnostic::quoted;
use super::digest::{Digest, DigestError};

/// What a reference without a registry means to every client.
const DOCKER: &str = "docker.io";
/// What else the registry of Docker is called.
const ALSO_DOCKER: [&str; 3] = [
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
];
/// The step that what Docker itself publishes is below, and is written without.
const LIBRARY: &str = "library";
/// The port that a registry has when none is written.
const HTTPS: u16 = 443;
/// The tag of a reference without one.
const LATEST: &str = "latest";
/// How long a name may be, and a tag.
const LONGEST: (usize, usize) = (255, 128);

/// `registry/repository:tag`, `registry/repository@digest`, or both.
///
/// However it was written, it has one form, by which rules and caches go: the host is in lower case, the port of HTTPS is left out, an
/// IPv6 address is at its shortest, Docker's registry is `docker.io`, and what is at the top of that is in `library/`.
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

    /// The form that a registry has in references, of a text that names one.
    ///
    /// # Errors
    /// When the text would not be the registry of a reference.
    pub fn canonical_registry(text: &str) -> Result<String, ReferenceError> {
        let wrong = |problem| ReferenceError::new(text, problem);
        match is_registry(text) {
            true => canonical(text).map_err(wrong),
            false => Err(wrong(Problem::Registry)),
        }
    }

    /// The form that a repository has in references to a registry, which is in its own form already.
    #[must_use]
    pub fn canonical_repository(registry: &str, repository: &str) -> String {
        match registry == DOCKER && !repository.contains('/') {
            true => format!("{LIBRARY}/{repository}"),
            false => repository.to_owned(),
        }
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
    #[error("the address of its registry is not four plain numbers, as in `10.0.0.5`")]
    Address,
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
        let registry = canonical(registry).map_err(wrong)?;
        let repository = Self::canonical_repository(&registry, repository);
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
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Whether the first step is a registry: by what every client goes by.
fn is_registry(step: &str) -> bool {
    step.contains(['.', ':']) || step == "localhost" || step.bytes().any(|b| b.is_ascii_uppercase())
}

/// The one form of a registry: two texts that lead to the same host and port have the same.
fn canonical(text: &str) -> Result<String, Problem> {
    let (host, port) = match text.rsplit_once(':') {
        // The last colon within an IPv6 address is none before a port.
        Some((host, port)) if !port.ends_with(']') => {
            (host, Some(port_number(port).ok_or(Problem::Registry)?))
        }
        _ => (text, None),
    };
    let host = canonical_host(host)?;
    Ok(match port {
        None | Some(HTTPS) if is_registry(&host) => host,
        // Without a port, it would be read as the first step of a repository.
        port => format!("{host}:{}", port.unwrap_or(HTTPS)),
    })
}

fn port_number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse::<u16>().ok()?;
    (is_number && port > 0).then_some(port)
}

fn canonical_host(text: &str) -> Result<String, Problem> {
    if let Some(rest) = text.strip_prefix('[') {
        let address = rest.strip_suffix(']').ok_or(Problem::Registry)?;
        let address = address.parse::<Ipv6Addr>();
        let address = address.map_err(|_| Problem::Registry)?;
        // One that stands for an IPv4 address leads to the same server as that.
        return Ok(match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
    }
    let host = text.to_ascii_lowercase();
    if !host.split('.').all(is_label) {
        return Err(Problem::Registry);
    }
    if is_numeric(&host) && host.parse::<Ipv4Addr>().is_err() {
        return Err(Problem::Address);
    }
    match ALSO_DOCKER.contains(&host.as_str()) {
        true => Ok(DOCKER.to_owned()),
        false => Ok(host),
    }
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !label.is_empty()
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether URLs take a host for an IPv4 address (<https://url.spec.whatwg.org/#ends-in-a-number-checker>), of which they read many more
/// forms than one.
fn is_numeric(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => last.bytes().all(|b| b.is_ascii_digit()),
    }
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
    fn two_spellings_of_one_repository_are_one_reference() {
        let same = |one: &str, others: &[&str]| {
            let wanted: Reference = one.parse().unwrap();
            assert_eq!(wanted.to_string(), one);
            for other in others {
                assert_eq!(other.parse(), Ok(wanted.clone()), "{other}");
            }
        };
        same(
            "docker.io/library/redis:7",
            &[
                "docker.io/redis:7",
                "Docker.IO:443/redis:7",
                "index.docker.io/redis:7",
                "registry-1.docker.io/library/redis:7",
                "registry.hub.docker.com:0443/redis:7",
                "library/redis:7",
            ],
        );
        same("docker.io/acme/shop", &["registry-1.docker.io/acme/shop"]);
        same(
            "ghcr.io/bad/x",
            &["ghcr.io:443/bad/x", "GHCR.io:00443/bad/x"],
        );
        same("r.example:5000/x", &["r.example:05000/x"]);
        same("localhost/x", &["localhost:443/x", "LOCALHOST/x"]);
        same(
            "[2001:db8::1]:5000/x",
            &[
                "[2001:DB8:0:0:0:0:0:1]:5000/x",
                "[2001:0db8::0001]:5000/x",
                "[2001:db8::0.0.0.1]:5000/x",
            ],
        );
        same("[::1]/x", &["[0:0:0:0:0:0:0:1]:443/x"]);
        same(
            "10.0.0.5:5000/x",
            &["[::ffff:10.0.0.5]:5000/x", "[::ffff:a00:5]:5000/x"],
        );
        let digest = Digest::of(b"");
        let pinned: Reference = format!("docker.io/redis:7@{digest}").parse().unwrap();
        assert_eq!(
            pinned.to_string(),
            format!("docker.io/library/redis:7@{digest}")
        );
    }

    #[test]
    fn a_host_that_would_be_read_as_a_repository_keeps_its_port() {
        for text in ["registry:443/x", "registry:0443/x", "Registry/x"] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), "registry:443/x", "{text}");
            assert_eq!(reference.to_string().parse(), Ok(reference));
        }
        assert_eq!(parts("registry/x").0, "docker.io");
        assert_eq!(
            Reference::canonical_registry("registry-1.docker.io:443").as_deref(),
            Ok("docker.io")
        );
        assert!(Reference::canonical_registry("registry").is_err());
    }

    #[test]
    fn an_address_in_another_form_than_four_plain_numbers_is_refused() {
        for host in [
            "10.0.5:5000",
            "0x7f.1",
            "0X7F.0.0.1",
            "2130706433:5000",
            "127.1",
            "127.0.0.01",
            "127.0.0.256",
            "127.0.0.0x1",
            "127.0.0.0x",
            "1.2.3.4.5",
            "r.example.7",
        ] {
            let text = format!("{host}/x");
            let told = text.parse::<Reference>().unwrap_err().to_string();
            assert!(told.contains("not four plain numbers"), "{told}");
        }
        for host in ["10.0.0.5", "10.0.0.5:5000", "0x.example", "1.2.3.4e"] {
            assert_eq!(parts(&format!("{host}/x")).0, host);
        }
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
            "r.example:+80/x",
            "r.example:65536/x",
            "r.example./x",
            "[::1/x",
            "[::1]5000/x",
            "[::1]x:5000/x",
            "[r.example]/x",
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
