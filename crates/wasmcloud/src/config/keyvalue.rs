//! The section `keyvalue`: how much workloads may keep as keys and values.

use serde::Deserialize;

use super::reader::{Reader, Text};

/// How much workloads may keep as keys and values, in bytes. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValueSection {
    /// How long a key may be.
    pub key: Option<u64>,
    /// How long a value may be.
    pub value: Option<u64>,
    /// How much a workload may keep in memory.
    pub memory: Option<u64>,
    /// How much it may keep in the data folder.
    pub disk: Option<u64>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    key: Text,
    value: Text,
    memory: Text,
    disk: Text,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> KeyValueSection {
    KeyValueSection {
        key: reader.size(raw.key),
        value: reader.size(raw.value),
        memory: reader.size(raw.memory),
        disk: reader.size(raw.disk),
    }
}

#[cfg(feature = "keyvalue")]
impl KeyValueSection {
    pub(super) fn apply(&self, options: &mut crate::capability::keyvalue::KeyValueOptions) {
        let length = |bytes: Option<u64>| bytes.map(|it| usize::try_from(it).unwrap_or(usize::MAX));
        options.key_bytes = length(self.key).unwrap_or(options.key_bytes);
        options.value_bytes = length(self.value).unwrap_or(options.value_bytes);
        options.memory_bytes = self.memory.unwrap_or(options.memory_bytes);
        options.disk_bytes = self.disk.unwrap_or(options.disk_bytes);
    }
}
