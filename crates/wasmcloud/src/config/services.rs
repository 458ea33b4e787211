//! The section `services`: how services that crashed come back.

use std::time::Duration;

use serde::Deserialize;

use super::reader::{Reader, Text};
use crate::host::Restarts;

/// How services that crashed come back. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicesSection {
    /// How long until the first restart.
    pub first_restart: Option<Duration>,
    /// The longest that a restart waits.
    pub longest_restart: Option<Duration>,
    /// How long a service has to be up until its restarts count from the beginning again.
    pub healthy_after: Option<Duration>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    first_restart: Text,
    longest_restart: Text,
    healthy_after: Text,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> ServicesSection {
    let at = raw.first_restart.as_ref().map(|text| text.referenced);
    let section = ServicesSection {
        first_restart: reader.duration(raw.first_restart),
        longest_restart: reader.duration(raw.longest_restart),
        healthy_after: reader.duration(raw.healthy_after),
    };
    let longest = section
        .longest_restart
        .unwrap_or(Restarts::default().longest);
    if let (Some(at), Some(first)) = (at, section.first_restart)
        && first > longest
    {
        let hint = "lower it, or raise `longestRestart`";
        reader.error(
            at,
            "`firstRestart` is more than `longestRestart`",
            Some(hint),
        );
    }
    section
}

impl ServicesSection {
    pub(super) fn apply(&self, restarts: &mut Restarts) {
        restarts.first = self.first_restart.unwrap_or(restarts.first);
        restarts.longest = self.longest_restart.unwrap_or(restarts.longest);
        restarts.healthy = self.healthy_after.unwrap_or(restarts.healthy);
    }
}
