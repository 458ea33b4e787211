//! The section `backends`: the servers that manifests name, such as those of Redis and NATS.

use std::path::PathBuf;

use serde::Deserialize;

use super::reader::{List, Reader};

/// How servers that manifests name are spoken to. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendsSection {
    /// PEM files with certificates of authorities that may certify them, besides those that the operating system trusts.
    pub extra_ca_files: Option<Vec<PathBuf>>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    extra_ca_files: List,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> BackendsSection {
    BackendsSection {
        extra_ca_files: reader.list(raw.extra_ca_files, |reader, path| reader.path(Some(path))),
    }
}

#[cfg(feature = "servers")]
impl BackendsSection {
    pub(super) fn apply(&self, config: &mut crate::assembly::HostConfig) {
        if let Some(files) = &self.extra_ca_files {
            config.backend_authorities.clone_from(files);
        }
    }
}
