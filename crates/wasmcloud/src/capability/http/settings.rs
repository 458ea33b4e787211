//! The `config` of a `wasi:http` entry in `hostInterfaces`: which requests a workload answers.

use super::route::{HostName, PathPrefix, Pattern};
use crate::plugin::PluginError;
use crate::workload::{HostInterface, nearest};

const KEYS: [&str; 3] = ["host", "host-aliases", "path"];

/// The patterns that a workload's `wasi:http` entries ask for: each host and alias with the path, of each entry.
///
/// # Errors
/// When a key is unknown or a value could match nothing.
pub(super) fn patterns(workload: &crate::workload::Workload) -> Result<Vec<Pattern>, PluginError> {
    let mut patterns = Vec::new();
    for (index, entry) in workload
        .host_interfaces
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.is_http_handler())
    {
        patterns.extend(
            of_entry(entry).map_err(|error| error.at(format!("spec.hostInterfaces.{index}")))?,
        );
    }
    patterns.sort();
    patterns.dedup();
    Ok(patterns)
}

fn of_entry(entry: &HostInterface) -> Result<Vec<Pattern>, PluginError> {
    if let Some(unknown) = entry
        .config
        .keys()
        .find(|key| !KEYS.contains(&key.as_str()))
    {
        let hint = nearest(unknown, KEYS).map_or_else(
            || format!("known keys are {}", KEYS.join(", ")),
            |key| format!("did you mean `{key}`?"),
        );
        return Err(
            PluginError::new(format!("`{unknown}` is not a setting of wasi:http")).hint(hint),
        );
    }
    let path = entry
        .config
        .get("path")
        .map_or_else(
            || Ok(PathPrefix::root()),
            |path| PathPrefix::configured(path),
        )
        .map_err(PluginError::new)?;
    let aliases = entry
        .config
        .get("host-aliases")
        .into_iter()
        .flat_map(|list| list.split(','));
    let hosts = entry
        .config
        .get("host")
        .map(String::as_str)
        .into_iter()
        .chain(aliases)
        .map(str::trim);
    let mut patterns = Vec::new();
    for host in hosts {
        let host = HostName::configured(host).map_err(PluginError::new)?;
        patterns.push(Pattern {
            host: Some(host),
            path: path.clone(),
        });
    }
    if patterns.is_empty() {
        patterns.push(Pattern { host: None, path });
    }
    Ok(patterns)
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
        let patterns = of_entry(&entry)
            .map_err(|error| format!("{error}; {}", error.hint.clone().unwrap_or_default()))?;
        Ok(patterns.iter().map(ToString::to_string).collect())
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
            "`hosts` is not a setting of wasi:http; did you mean `host`?"
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
}
