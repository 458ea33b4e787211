//! The `config` of a `wasi:http` entry in `hostInterfaces`: which requests a workload answers.

use super::route::{HostName, PathPrefix, Pattern};
use crate::plugin::PluginError;
use crate::workload::{HostInterface, Workload, nearest};

const KEYS: [&str; 3] = ["host", "host-aliases", "path"];

/// The patterns that a workload's `wasi:http` entries ask for: each host and alias with the path, of each entry. Beside them,
/// everything that is wrong with the entries: unknown keys, and values that could match nothing.
pub(super) fn patterns(workload: &Workload) -> (Vec<Pattern>, Vec<PluginError>) {
    let (mut patterns, mut errors) = (Vec::new(), Vec::new());
    let entries = workload.host_interfaces.iter().enumerate();
    for (index, entry) in entries.filter(|(_, entry)| entry.is_http_handler()) {
        let mut wrong = |key: &str, error: PluginError| {
            errors.push(error.at(format!("spec.hostInterfaces.{index}.config.{key}")));
        };
        patterns.extend(of_entry(entry, &mut wrong));
    }
    patterns.sort();
    patterns.dedup();
    (patterns, errors)
}

fn of_entry(entry: &HostInterface, wrong: &mut impl FnMut(&str, PluginError)) -> Vec<Pattern> {
    for key in entry
        .config
        .keys()
        .filter(|key| !KEYS.contains(&key.as_str()))
    {
        wrong(key, unknown(key));
    }
    let setting = |key: &str| entry.config.get(key).map(String::as_str);
    let path = setting("path").map_or_else(|| Ok(PathPrefix::root()), PathPrefix::configured);
    let path = path.unwrap_or_else(|reason| {
        wrong("path", PluginError::new(reason));
        PathPrefix::root()
    });
    let aliases = setting("host-aliases")
        .into_iter()
        .flat_map(|list| list.split(','));
    let hosts = setting("host").map(|host| ("host", host)).into_iter();
    let mut patterns = Vec::new();
    for (key, host) in hosts.chain(aliases.map(|alias| ("host-aliases", alias))) {
        match HostName::configured(host.trim()) {
            Ok(host) => patterns.push(Pattern {
                host: Some(host),
                path: path.clone(),
            }),
            Err(reason) => wrong(key, PluginError::new(reason)),
        }
    }
    if patterns.is_empty() {
        patterns.push(Pattern { host: None, path });
    }
    patterns
}

fn unknown(key: &str) -> PluginError {
    let hint = nearest(key, KEYS).map_or_else(
        || format!("known settings are {}", KEYS.join(", ")),
        |key| format!("did you mean `{key}`?"),
    );
    PluginError::new(format!("`{key}` is not a setting of wasi:http")).hint(hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::collections::BTreeMap;

    use super::*;

    fn of(config: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let entry = HostInterface {
            name: None,
            namespace: "wasi".to_owned(),
            package: "http".to_owned(),
            interfaces: ["incoming-handler".to_owned()].into(),
            version: None,
            config: config
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        };
        let mut errors = Vec::new();
        let patterns = of_entry(&entry, &mut |key, error| {
            errors.push(format!(
                "{key}: {error}; {}",
                error.hint.clone().unwrap_or_default()
            ));
        });
        if errors.is_empty() {
            Ok(patterns.iter().map(ToString::to_string).collect())
        } else {
            Err(errors.join("\n"))
        }
    }

    #[test]
    fn without_settings_every_request_is_meant() {
        assert_eq!(of(&[]).unwrap(), ["*/"]);
        assert_eq!(of(&[("path", "/api/")]).unwrap(), ["*/api"]);
    }

    #[test]
    fn a_host_and_its_aliases_share_the_path() {
        let settings = [
            ("host", "a.example"),
            ("host-aliases", "b.example, C.example"),
            ("path", "/x"),
        ];
        assert_eq!(
            of(&settings).unwrap(),
            ["a.example/x", "b.example/x", "c.example/x"]
        );
    }

    #[test]
    fn what_would_have_no_effect_is_an_error() {
        assert_eq!(
            of(&[("hosts", "a")]).unwrap_err(),
            "hosts: `hosts` is not a setting of wasi:http; did you mean `host`?"
        );
        assert!(
            of(&[("host-aliases", "a.example,,b.example")])
                .unwrap_err()
                .contains("`` is no host name")
        );
        assert!(
            of(&[("path", "api")])
                .unwrap_err()
                .contains("must begin with `/`")
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_and_by_its_key() {
        let told = of(&[("hosst", "x"), ("path", "api"), ("host", "a b")]).unwrap_err();
        let keys: Vec<&str> = told
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0))
            .collect();
        assert_eq!(keys, ["hosst", "path", "host"]);
    }
}
