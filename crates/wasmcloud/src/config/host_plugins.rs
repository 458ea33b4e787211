//! The list `hostPlugins`: components whose exports are offered to all workloads. It stands in the configuration of a host and in that
//! of a project.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Location, Spanned};

use super::reader::{List, Number, Reader, Text};
use crate::host::PluginComponent;
use crate::workload::{
    Component, ComponentName, Diagnostics, Image, Limit, LocalResources, Mebibytes, Milliseconds,
    Pull, Reuse,
};

/// The most milliseconds and MiB that a limit may be.
const MOST: u32 = i32::MAX as u32;

/// The list as it is written.
pub(super) type Raw = Vec<Spanned<RawPlugin>>;

/// A list of components that are plugins, as a file of another kind has it.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct HostPlugins(Raw);

impl HostPlugins {
    /// Adds the entries of another list of the same file.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Checks the entries. `text` and `file` are what they were read from, and relative paths in them begin at `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with them, with line and column.
    pub fn read(
        self,
        text: &str,
        file: &Path,
        folder: &Path,
    ) -> Result<Vec<PluginComponent>, Diagnostics> {
        let mut reader = Reader::new(text, file).below(folder);
        let read = read(&mut reader, self.0);
        reader.finish(read)
    }
}

impl std::fmt::Debug for HostPlugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|plugin| &plugin.value.id))
            .finish()
    }
}

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
    max_restarts: Number,
    image: Text,
    pull_policy: Text,
    config_from: Refused,
    secret_from: Refused,
    ports: Refused,
}

/// A key that others know, and that is refused whatever it holds.
type Refused = Option<Spanned<IgnoredAny>>;

impl RawPlugin {
    /// What is refused, and what to do instead.
    fn refused(&self) -> [(&'static str, &Refused, &'static str); 3] {
        [
            (
                "configFrom",
                &self.config_from,
                "write the values themselves under `config`",
            ),
            (
                "secretFrom",
                &self.secret_from,
                "a plugin is given its values under `config` or `environment`; let nobody but the host read the file that they are in",
            ),
            (
                "ports",
                &self.ports,
                "a plugin publishes no ports; a workload whose service listens does",
            ),
        ]
    }
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
    match (&raw.file, &raw.image) {
        (None, None) => reader.error(at, "the plugin has neither `file` nor `image`", None),
        (Some(_), Some(_)) => {
            let hint = "remove one of them";
            reader.error(at, "the plugin has both `file` and `image`", Some(hint));
        }
        _ => {}
    }
    if let (Some(policy), None) = (&raw.pull_policy, &raw.image) {
        let message = "`pullPolicy` is for an `image`; a file is always read";
        reader.error(policy.referenced, message, Some("remove it"));
    }
    for (key, value, hint) in raw.refused() {
        if let Some(value) = value {
            let message = format!("`{key}` is not supported for plugins");
            reader.error(value.referenced, message, Some(hint));
        }
    }
    let name = raw.id.and_then(|id| named(reader, id));
    let file = reader.path(raw.file).map(Image::File);
    let image = raw.image.and_then(|text| item(reader, text));
    let policy = raw.pull_policy.and_then(|text| item(reader, text));
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
    let max_restarts = reader.number(raw.max_restarts, 0..=MOST).map(u64::from);
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
            image: file.or(image.map(Image::Registry))?,
            pull: Pull {
                policy,
                secret: None,
            },
            local_resources: resources,
            reuse,
        },
        base: PathBuf::new(),
        expected_digest,
        max_restarts,
    })
}

/// What runs of a plugin beside its calls is called as the services of all workloads are.
fn named(reader: &mut Reader, id: Spanned<String>) -> Option<ComponentName> {
    if id.value == "service" {
        let message = "a plugin cannot be called `service`: what it runs by itself is";
        reader.error(id.referenced, message, Some("choose another `id`"));
        return None;
    }
    item(reader, id)
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
