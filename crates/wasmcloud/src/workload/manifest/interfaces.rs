//! The entries of `hostInterfaces`: what the host is asked to grant, and how it is configured.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::{Location, Spanned};

use super::checker::Checker;
use super::components::refuse_cluster_sources;
use super::raw;
use crate::workload::diagnostic::quoted;
use crate::workload::interface::{is_wit_word, parse_version};
use crate::workload::model::HostInterface;

const LONG_FORM: &str = "`wasi:http/types@0.2.0` is written as `namespace: wasi`, `package: http`, \
    `interfaces: [types]`, `version: 0.2.0`";
const MOST_ENTRIES: usize = 64;
const LONGEST_LABEL: usize = 64;
const LONGEST_PACKAGE: usize = 128;

pub(super) fn host_interfaces(
    checker: &mut Checker,
    list: &raw::List<raw::HostInterface>,
) -> Vec<HostInterface> {
    let Some(list) = list else { return Vec::new() };
    if list.value.len() > MOST_ENTRIES {
        let message = format!(
            "found {} entries, wanted at most {MOST_ENTRIES}",
            list.value.len()
        );
        checker.error(list.referenced, message, None);
    }
    let mut seen = BTreeMap::new();
    let mut entries = Vec::new();
    for (index, item) in list.value.iter().enumerate() {
        let path = format!("spec.hostInterfaces.{index}");
        checker.place(&path, item.referenced);
        checker.place_field(&path, "name", item.value.name.as_ref());
        if let Some(entry) = entry(checker, item) {
            check_unique(checker, &entry, item.referenced, &mut seen);
            entries.push(entry);
        }
    }
    entries
}

fn entry(checker: &mut Checker, item: &Spanned<raw::HostInterface>) -> Option<HostInterface> {
    let at = item.referenced;
    let raw = &item.value;
    refuse_cluster_sources(checker, &raw.config_from, &raw.secret_from);
    let namespace = word(checker, at, "namespace", raw.namespace.as_ref());
    let package = word(checker, at, "package", raw.package.as_ref());
    let interfaces = interfaces(checker, at, &raw.interfaces);
    if let Some(name) = &raw.name {
        check_label(checker, name);
    }
    let version = raw.version.as_ref().map(|text| {
        let parsed = parse_version(&text.value);
        parsed.map_err(|problem| checker.error(text.referenced, problem, None))
    });
    Some(HostInterface {
        name: raw.name.as_ref().map(|name| name.value.clone()),
        namespace: namespace?,
        package: package?,
        interfaces: interfaces?,
        version: version.transpose().ok()?,
        config: checker.map(&raw.config, "the config key"),
    })
}

fn word(
    checker: &mut Checker,
    at: Location,
    field: &str,
    text: Option<&Spanned<String>>,
) -> Option<String> {
    let text = checker.required(at, "the entry", field, text)?;
    if is_wit_word(&text.value) && text.value.len() <= LONGEST_PACKAGE {
        return Some(text.value.clone());
    }
    let found = quoted(&text.value);
    let message = format!("{found} is no {field}; wanted a word in kebab-case, like `wasi`");
    checker.error(text.referenced, message, Some(LONG_FORM));
    None
}

fn interfaces(
    checker: &mut Checker,
    at: Location,
    list: &raw::List<String>,
) -> Option<BTreeSet<String>> {
    let list = checker.required(at, "the entry", "interfaces", list.as_ref())?;
    if list.value.is_empty() {
        checker.error(
            list.referenced,
            "the list of interfaces is empty; wanted one or more",
            None,
        );
        return None;
    }
    let mut names = BTreeSet::new();
    for item in &list.value {
        if !is_wit_word(&item.value) {
            let message = format!(
                "{} is no interface name; wanted a word in kebab-case, like `types`",
                quoted(&item.value)
            );
            let hint = "the package goes into `package`, the version into `version`";
            checker.error(item.referenced, message, Some(hint));
        } else if !names.insert(item.value.clone()) {
            let message = format!("the interface {} is listed twice", quoted(&item.value));
            checker.error(item.referenced, message, None);
        }
    }
    Some(names).filter(|names| !names.is_empty())
}

fn check_label(checker: &mut Checker, name: &Spanned<String>) {
    let text = &name.value;
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=LONGEST_LABEL).contains(&text.len()) && !text.starts_with('-');
    if !fits || !text.bytes().all(allowed) {
        let message = format!(
            "{} is no import label; wanted 1 to {LONGEST_LABEL} lower-case letters, digits and `-`, not beginning with `-`",
            quoted(text)
        );
        checker.error(name.referenced, message, None);
    }
}

/// One unnamed entry a package, and no two that differ only in what they list.
/// The component whose handler of messages an entry is for: each may have one of its own.
fn handler_of(entry: &HostInterface) -> Option<&str> {
    let messages = entry.namespace == "wasmcloud" && entry.package == "messaging";
    let component = entry.config.get("component").filter(|_| messages);
    component.map(String::as_str)
}

fn check_unique(
    checker: &mut Checker,
    entry: &HostInterface,
    at: Location,
    seen: &mut BTreeMap<String, Location>,
) {
    let package = format!("{}:{}", entry.namespace, entry.package);
    match (&entry.name, handler_of(entry)) {
        (None, Some(component)) => {
            let what = format!(
                "an entry of `{package}` for component {}",
                quoted(component)
            );
            checker.unique(seen, format!("{package} for {component}"), &what, at);
        }
        (None, None) => {
            let what = format!("an entry without a name for `{package}`");
            checker.unique(seen, package, &what, at);
        }
        (Some(name), _) => {
            let version = entry
                .version
                .as_ref()
                .map(|v| format!("@{v}"))
                .unwrap_or_default();
            let what = format!(
                "an entry for `{package}{version}` with the name {}",
                quoted(name)
            );
            checker.unique(seen, format!("{package}{version} {name}"), &what, at);
        }
    }
}
