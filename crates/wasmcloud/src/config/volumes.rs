//! The section `volumes`: what volumes workloads may have.

use std::path::PathBuf;

use serde::Deserialize;

use super::limits::over;
use super::reader::{List, Number, Reader, Text, size};
use crate::capability::wasi::VolumeOptions;
use crate::workload::{Limit, Mebibytes};

/// What volumes workloads may have. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumesSection {
    /// Folders of the machine below which a `hostPath` may be.
    pub roots: Option<Vec<PathBuf>>,
    /// Where the folders of ephemeral volumes are made.
    pub ephemeral_dir: Option<PathBuf>,
    /// The limit of an ephemeral volume whose workload does not say one.
    pub ephemeral_size: Option<Mebibytes>,
    /// The largest limit that a workload may say.
    pub largest_ephemeral: Limit<Mebibytes>,
    /// How many files and folders of one volume may be open at once.
    pub most_open: Option<u32>,
    /// How many volumes one workload may mount.
    pub most_volumes: Option<u32>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    roots: List,
    ephemeral_dir: Text,
    ephemeral_size: Text,
    largest_ephemeral: Text,
    most_open: Number,
    most_volumes: Number,
}

/// Larger ones are mistakes.
const MOST_OPEN: u32 = 1_000_000;
const MOST_VOLUMES: u32 = 1_000;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> VolumesSection {
    let at = raw.ephemeral_size.as_ref().map(|text| text.referenced);
    let ephemeral_size = reader.text(raw.ephemeral_size, mebibytes);
    let largest_ephemeral = reader.limit(raw.largest_ephemeral, mebibytes);
    if let (Some(at), Some(size), Limit::Of(largest)) = (at, ephemeral_size, largest_ephemeral)
        && size > largest
    {
        let hint = "lower it, or raise `largestEphemeral`";
        let message = "`ephemeralSize` is more than `largestEphemeral` allows";
        reader.error(at, message, Some(hint));
    }
    VolumesSection {
        roots: reader.list(raw.roots, |reader, path| reader.path(Some(path))),
        ephemeral_dir: reader.path(raw.ephemeral_dir),
        ephemeral_size,
        largest_ephemeral,
        most_open: reader.number(raw.most_open, 1..=MOST_OPEN),
        most_volumes: reader.number(raw.most_volumes, 1..=MOST_VOLUMES),
    }
}

/// A size that is a whole number of MiB.
fn mebibytes(text: &str) -> Result<Mebibytes, String> {
    let bytes = size(text)?;
    let whole = (bytes % (1 << 20) == 0).then_some(bytes >> 20);
    let whole = whole.and_then(|whole| u32::try_from(whole).ok());
    whole
        .map(Mebibytes)
        .ok_or_else(|| "wanted whole MiB, such as `64MiB` or `1GiB`".to_owned())
}

impl VolumesSection {
    pub(super) fn apply(&self, options: &mut VolumeOptions) {
        if let Some(roots) = &self.roots {
            options.roots.clone_from(roots);
        }
        if self.ephemeral_dir.is_some() {
            options.ephemeral_dir.clone_from(&self.ephemeral_dir);
        }
        options.ephemeral_size = self.ephemeral_size.unwrap_or(options.ephemeral_size);
        options.largest_ephemeral = over(self.largest_ephemeral, options.largest_ephemeral);
        let number = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
        options.most_open = self.most_open.map_or(options.most_open, number);
        options.most_volumes = self.most_volumes.map_or(options.most_volumes, number);
    }
}
