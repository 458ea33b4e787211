//! What the operator of a host allows: which workloads read which variables and folders, and where the key of the encrypted store
//! is. Without it, a manifest leads to nothing of the machine.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::KEY_VARIABLE;
use crate::capability::workloads::{AllowError, Workloads};
use crate::workload::Workload;

/// What workloads may read of the machine. The default allows nothing but the encrypted store, where each sees its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretsOptions {
    /// Which variables of the host's environment which workloads may read.
    pub environment: Vec<(Workloads, Variables)>,
    /// Below which folders which workloads may read files.
    pub folders: Vec<(Workloads, PathBuf)>,
    /// Where the key of the encrypted store is; by default `secrets.key` in the data folder.
    pub key_file: Option<PathBuf>,
}

impl SecretsOptions {
    /// The variables that a workload may read.
    pub(super) fn variables(&self, workload: &Workload) -> Vec<Variables> {
        let allowed = self.environment.iter();
        let allowed = allowed.filter(|(workloads, _)| workloads.cover(workload));
        allowed.map(|(_, variables)| variables.clone()).collect()
    }

    /// The folders below which a workload may read.
    pub(super) fn folders(&self, workload: &Workload) -> Vec<&Path> {
        let allowed = self.folders.iter();
        let allowed = allowed.filter(|(workloads, _)| workloads.cover(workload));
        allowed.map(|(_, folder)| folder.as_path()).collect()
    }
}

/// Some variables of an environment: `NAME`, or `PREFIX_*` for all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variables {
    /// One variable.
    One(String),
    /// All that begin with a text, which is not empty.
    Beginning(String),
}

impl Variables {
    pub(super) fn cover(&self, variable: &str) -> bool {
        // Who has the key has the secrets of all workloads.
        let other = variable != KEY_VARIABLE;
        other
            && match self {
                Self::One(one) => one == variable,
                Self::Beginning(prefix) => variable.starts_with(prefix.as_str()),
            }
    }
}

impl FromStr for Variables {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let prefix = text.strip_suffix('*');
        let name = prefix.unwrap_or(text);
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(inside) {
            let wanted =
                "wanted the name of a variable, or the beginning of some and `*`, such as `SHOP_*`";
            return Err(AllowError::new(wanted));
        }
        if text == KEY_VARIABLE {
            let told = "it is the key of the encrypted store, which no workload may read";
            return Err(AllowError::new(told));
        }
        Ok(match prefix {
            Some(prefix) => Self::Beginning(prefix.to_owned()),
            None => Self::One(name.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn variables_are_named_or_begin_alike() {
        let variables = |text: &str| text.parse::<Variables>();
        assert!(variables("SHOP_*").unwrap().cover("SHOP_KEY"));
        assert!(!variables("SHOP_*").unwrap().cover("SHO"));
        assert!(!variables("SHOP").unwrap().cover("SHOP_KEY"));
        for bad in ["", "*", "A-*", "A B", "A*B", KEY_VARIABLE] {
            assert!(variables(bad).is_err(), "{bad}");
        }
        let ours = variables("WASMCLOUD_*").unwrap();
        assert!(ours.cover("WASMCLOUD_OTHER") && !ours.cover(KEY_VARIABLE));
    }
}
