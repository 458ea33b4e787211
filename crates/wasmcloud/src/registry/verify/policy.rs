//! What a host demands of which images.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::workload::{Digest, Reference};

use super::check;
use super::error::VerifyError;
use super::glob::Glob;
use super::key::PublicKey;
use super::source::SignatureSource;
use super::trust::TrustRoot;

/// What a host demands of the images it runs. The first rule whose pattern goes for an image decides, in the order they are written.
#[derive(Clone, Debug)]
pub struct VerifyPolicy {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What is demanded of an image that no rule goes for.
    pub otherwise: Demand,
}

impl Default for VerifyPolicy {
    /// Demands nothing.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            otherwise: Demand::Nothing,
        }
    }
}

/// A demand for some images.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which images.
    pub pattern: Pattern,
    /// What is demanded of them.
    pub demand: Demand,
}

/// What is demanded of an image.
#[derive(Clone, Debug)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// It must not run at all.
    Deny,
    /// Its manifest is one of these.
    Digests(BTreeSet<Digest>),
    /// It is signed by one of these keys.
    Signed {
        /// The keys.
        keys: Vec<PublicKey>,
    },
    /// It is signed by somebody whom an authority of the trust root has certified to be one of these, and a log of the trust root has
    /// recorded it.
    Keyless {
        /// The authorities and logs.
        root: Arc<TrustRoot>,
        /// Who may sign.
        identities: Vec<Identity>,
    },
}

/// Somebody who may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who has said who they are: the URL of an OIDC issuer, as it stands in certificates.
    pub issuer: String,
    /// Who they are.
    pub subject: Subject,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of `{}`", self.subject, self.issuer)
    }
}

/// An address of mail, or the URI of a workflow, as certificates have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Written);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    Exact(String),
    Pattern(Glob),
}

impl Subject {
    /// Exactly this one.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self(Written::Exact(text.to_owned()))
    }

    /// All that fit a pattern: `*` is any run of characters without a `/`, and `**` any run of characters at all.
    ///
    /// # Errors
    /// When the text is empty, too long, or has spaces.
    pub fn pattern(text: &str) -> Result<Self, PatternError> {
        let glob = Glob::parse(text).ok_or_else(|| PatternError::new(text, Problem::Text))?;
        Ok(Self(Written::Pattern(glob)))
    }

    pub(super) fn matches(&self, subject: &str) -> bool {
        match &self.0 {
            Written::Exact(wanted) => wanted == subject,
            Written::Pattern(wanted) => wanted.matches(subject),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Written::Exact(text) => text,
            Written::Pattern(glob) => glob.as_str(),
        })
    }
}

/// Which images a rule goes for: `registry/repository`, with stars. `*` stands for any run of characters within a step, `**` for any
/// number of steps, and `*` alone for every image.
///
/// Registry and repository mean what they mean in a [`Reference`], so that no image evades a rule by another spelling of its name. Stars
/// in the registry stand for parts of the form that it has there: without the port of HTTPS, and with `docker.io/library/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Glob);

impl Pattern {
    /// Whether it goes for an image. Tag and digest count for nothing.
    #[must_use]
    pub fn matches(&self, image: &Reference) -> bool {
        let name = format!("{}/{}", image.registry(), image.repository());
        self.0.as_str() == "*" || self.0.matches(&name)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = |problem| Err(PatternError::new(text, problem));
        if text == "*" || text == "**" {
            return Glob::parse("*").map_or_else(|| wrong(Problem::Text), |glob| Ok(Self(glob)));
        }
        let Some((registry, repository)) = text.split_once('/') else {
            return wrong(Problem::NoRepository);
        };
        if repository.contains([':', '@']) {
            return wrong(Problem::Version);
        }
        let is_allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-*".contains(c);
        let is_step = |step: &str| !step.is_empty() && step.chars().all(is_allowed);
        if !repository.split('/').all(is_step) {
            return wrong(Problem::Repository);
        }
        let name = match canonical(registry, repository) {
            Ok(name) => name,
            Err(problem) => return wrong(problem),
        };
        match Glob::parse(&name) {
            Some(glob) => Ok(Self(glob)),
            None => wrong(Problem::Text),
        }
    }
}

