//! Which workload answers a request: by host name, then by the longest path prefix. Pure: a table is a value, changed by making
//! another.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use crate::workload::WorkloadId;

/// A host name in its canonical form: lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// From an authority such as `Example.COM:8080` or `[::1]:80`. None when there is no host in it.
    #[must_use]
    pub fn of_authority(authority: &str) -> Option<Self> {
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0,
            None => authority
                .rsplit_once(':')
                .map_or(authority, |(host, _)| host),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        (!host.is_empty()).then(|| Self(host.to_ascii_lowercase().into()))
    }

    /// From a configured name: an RFC 1123 host name or an IP address, without port.
    ///
    /// # Errors
    /// When it is neither, with the reason.
    pub fn configured(name: &str) -> Result<Self, String> {
        let bare = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(name);
        if bare.parse::<std::net::IpAddr>().is_ok() {
            return Ok(Self(bare.to_ascii_lowercase().into()));
        }
        let trimmed = name.strip_suffix('.').unwrap_or(name);
        let label_is_valid = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if trimmed.len() <= 253 && trimmed.split('.').all(label_is_valid) {
            return Ok(Self(trimmed.to_ascii_lowercase().into()));
        }
        Err(format!(
            "`{name}` is no host name: wanted are letters, digits and hyphens between dots, without port"
        ))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path prefix that ends where a path segment ends: `/api` covers `/api` and `/api/x`, not `/apis`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// The prefix of every path.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// From a configured path; a slash at its end means nothing.
    ///
    /// # Errors
    /// When it could not match any request's path as it is sent, with the reason.
    pub fn configured(path: &str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!("`{path}` is no path: it must begin with `/`"));
        }
        let sent_as_is = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}*".contains(&byte);
        if !path.bytes().all(sent_as_is) {
            return Err(format!(
                "`{path}` is no path prefix: write other characters percent-encoded, and no query, fragment or wildcard"
            ));
        }
        let trimmed = path.trim_end_matches('/');
        Ok(if trimmed.is_empty() {
            Self::root()
        } else {
            Self(trimmed.into())
        })
    }
}

impl Borrow<str> for PathPrefix {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a workload wants to answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// For one host name, or for all of them.
    pub host: Option<HostName>,
    /// For paths under this prefix.
    pub path: PathPrefix,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}{}", self.path),
            None => write!(f, "*{}", self.path),
        }
    }
}

/// A pattern that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash<T> {
    /// Which one.
    pub pattern: Pattern,
    /// What it leads to.
    pub holder: T,
}

/// Who answers what. `T` is whatever answers. Copies share what they have in common, so that a change costs as much with ten
/// thousand workloads as with one.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    hosts: HashMap<HostName, Prefixes<T>>,
    any_host: Prefixes<T>,
    /// What each workload holds.
    held: HashMap<WorkloadId, Arc<[Pattern]>>,
}

#[derive(Clone, Debug)]
struct Held<T> {
    by: WorkloadId,
    target: T,
}

/// Prefixes by path, and how many there are of each length.
#[derive(Clone, Debug)]
struct Prefixes<T> {
    held: HashMap<PathPrefix, Held<T>>,
    lengths: OrdMap<usize, usize>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self {
            held: HashMap::new(),
            lengths: OrdMap::new(),
        }
    }
}

impl<T: Clone> Prefixes<T> {
    fn insert(&mut self, prefix: PathPrefix, held: Held<T>) {
        let length = prefix.0.len();
        if self.held.insert(prefix, held).is_none() {
            *self.lengths.entry(length).or_default() += 1;
        }
    }

    fn remove(&mut self, prefix: &PathPrefix, by: &WorkloadId) {
        if self.held.get(prefix).is_none_or(|held| held.by != *by) {
            return;
        }
        self.held.remove(prefix);
        let length = prefix.0.len();
        let left = self.lengths.remove(&length).unwrap_or(1) - 1;
        if left > 0 {
            self.lengths.insert(length, left);
        }
    }

    fn longest(&self) -> usize {
        self.lengths.get_max().map_or(0, |(length, _)| *length)
    }

    /// The longest prefix that covers a path: the path itself, then what is left of each slash from the right. A request costs one
    /// look-up for each of its segments, however many workloads there are; segments beyond any configured prefix cost nothing.
    fn find(&self, path: &str) -> Option<&T> {
        let mut rest = path;
        let longest = self.longest();
        if rest.len() > longest {
            let end = rest
                .as_bytes()
                .iter()
                .take(longest + 1)
                .rposition(|byte| *byte == b'/');
            rest = rest.get(..end.unwrap_or_default()).unwrap_or_default();
        }
        loop {
            if let Some(held) = self.held.get(if rest.is_empty() { "/" } else { rest }) {
                return Some(&held.target);
            }
            rest = rest.rsplit_once('/')?.0;
        }
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            any_host: Prefixes::default(),
            held: HashMap::new(),
        }
    }
}

impl<T: Clone> Routes<T> {
    /// Who answers a request: the longest prefix among those for its host, else among those for all hosts.
    #[must_use]
    pub fn find(&self, host: &HostName, path: &str) -> Option<&T> {
        self.hosts
            .get(host)
            .and_then(|prefixes| prefixes.find(path))
            .or_else(|| self.any_host.find(path))
    }

