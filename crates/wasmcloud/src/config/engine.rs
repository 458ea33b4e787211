//! The section `engine`: how components are compiled and instantiated.

use serde::Deserialize;

use super::reader::{Number, Reader, Text};
use crate::engine::{Allocation, EngineOptions};

/// How components are compiled and instantiated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSection {
    /// How many component instances there may be at once.
    pub instances: Option<u32>,
    /// Whether their memory comes from a pool, rather than from the operating system each time.
    pub pooled: Option<bool>,
    /// How many components may be compiled at once.
    pub compilations: Option<usize>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    instances: Number,
    allocation: Text,
    compilations: Number,
}

/// A pool takes address space for each instance; no machine has it for more.
const MOST_INSTANCES: u32 = 100_000;
const MOST_COMPILATIONS: u32 = 1024;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> EngineSection {
    let compilations = reader.number(raw.compilations, 1..=MOST_COMPILATIONS);
    EngineSection {
        instances: reader.number(raw.instances, 1..=MOST_INSTANCES),
        pooled: reader.choice(raw.allocation, &[("pooled", true), ("onDemand", false)]),
        compilations: compilations.and_then(|number| usize::try_from(number).ok()),
    }
}

impl EngineSection {
    pub(super) fn apply(&self, options: &mut EngineOptions) {
        let (pooled, instances) = match options.allocation {
            Allocation::Pooled { instances } => (true, instances),
            Allocation::OnDemand { instances } => (false, instances),
        };
        let instances = self.instances.unwrap_or(instances);
        options.allocation = if self.pooled.unwrap_or(pooled) {
            Allocation::Pooled { instances }
        } else {
            Allocation::OnDemand { instances }
        };
        options.compilations = self.compilations.unwrap_or(options.compilations);
    }
}