/// As references have it, so that nobody writes a rule for one place and gets one for another.
fn canonical(registry: &str, repository: &str) -> Result<String, Problem> {
    if registry.contains('*') {
        return Ok(format!("{}/{repository}", registry.to_ascii_lowercase()));
    }
    if !registry.contains(['.', ':']) && registry != "localhost" {
        return Err(Problem::Registry);
    }
    let registry = Reference::canonical_registry(registry)
        .map_err(|error| Problem::Host(error.problem().to_string()))?;
    // Two stars are steps already.
    if repository.starts_with("**") {
        return Ok(format!("{registry}/{repository}"));
    }
    let full = Reference::canonical_repository(&registry, repository);
    // What the stars stand for may be below the top or not, and one pattern cannot say both.
    if full != repository && repository.contains("**") {
        return Err(Problem::Top);
    }
    Ok(format!("{registry}/{full}"))
}

/// Text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no pattern: {problem}", found.escape_debug())]
pub struct PatternError {
    found: String,
    problem: Problem,
}

impl PatternError {
    fn new(found: &str, problem: Problem) -> Self {
        Self {
            found: found.chars().take(200).collect(),
            problem,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error(
        "it has no `/`; wanted `registry/repository` with stars, as in `ghcr.io/acme/*`, or `*` for every image"
    )]
    NoRepository,
    #[error(
        "its first step is no registry; wanted one with a `.` or a port, as in `docker.io/acme/*`"
    )]
    Registry,
    #[error("{0}")]
    Host(String),
    #[error(
        "a name without a `/` is one of `docker.io/library/`, and `**` in it could be of others too; wanted `docker.io/library/…` for those, or a `/` before the `**`"
    )]
    Top,
    #[error("rules go for repositories, not for tags or digests")]
    Version,
    #[error(
        "a repository is of lower-case letters, digits, `.`, `_`, `-` and stars, in steps with `/` between them"
    )]
    Repository,
    #[error(
        "it is empty, has spaces, or has more than {} bytes",
        super::glob::LONGEST
    )]
    Text,
}

/// An image that meets what is demanded of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The digest of its manifest. What is run must come from this one.
    pub manifest: Digest,
    /// By what.
    pub by: Proof,
}

/// What an image meets a demand by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing was demanded.
    NoDemand,
    /// Its manifest is a pinned one.
    Pinned,
    /// It is signed by a key.
    Key {
        /// The fingerprint of the key.
        fingerprint: Digest,
    },
    /// It is signed by somebody.
    Identity {
        /// Who has said who they are.
        issuer: String,
        /// Who they are.
        subject: String,
        /// When, as a log or an authority for timestamps has it.
        signed: jiff::Timestamp,
    },
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDemand => f.write_str("no signature is demanded"),
            Self::Pinned => f.write_str("its digest is pinned"),
            Self::Key { fingerprint } => write!(f, "signed by the key {fingerprint}"),
            Self::Identity {
                issuer,
                subject,
                signed,
            } => {
                // The rule may leave parts of who it is to whoever asked for the certificate.
                let subject = subject.escape_debug();
                write!(f, "signed by `{subject}` of `{issuer}` at {signed}")
            }
        }
    }
}

impl VerifyPolicy {
    /// What is demanded of an image.
    #[must_use]
    pub fn demand(&self, image: &Reference) -> &Demand {
        self.rule(image)
            .map_or(&self.otherwise, |rule| &rule.demand)
    }

    fn rule(&self, image: &Reference) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.pattern.matches(image))
    }

    /// Whether an image meets what is demanded of it.
    ///
    /// The signatures are asked for in the repository of the image, and only if there is a demand for some. They are for the manifest:
    /// whoever runs the image takes from it the digests of everything else.
    ///
    /// # Errors
    /// When it does not, or the signatures cannot be had.
    pub async fn verify(
        &self,
        image: &Reference,
        manifest: Digest,
        source: &dyn SignatureSource,
    ) -> Result<Verified, VerifyError> {
        let rule = self.rule(image);
        let demand = rule.map_or(&self.otherwise, |rule| &rule.demand);
        match check::check(demand, manifest, source).await {
            Ok(by) => Ok(Verified { manifest, by }),
            Err(kind) => Err(VerifyError {
                image: image.clone(),
                manifest,
                rule: rule.map(|rule| rule.pattern.clone()),
                wanted: demand.to_string(),
                kind,
            }),
        }
    }
}

