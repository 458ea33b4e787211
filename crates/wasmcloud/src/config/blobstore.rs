//! The section `blobstore`: what blobs workloads may keep, and where.

use std::path::PathBuf;

use serde::Deserialize;

use super::reader::{List, Number, Reader, Text, size};
#[cfg(feature = "blobstore")]
use crate::capability::blobstore::BlobOptions;

/// What blobs workloads may keep, and where. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobstoreSection {
    /// Folders of the machine below which the `root` of a manifest may be.
    pub roots: Option<Vec<PathBuf>>,
    /// How large an object may be, in bytes.
    pub largest_object: Option<u64>,
    /// How many bytes a workload may keep in memory.
    pub memory: Option<u64>,
    /// How many bytes it may keep in a folder.
    pub disk: Option<u64>,
    /// How many streams of one workload may be open at once.
    pub most_streams: Option<u32>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    roots: List,
    largest_object: Text,
    memory: Text,
    disk: Text,
    most_streams: Number,
}

/// More are mistakes.
const MOST_STREAMS: u32 = 100_000;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> BlobstoreSection {
    BlobstoreSection {
        roots: reader.list(raw.roots, |reader, path| reader.path(Some(path))),
        largest_object: reader.text(raw.largest_object, size),
        memory: reader.text(raw.memory, size),
        disk: reader.text(raw.disk, size),
        most_streams: reader.number(raw.most_streams, 1..=MOST_STREAMS),
    }
}

#[cfg(feature = "blobstore")]
impl BlobstoreSection {
    pub(super) fn apply(&self, options: &mut BlobOptions) {
        if let Some(roots) = &self.roots {
            options.roots.clone_from(roots);
        }
        options.largest_object = self.largest_object.or(options.largest_object);
        options.memory = self.memory.unwrap_or(options.memory);
        options.disk = self.disk.unwrap_or(options.disk);
        let number = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
        options.most_streams = self.most_streams.map_or(options.most_streams, number);
    }
}
