//! The section `egress`: which addresses workloads may reach.

use ipnet::IpNet;
use serde::Deserialize;

use super::reader::{List, Reader, Text};
use crate::policy::{EgressMode, EgressOptions};

/// Which addresses workloads may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressSection {
    /// What becomes of what is denied.
    pub mode: Option<EgressMode>,
    /// Whether private addresses may be reached.
    pub allow_private: Option<bool>,
    /// Networks that may be reached whatever they are.
    pub allow: Option<Vec<IpNet>>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    mode: Text,
    allow_private: Option<bool>,
    allow: List,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> EgressSection {
    let modes = [
        ("enforce", EgressMode::Enforce),
        ("audit", EgressMode::Audit),
    ];
    EgressSection {
        mode: reader.choice(raw.mode, &modes),
        allow_private: raw.allow_private,
        allow: reader.list(raw.allow, |reader, text| reader.text(Some(text), network)),
    }
}

/// A network whose first address is written, so that nobody takes `10.1.2.3/16` for one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(
            "wanted a network such as `10.1.0.0/16`, or `127.0.0.1/32` for one address".to_owned(),
        );
    };
    let whole = network.trunc();
    if whole == network {
        Ok(network)
    } else {
        let alone = IpNet::from(network.addr());
        Err(format!(
            "wanted the network `{whole}` or the one address `{alone}`"
        ))
    }
}

impl EgressSection {
    pub(super) fn apply(&self, options: &mut EgressOptions) {
        options.mode = self.mode.unwrap_or(options.mode);
        options.allow_private = self.allow_private.unwrap_or(options.allow_private);
        if let Some(allow) = &self.allow {
            options.allow.clone_from(allow);
        }
    }
}