impl Demand {
    /// Tells demands apart: the same for the same demand, in whatever order it names keys and identities. For remembering that an
    /// image has met it.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let mut lines = match self {
            Self::Nothing => vec!["nothing".to_owned()],
            Self::Deny => vec!["deny".to_owned()],
            Self::Digests(pinned) => pinned
                .iter()
                .map(|digest| format!("pinned {digest}"))
                .collect(),
            Self::Signed { keys } => keys
                .iter()
                .map(|key| format!("key {}", key.fingerprint()))
                .collect(),
            Self::Keyless { root, identities } => identities
                .iter()
                .map(|identity| format!("root {} {identity:?}", root.digest()))
                .collect(),
        };
        lines.sort_unstable();
        lines.dedup();
        Digest::of(format!("{:?}", lines).as_bytes())
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Deny => f.write_str("that it does not run"),
            Self::Digests(pinned) => list(f, "the manifest ", pinned),
            Self::Signed { keys } => {
                let keys: Vec<_> = keys.iter().map(PublicKey::fingerprint).collect();
                list(f, "a signature by the key ", &keys)
            }
            Self::Keyless { identities, .. } => list(f, "a signature by ", identities),
        }
    }
}

/// The first few of them.
fn list<'a, T: fmt::Display + 'a>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    of: impl IntoIterator<Item = &'a T>,
) -> fmt::Result {
    const SHOWN: usize = 4;
    let all: Vec<&T> = of.into_iter().collect();
    f.write_str(what)?;
    for (at, one) in all.iter().take(SHOWN).enumerate() {
        let between = if at == 0 { "" } else { " or " };
        write!(f, "{between}{one}")?;
    }
    match all.len() {
        0 => f.write_str("of nobody"),
        n if n > SHOWN => write!(f, " or {} more", n - SHOWN),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, demand: Demand) -> Rule {
        Rule {
            pattern: pattern.parse().unwrap(),
            demand,
        }
    }

    fn told(pattern: &str) -> String {
        pattern.parse::<Pattern>().unwrap_err().to_string()
    }

    #[test]
    fn the_first_rule_that_goes_for_an_image_decides() {
        let policy = VerifyPolicy {
            rules: vec![
                rule("ghcr.io/acme/tools/*", Demand::Nothing),
                rule("ghcr.io/acme/**", Demand::Digests(BTreeSet::new())),
                rule("Registry.Example:5000/**", Demand::Signed { keys: vec![] }),
                rule("*.internal/*", Demand::Nothing),
            ],
            otherwise: Demand::Deny,
        };
        let demand = |image: &str| policy.demand(&image.parse().unwrap()).to_string();
        assert_eq!(demand("ghcr.io/acme/tools/wash:1"), "nothing");
        assert_eq!(
            demand("ghcr.io/acme/tools/wash/deep"),
            "the manifest of nobody"
        );
        assert_eq!(demand("GHCR.io/acme/shop"), "the manifest of nobody");
        assert_eq!(
            demand("registry.example:5000/a/b"),
            "a signature by the key of nobody"
        );
        assert_eq!(demand("registry.example/a/b"), "that it does not run");
        assert_eq!(
            demand("ghcr.io.evil.example/acme/shop"),
            "that it does not run"
        );
        assert_eq!(demand("a.internal/x"), "nothing");
        assert_eq!(demand("evil.example/a.internal/x"), "that it does not run");
        assert_eq!(demand("ghcr.io/acme-evil/shop"), "that it does not run");
    }

    #[test]
    fn a_star_alone_goes_for_every_image() {
        let every: Pattern = "*".parse().unwrap();
        for image in ["a.example/b", "localhost:5000/a/b/c", "acme/shop"] {
            assert!(every.matches(&image.parse().unwrap()), "{image}");
        }
        assert_eq!("**".parse(), Ok(every));
        let docker: Pattern = "docker.io/acme/*".parse().unwrap();
        assert!(docker.matches(&"acme/shop".parse().unwrap()));
        assert_eq!(
            VerifyPolicy::default()
                .demand(&"a.b/c".parse().unwrap())
                .to_string(),
            "nothing"
        );
    }

    #[test]
    fn no_image_evades_a_rule_by_another_spelling_of_its_name() {
        let is = |pattern: &str, images: &[&str]| {
            let pattern: Pattern = pattern.parse().unwrap();
            for image in images {
                assert!(
                    pattern.matches(&image.parse().unwrap()),
                    "{pattern}: {image}"
                );
            }
        };
        let redis = [
            "docker.io/redis:7",
            "docker.io/library/redis:7",
            "index.docker.io/redis:7",
            "registry-1.docker.io:443/library/redis:7",
            "registry.hub.docker.com/redis:7",
            "library/redis:7",
        ];
        for pattern in [
            "docker.io/library/*",
            "docker.io/*",
            "docker.io/**",
            "docker.io/redis",
            "docker.io/re*",
            "docker.io/*/redis",
            "docker.io/**redis",
            "index.docker.io/library/redis",
            "registry-1.docker.io:443/redis",
            "registry.hub.docker.com/**",
            "Docker.io/*",
            "*/library/redis",
        ] {
            is(pattern, &redis);
        }
        let bad = ["ghcr.io/bad/x", "ghcr.io:443/bad/x", "GHCR.io:0443/bad/x"];
        for pattern in [
            "ghcr.io/bad/**",
            "ghcr.io:443/bad/**",
            "GHCR.io/bad/*",
            "*.io/bad/x",
        ] {
            is(pattern, &bad);
        }
        let address = ["10.0.0.5:5000/x", "[::ffff:10.0.0.5]:05000/x"];
        is("10.0.0.5:5000/*", &address);
        is("[::ffff:a00:5]:5000/*", &address);
        is("[2001:DB8:0::1]/*", &["[2001:db8::1]:443/x"]);
        is("registry:443/*", &["registry:443/x", "Registry/x"]);
    }

    #[test]
    fn a_rule_for_the_images_of_docker_goes_for_no_others() {
        let is = |pattern: &str, image: &str| {
            let pattern: Pattern = pattern.parse().unwrap();
            pattern.matches(&image.parse().unwrap())
        };
        assert!(!is("docker.io/*", "docker.io/acme/shop"));
        assert!(!is("docker.io/redis", "docker.io/acme/redis"));
        assert!(!is("docker.io/library/*", "r.example/redis"));
        assert!(!is("ghcr.io/*", "ghcr.io/library/redis"));
        assert!(!is("ghcr.io:444/**", "ghcr.io/x"));
        let told = "docker.io/redis".parse::<Pattern>().unwrap().to_string();
        assert_eq!(told, "docker.io/library/redis");
    }

    #[test]
    fn what_is_no_pattern_is_told_why() {
        assert!(told("ghcr.io").contains("has no `/`"));
        assert!(told("").contains("has no `/`"));
        assert!(told("acme/*").contains("no registry"));
        assert!(told("a_b.example/*").contains("no `host` or `host:port`"));
        assert!(told("r.example:0/*").contains("no `host` or `host:port`"));
        assert!(told("0x7f.1/*").contains("not four plain numbers"));
        assert!(told("10.0.5:5000/*").contains("not four plain numbers"));
        assert!(told("docker.io/re**").contains("wanted `docker.io/library/…`"));
        assert!(told("ghcr.io/acme/shop:1.0").contains("not for tags"));
        assert!(told("ghcr.io/acme@sha256:12").contains("not for tags"));
        assert!(told("ghcr.io/Acme/*").contains("lower-case"));
        assert!(told("ghcr.io//*").contains("lower-case"));
        assert!(told("ghcr.io/a b").contains("lower-case"));
        assert!(told(&format!("ghcr.io/{}", "a".repeat(2000))).contains("more than"));
    }

    #[test]
    fn the_same_demand_has_the_same_fingerprint() {
        let pinned = |texts: &[&str]| {
            let digests = texts.iter().map(|text| Digest::of(text.as_bytes()));
            Demand::Digests(digests.collect()).fingerprint()
        };
        assert_eq!(pinned(&["a", "b"]), pinned(&["b", "a"]));
        assert_ne!(pinned(&["a", "b"]), pinned(&["a"]));
        assert_ne!(Demand::Nothing.fingerprint(), Demand::Deny.fingerprint());
    }
}
