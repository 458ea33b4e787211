//! The list `hostPlugins`: components whose exports are offered to all workloads.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::reader::{List, Number, Reader, Text};
use crate::host::PluginComponent;
use crate::workload::{
    Component, ComponentName, Image, Limit, LocalResources, Mebibytes, Milliseconds, Reuse,
};

/// The most milliseconds and MiB that a limit may be.
const MOST: u32 = i32::MAX as u32;

/// The list as it is written.
pub(super) type Raw = Vec<Spanned<RawPlugin>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawPlugin {
    id: Text,
    file: Text,
    expected_digest: Text,
    config: Option<BTreeMap<String, String>>,
    environment: Option<BTreeMap<String, String>>,
    allowed_hosts: List,
    allowed_ip_name_lookups: List,
    allowed_host_loopback_ports: List,
    memory_limit_mb: Number,
    cpu_limit: Number,
    timeout_ms: Number,
    pool_size: Number,
    max_invocations: Number,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> Vec<PluginComponent> {
    let mut seen: BTreeMap<ComponentName, Location> = BTreeMap::new();
    let mut plugins = Vec::new();
    for item in raw {
        let at = item.referenced;
        let Some(plugin) = plugin(reader, at, item.value) else {
            continue;
        };
        let name = plugin.component.name.clone();
        if seen.insert(name.clone(), at).is_some() {
            reader.error(at, format!("a plugin `{name}` is there already"), None);
        }
        plugins.push(plugin);
    }
    plugins
}

fn plugin(reader: &mut Reader, at: Location, raw: RawPlugin) -> Option<PluginComponent> {
    if raw.id.is_none() {
        reader.error(at, "the plugin has no `id`", None);
    }
    if raw.file.is_none() {
        reader.error(at, "the plugin has no `file`", None);
    }
    let name = raw.id.and_then(|id| item(reader, id));
    let file = reader.path(raw.file);
    let expected_digest = reader.text(raw.expected_digest, digest);
    let mut resources = LocalResources {
        config: raw.config.unwrap_or_default(),
        environment: raw.environment.unwrap_or_default(),
        allowed_hosts: parsed(reader, raw.allowed_hosts),
        allowed_ip_name_lookups: parsed(reader, raw.allowed_ip_name_lookups),
        allowed_host_loopback_ports: parsed(reader, raw.allowed_host_loopback_ports),
        ..LocalResources::default()
    };
    let limits = &mut resources.limits;
    limits.memory = limit(reader, raw.memory_limit_mb, Mebibytes);
    limits.cpu = limit(reader, raw.cpu_limit, Milliseconds);
    limits.time = limit(reader, raw.timeout_ms, Milliseconds);
    if let (None, Some(invocations)) = (&raw.pool_size, &raw.max_invocations) {
        let message = "`maxInvocations` has no effect without `poolSize`";
        reader.error(invocations.referenced, message, None);
    }
    let size = count(reader, raw.pool_size);
    let max_invocations = count(reader, raw.max_invocations);
    let reuse = size.map_or(Reuse::Fresh, |size| Reuse::Pooled {
        size,
        max_invocations,
        max_concurrency: NonZeroU32::MIN,
    });
    Some(PluginComponent {
        component: Component {
            name: name?,
            image: Image::File(file?),
            local_resources: resources,
            reuse,
        },
        base: PathBuf::new(),
        expected_digest,
    })
}

fn parsed<T: FromStr<Err: Display>>(reader: &mut Reader, list: List) -> Vec<T> {
    reader.list(list, item).unwrap_or_default()
}

/// A text of some type whose own errors say what was found and wanted.
fn item<T: FromStr<Err: Display>>(reader: &mut Reader, text: Spanned<String>) -> Option<T> {
    match text.value.parse() {
        Ok(item) => Some(item),
        Err(problem) => {
            let problem: T::Err = problem;
            reader.error(text.referenced, problem.to_string(), None);
            None
        }
    }
}

fn limit<T>(reader: &mut Reader, number: Number, unit: impl FnOnce(u32) -> T) -> Limit<T> {
    let number = reader.number(number, 1..=MOST);
    number.map_or(Limit::Default, |number| Limit::Of(unit(number)))
}

fn count(reader: &mut Reader, number: Number) -> Option<NonZeroU32> {
    reader.number(number, 1..=MOST).and_then(NonZeroU32::new)
}

/// A digest, as it is shown elsewhere.
fn digest(text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match hex.len() == 64 && hex.bytes().all(is_hex) {
        true => Ok(text.to_owned()),
        false => Err("wanted `sha256:` and 64 digits or letters from a to f".to_owned()),
    }
}