    /// The table with a workload's patterns added. Patterns that `replaces` holds are taken over.
    ///
    /// # Errors
    /// With the first pattern that another workload holds.
    pub fn with(
        &self,
        by: &WorkloadId,
        patterns: &[Pattern],
        target: &T,
        replaces: Option<&WorkloadId>,
    ) -> Result<Self, Clash<T>> {
        let mut routes = self.clone();
        if let Some(replaced) = replaces {
            routes = routes.without(replaced);
        }
        for pattern in patterns {
            let prefixes = match &pattern.host {
                Some(host) => routes.hosts.entry(host.clone()).or_default(),
                None => &mut routes.any_host,
            };
            if let Some(held) = prefixes.held.get(&pattern.path)
                && held.by != *by
            {
                return Err(Clash {
                    pattern: pattern.clone(),
                    holder: held.target.clone(),
                });
            }
            prefixes.insert(
                pattern.path.clone(),
                Held {
                    by: by.clone(),
                    target: target.clone(),
                },
            );
        }
        let known = routes.held.get(by).into_iter().flat_map(|held| held.iter());
        let all: Vec<Pattern> = known.chain(patterns).cloned().collect();
        routes.held.insert(by.clone(), all.into());
        Ok(routes)
    }

    /// The table without anything that a workload holds.
    #[must_use]
    pub fn without(&self, by: &WorkloadId) -> Self {
        let mut routes = self.clone();
        let patterns = routes.held.remove(by);
        for pattern in patterns.iter().flat_map(|patterns| patterns.iter()) {
            let Some(host) = &pattern.host else {
                routes.any_host.remove(&pattern.path, by);
                continue;
            };
            if let Some(prefixes) = routes.hosts.get_mut(host) {
                prefixes.remove(&pattern.path, by);
                if prefixes.held.is_empty() {
                    routes.hosts.remove(host);
                }
            }
        }
        routes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn pattern(host: Option<&str>, path: &str) -> Pattern {
        Pattern {
            host: host.map(|host| HostName::configured(host).unwrap()),
            path: PathPrefix::configured(path).unwrap(),
        }
    }

    fn id(name: &str) -> WorkloadId {
        name.parse().unwrap()
    }

    fn table(routes: &[(&'static str, Option<&str>, &str)]) -> Routes<&'static str> {
        routes
            .iter()
            .fold(Routes::default(), |table, (name, host, path)| {
                table
                    .with(&id(name), &[pattern(*host, path)], name, None)
                    .unwrap()
            })
    }

    fn find(table: &Routes<&'static str>, authority: &str, path: &str) -> Option<&'static str> {
        table
            .find(&HostName::of_authority(authority)?, path)
            .copied()
    }

    #[test]
    fn the_longest_prefix_wins_and_ends_where_a_segment_ends() {
        let table = table(&[
            ("root", None, "/"),
            ("api", None, "/api"),
            ("v2", None, "/api/v2/"),
        ]);
        for (path, wanted) in [
            ("/", "root"),
            ("/apis", "root"),
            ("/api", "api"),
            ("/api/", "api"),
            ("/api/v1", "api"),
            ("/api/v2", "v2"),
            ("/api/v2/deep/er", "v2"),
            ("/api/v22", "api"),
            ("/x/api/v2", "root"),
        ] {
            assert_eq!(find(&table, "any.example", path), Some(wanted), "{path}");
        }
    }

    #[test]
    fn a_named_host_comes_before_any_host_whatever_the_case_and_port() {
        let table = table(&[
            ("any", None, "/"),
            ("shop", Some("Shop.example"), "/"),
            ("six", Some("::1"), "/"),
        ]);
        assert_eq!(find(&table, "SHOP.example.:8080", "/x"), Some("shop"));
        assert_eq!(find(&table, "other.example", "/x"), Some("any"));
        assert_eq!(find(&table, "[::1]:80", "/x"), Some("six"));
        assert_eq!(HostName::of_authority(":80"), None);
    }

    #[test]
    fn nothing_answers_where_nothing_is_routed() {
        let table = table(&[("api", Some("a.example"), "/api")]);
        assert_eq!(find(&table, "a.example", "/"), None);
        assert_eq!(find(&table, "b.example", "/api"), None);
        assert_eq!(find(&Routes::default(), "b.example", "/api"), None);
    }

    #[test]
    fn a_clash_names_the_holder_and_changes_nothing() {
        let table = table(&[("one", None, "/api")]);
        let clash = table
            .with(
                &id("two"),
                &[pattern(None, "/ok"), pattern(None, "/api/")],
                &"two",
                None,
            )
            .unwrap_err();
        assert_eq!(
            (clash.holder, clash.pattern.to_string()),
            ("one", "*/api".to_owned())
        );
        assert_eq!(find(&table, "x", "/ok"), None);
    }

    #[test]
    fn a_successor_takes_over_the_routes_of_the_one_it_replaces() {
        let before = table(&[("one", None, "/a"), ("other", None, "/b")]);
        let after = before
            .with(&id("two"), &[pattern(None, "/a")], &"two", Some(&id("one")))
            .unwrap();
        assert_eq!(find(&after, "x", "/a"), Some("two"));
        assert_eq!(find(&after, "x", "/b"), Some("other"));
        assert_eq!(find(&after.without(&id("two")), "x", "/a"), None);
    }

    #[test]
    fn names_and_paths_that_no_request_could_match_are_refused() {
        for host in [
            "",
            "a b",
            "-a.example",
            "a..b",
            "a.example:80",
            "*.example",
            "ä.example",
        ] {
            assert!(HostName::configured(host).is_err(), "{host}");
        }
        for path in ["", "api", "/a b", "/a?b", "/a*", "/ä"] {
            assert!(PathPrefix::configured(path).is_err(), "{path}");
        }
    }
}
