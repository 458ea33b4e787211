//! What is in the cache, for people to see, and whether it is intact.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::SystemTime;

use super::Inner;
use super::blob::digest_of;
use super::error::StoreErrorKind;
use super::evict::{Kept, What, entries, is_in_use, total};
use super::folder::remove;
use super::record::{Record, decode};
use crate::workload::{Digest, Reference};

/// What is in the cache.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The images, by their references.
    pub images: Vec<Listed>,
    /// All blobs.
    pub blobs: Total,
    /// Those of them that belong to no image any more, such as those of a tag that moved.
    pub orphans: Total,
    /// Downloads that are under way, or that nobody went on with yet.
    pub partials: Total,
    /// How many bytes there may be.
    pub limit: u64,
}

/// An image in the cache.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What it was pulled by.
    pub reference: Reference,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The digest of its layer.
    pub layer: Digest,
    /// The bytes of its layer.
    pub size: u64,
    /// When the registry was last asked for it.
    pub pulled: SystemTime,
    /// When something was last started from it.
    pub last_used: SystemTime,
    /// Whether something runs that was made from it, in any process.
    pub in_use: bool,
    /// Whether it goes only to those whose credentials fetched it.
    pub is_private: bool,
}

/// Some files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: usize,
    /// How many bytes they have.
    pub bytes: u64,
}

/// How far a check of the cache has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The bytes that were checked.
    pub bytes: u64,
    /// All bytes.
    pub of: u64,
}

/// A file in the cache that is not what it should be.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// The images that are to be pulled again.
    pub references: Vec<Reference>,
    /// Whether it was removed.
    pub is_removed: bool,
}

impl Total {
    fn of<'a>(kept: impl Iterator<Item = &'a Kept> + Clone) -> Self {
        Self {
            count: kept.clone().count(),
            bytes: total(kept),
        }
    }
}

impl Inner {
    pub(super) fn list(&self) -> Result<Listing, StoreErrorKind> {
        // Else two who look would see each other look. Where nothing can be written to, nothing is hurt by that.
        let _change = self.folder.change().ok();
        let (kept, records) = (self.kept()?, self.records()?);
        let owned: HashSet<&Digest> = records.iter().flat_map(|(_, it)| it.blobs()).collect();
        let blobs = kept.iter().filter(|it| matches!(it.what, What::Blob(_)));
        let partials = kept.iter().filter(|it| matches!(it.what, What::Partial(_)));
        let orphans = kept
            .iter()
            .filter(|it| matches!(&it.what, What::Blob(digest) if !owned.contains(digest)));
        let mut images: Vec<Listed> = records
            .iter()
            .filter_map(|(reference, record)| self.listed(reference, record, &kept))
            .collect();
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(Listing {
            blobs: Total::of(blobs),
            orphans: Total::of(orphans),
            partials: Total::of(partials),
            limit: self.options.limit,
            images,
        })
    }

    fn listed(&self, reference: &Reference, record: &Record, kept: &[Kept]) -> Option<Listed> {
        // What is kept beside an image, such as a signature, is none.
        if record.layer == record.manifest {
            return None;
        }
        let find = |digest| kept.iter().find(|it| it.what == What::Blob(digest));
        let layer = find(record.layer)?;
        find(record.manifest)?;
        Some(Listed {
            reference: reference.clone(),
            manifest: record.manifest,
            layer: record.layer,
            size: layer.size,
            pulled: record.pulled,
            last_used: layer.used,
            in_use: is_in_use(&self.folder.blob(&record.layer)),
            is_private: record.is_private(),
        })
    }

    /// Reads everything again.
    pub(super) fn verify(
        &self,
        mut progress: impl FnMut(Checked),
    ) -> Result<Vec<Damaged>, StoreErrorKind> {
        let records = self.records()?;
        let mut damaged = self.verify_records()?;
        let kept = self.kept()?;
        let blobs = kept.iter().filter_map(|it| match it.what {
            What::Blob(digest) => Some((digest, it.size)),
            What::Partial(_) => None,
        });
        let of = blobs.clone().map(|(_, size)| size).sum();
        let mut checked = Checked { bytes: 0, of };
        for (digest, _) in blobs {
            let Some(pin) = self.pin(&digest)? else {
                continue;
            };
            let found = digest_of(&pin, |bytes| {
                checked.bytes += bytes;
                progress(checked);
            });
            let problem = match found {
                Ok(found) if found == digest => continue,
                Ok(found) => format!("its bytes have the digest {found}"),
                Err(error) => format!("it cannot be read: {error}"),
            };
            let of_it = |(_, it): &&(Reference, Record)| it.blobs().any(|blob| *blob == digest);
            let references = records.iter().filter(of_it);
            damaged.push(Damaged {
                path: self.folder.blob(&digest),
                references: references.map(|(reference, _)| reference.clone()).collect(),
                is_removed: self.drop_damaged(&digest, &pin, &problem),
                problem,
            });
        }
        Ok(damaged)
    }

    fn verify_records(&self) -> Result<Vec<Damaged>, StoreErrorKind> {
        // So that nobody writes a good one between our look at it and its removal.
        let change = self.folder.change();
        let mut damaged = Vec::new();
        for entry in entries(&self.folder.references())? {
            let path = entry?.path();
            let problem = match std::fs::read(&path).map(|text| decode(&text)) {
                Ok(Ok((reference, _))) if self.folder.reference(&reference) == path => continue,
                Ok(Ok((reference, _))) => format!("it is that of {reference}"),
                Ok(Err(error)) => error.to_string(),
                Err(error) => format!("it cannot be read: {error}"),
            };
            damaged.push(Damaged {
                is_removed: change.is_ok() && remove(&path).is_ok(),
                references: Vec::new(),
                problem,
                path,
            });
        }
        Ok(damaged)
    }
}
