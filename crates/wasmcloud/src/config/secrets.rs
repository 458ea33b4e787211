//! The section `secrets`: what secrets workloads may read of the machine.

use std::path::PathBuf;

use serde::Deserialize;

use super::grants::{Lists, lists};
use super::reader::{Reader, Text};
use crate::capability::secrets::{AllowError, SecretsOptions, Variables, Workloads};

/// What secrets workloads may read of the machine. What is left out is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretsSection {
    /// Which variables of the host's environment which workloads may read.
    pub environment: Vec<(Workloads, Variables)>,
    /// Below which folders which workloads may read files.
    pub folders: Vec<(Workloads, PathBuf)>,
    /// Where the key of the encrypted store is.
    pub key_file: Option<PathBuf>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    environment: Lists,
    folders: Lists,
    key_file: Text,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> SecretsSection {
    SecretsSection {
        environment: lists(reader, raw.environment, |reader, text| {
            reader.text(Some(text), |text| {
                text.parse()
                    .map_err(|wanted: AllowError| wanted.to_string())
            })
        }),
        folders: lists(reader, raw.folders, |reader, text| reader.path(Some(text))),
        key_file: reader.path(raw.key_file),
    }
}

impl SecretsSection {
    pub(super) fn apply(&self, options: &mut SecretsOptions) {
        options.environment.extend(self.environment.iter().cloned());
        options.folders.extend(self.folders.iter().cloned());
        if self.key_file.is_some() {
            options.key_file.clone_from(&self.key_file);
        }
    }
}
