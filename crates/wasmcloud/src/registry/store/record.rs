//! What is known of a reference: the image it led to, and who could fetch it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::StoreErrorKind;
use super::folder::{read_small, remove};
use super::proof::{Fingerprint, Proof};
use crate::workload::{Digest, Reference};

/// How many proofs are kept, and other blobs. The oldest go.
const MOST: (usize, usize) = (1_000, 64);
/// How long the file of a record may be.
const LONGEST: u64 = 1 << 20;

/// An image that a reference led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its manifest.
    pub(crate) manifest: Digest,
    /// The layer with the component.
    pub(crate) layer: Digest,
    /// How many bytes the layer has.
    pub(crate) size: u64,
    /// When the registry was last asked, in whole seconds.
    pub(crate) pulled: SystemTime,
    /// Blobs that belong to it, such as signatures: they stay for as long as the layer does.
    pub(crate) related: Vec<Digest>,
    proofs: Vec<Proof>,
}

impl Record {
    /// An image that the registry has just given to somebody.
    pub(crate) fn new(manifest: Digest, layer: Digest, size: u64, to: Proof) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            manifest,
            layer,
            size,
            pulled: at(since.unwrap_or_default().as_secs()),
            related: Vec::new(),
            proofs: vec![to],
        }
    }

    /// Whether the registry would give it to them: it did before.
    pub(crate) fn proves(&self, access: &Proof) -> bool {
        self.proofs.contains(&Proof::Anonymous) || self.proofs.contains(access)
    }

    /// Whether it is not for everybody.
    pub(super) fn is_private(&self) -> bool {
        !self.proofs.contains(&Proof::Anonymous)
    }

    /// All blobs of it. The layer is the last one.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Digest> {
        self.related.iter().chain([&self.manifest, &self.layer])
    }

    /// What was known of the same image is still true; what was known of another one is not.
    pub(super) fn merged(mut self, before: Option<Self>) -> Self {
        let Some(before) = before.filter(|before| before.manifest == self.manifest) else {
            return self;
        };
        self.proofs = joined(before.proofs, self.proofs, MOST.0);
        self.related = joined(before.related, self.related, MOST.1);
        self
    }
}

impl Inner {
    /// What is known of a reference, if its image is there.
    pub(super) fn record(&self, of: &Reference) -> Result<Option<Record>, StoreErrorKind> {
        let Some(record) = self.read_record(of)? else {
            return Ok(None);
        };
        let is_there = |digest: &Digest| self.folder.blob(digest).exists();
        let is_whole = is_there(&record.manifest) && is_there(&record.layer);
        Ok(is_whole.then_some(record))
    }

    /// Keeps what is known of a reference.
    pub(super) fn put(&self, of: &Reference, record: Record) -> Result<(), StoreErrorKind> {
        let _change = self.folder.change()?;
        let path = self.folder.reference(of);
        let before = read_small(&path, LONGEST).ok().flatten();
        let before = before.and_then(|before| decode(&before).ok());
        let before = before.filter(|(reference, _)| reference == of);
        let record = record.merged(before.map(|(_, record)| record));
        let text = encode(of, &record)?;
        Ok(self.folder.write(&path, &text)?)
    }

    fn read_record(&self, of: &Reference) -> Result<Option<Record>, StoreErrorKind> {
        let path = self.folder.reference(of);
        let Some(text) = read_small(&path, LONGEST).or_else(damaged)? else {
            return Ok(None);
        };
        let why = match decode(&text) {
            Ok((reference, record)) if reference == *of => return Ok(Some(record)),
            Ok(_) => "it is that of another reference".to_owned(),
            Err(error) => error.to_string(),
        };
        // Only if it still is what was read: another process may have written a good one.
        let removed = self.folder.change().and_then(|_change| {
            match read_small(&path, LONGEST).or_else(damaged)? {
                Some(now) if now == text => Ok(remove(&path)?),
                _ => Ok(()),
            }
        });
        let (path, is_removed) = (path.display(), removed.is_ok());
        tracing::warn!(%path, why, is_removed, "a damaged record in the cache of images counts as absent");
        Ok(None)
    }

