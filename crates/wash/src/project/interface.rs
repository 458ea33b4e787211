//! An entry of `dev.host_interfaces`: the short form `wasi:http/incoming-handler@0.2.2`, or a mapping as in a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use wasmcloud::workload::HostInterface;

/// An entry, read and checked.
#[derive(Clone, Debug)]
pub(super) struct Entry(pub(super) HostInterface);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    namespace: String,
    package: String,
    interfaces: BTreeSet<String>,
    version: Option<String>,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an interface such as `wasi:http/incoming-handler`, or a mapping with `namespace`, `package` and `interfaces`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Entry, E> {
        text.parse().map(Entry).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
        let names: Vec<&str> = fields.interfaces.iter().map(String::as_str).collect();
        let version = fields
            .version
            .map(|version| format!("@{version}"))
            .unwrap_or_default();
        let short = format!(
            "{}:{}/{}{version}",
            fields.namespace,
            fields.package,
            names.join(",")
        );
        let entry: HostInterface = short.parse().map_err(A::Error::custom)?;
        Ok(Entry(HostInterface {
            config: fields.config,
            ..entry
        }))
    }
}
