//! The section `engine`: how components are compiled and instantiated.

use serde::Deserialize;

use super::reader::{Number, Reader, Text};
use crate::engine::{Allocation, EngineOptions};

/// How components are compiled and instantiated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSection {
    /// How instances get their memory.
    pub allocation: Option<Allocation>,
    /// How many components may be compiled at once.
    pub compilations: Option<usize>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    instances: Text,
    compilations: Number,
}

/// A pool takes address space for each instance; no machine has it for more.
const MOST_INSTANCES: u32 = 100_000;
const MOST_COMPILATIONS: u32 = 1024;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> EngineSection {
    let compilations = reader.number(raw.compilations, 1..=MOST_COMPILATIONS);
    EngineSection {
        allocation: reader.text(raw.instances, allocation),
        compilations: compilations.and_then(|number| usize::try_from(number).ok()),
    }
}

fn allocation(text: &str) -> Result<Allocation, String> {
    let wanted = "wanted a number from 1 to 100000, or `onDemand` for no pool";
    match text.parse() {
        _ if text == "onDemand" => Ok(Allocation::OnDemand),
        Ok(instances) if (1..=MOST_INSTANCES).contains(&instances) => {
            Ok(Allocation::Pooled { instances })
        }
        _ => Err(wanted.to_owned()),
    }
}

impl EngineSection {
    pub(super) fn apply(&self, options: &mut EngineOptions) {
        options.allocation = self.allocation.unwrap_or(options.allocation);
        options.compilations = self.compilations.unwrap_or(options.compilations);
    }
}