    /// Every record of which the file is intact.
    pub(super) fn records(&self) -> Result<Vec<(Reference, Record)>, StoreErrorKind> {
        let mut records = Vec::new();
        for entry in super::evict::entries(&self.folder.references())? {
            let path = entry?.path();
            let Ok(Some(text)) = read_small(&path, LONGEST) else {
                continue;
            };
            match decode(&text) {
                Ok((reference, record)) if self.folder.reference(&reference) == path => {
                    records.push((reference, record));
                }
                _ => {}
            }
        }
        Ok(records)
    }
}

/// A file that is longer than any record is a damaged one.
fn damaged(error: std::io::Error) -> std::io::Result<Option<Vec<u8>>> {
    match error.kind() {
        std::io::ErrorKind::InvalidData => Ok(Some(Vec::new())),
        _ => Err(error),
    }
}

/// A record as its file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    reference: String,
    manifest: String,
    layer: String,
    size: u64,
    /// In seconds since 1970.
    pulled: u64,
    related: Vec<String>,
    /// Whether anybody gets it.
    anonymous: bool,
    /// Whether whoever runs the host gets it. Not written where it is not so: then the file is what earlier versions wrote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    host: bool,
    /// Fingerprints of credentials that get it, written as digests.
    credentials: Vec<String>,
}

/// Why the file of a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Reference(#[from] crate::workload::ReferenceError),
    #[error("{0}")]
    Digest(#[from] crate::workload::DigestError),
}

/// Reads the file of a record.
pub(super) fn decode(text: &[u8]) -> Result<(Reference, Record), RecordError> {
    let written: Written = serde_json::from_slice(text)?;
    let anonymous = written.anonymous.then_some(Proof::Anonymous);
    let host = written.host.then_some(Proof::Host);
    let mut proofs: Vec<Proof> = anonymous.into_iter().chain(host).collect();
    for fingerprint in written.credentials {
        let digest: Digest = fingerprint.parse()?;
        let fingerprint = Fingerprint::from_bytes(*digest.as_bytes());
        proofs.push(Proof::Credentials(fingerprint));
    }
    let related = written.related.iter().map(|digest| digest.parse());
    let record = Record {
        manifest: written.manifest.parse()?,
        layer: written.layer.parse()?,
        size: written.size,
        pulled: at(written.pulled),
        related: related.collect::<Result<_, _>>()?,
        proofs,
    };
    Ok((written.reference.parse()?, record))
}

fn encode(reference: &Reference, record: &Record) -> Result<Vec<u8>, StoreErrorKind> {
    let since = record.pulled.duration_since(UNIX_EPOCH);
    let credentials = record.proofs.iter().filter_map(|proof| match proof {
        Proof::Anonymous | Proof::Host => None,
        Proof::Credentials(it) => Some(Digest::from_bytes(*it.as_bytes()).to_string()),
    });
    let written = Written {
        reference: reference.to_string(),
        manifest: record.manifest.to_string(),
        layer: record.layer.to_string(),
        size: record.size,
        pulled: since.unwrap_or_default().as_secs(),
        related: record.related.iter().map(Digest::to_string).collect(),
        anonymous: !record.is_private(),
        host: record.proofs.contains(&Proof::Host),
        credentials: credentials.collect(),
    };
    serde_json::to_vec(&written).map_err(|error| StoreErrorKind::Io(error.into()))
}

/// A time, or the oldest one if the number is none that a clock could show.
fn at(seconds: u64) -> SystemTime {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.unwrap_or(UNIX_EPOCH)
}

/// Both lists in one, each item once, where it was last.
fn joined<T: PartialEq>(before: Vec<T>, after: Vec<T>, most: usize) -> Vec<T> {
    let mut all: Vec<T> = before
        .into_iter()
        .filter(|item| !after.contains(item))
        .collect();
    all.extend(after);
    all.drain(..all.len().saturating_sub(most));
    all
}
