//! What goes when the cache is full or is pruned: first downloads that broke off, then what was not used for the longest time, and
//! nothing that is in use.
//!
//! A registry that breaks off what it sends must not fill the disk, nor drive out what others have pulled: what is half there counts
//! towards the limit, goes before any blob, and holds a part of the cache at most.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Inner;
use super::error::StoreErrorKind;
use super::folder::{Change, is_new, remove};
use super::lock::{self, Lockable};
use super::record::Record;
use crate::artifact::Prune;
use crate::workload::{Digest, Reference};

/// After this long, nobody is expected to go on with a download.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Downloads that broke off have one part of so many of the cache, all together.
const PARTS: u64 = 4;

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many blobs.
    pub blobs: usize,
    /// How many unfinished downloads.
    pub partials: usize,
    /// How many bytes both had.
    pub bytes: u64,
    /// How many of either would have gone as well, but are in use.
    pub kept_in_use: usize,
}

/// A file that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) what: What,
    pub(super) size: u64,
    pub(super) used: SystemTime,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Blob(Digest),
    Partial(PathBuf),
}

impl Kept {
    fn age(&self, now: SystemTime) -> Duration {
        // What is from the future was used just now, by a clock that is ahead.
        now.duration_since(self.used).unwrap_or_default()
    }

    fn is_blob(&self) -> bool {
        matches!(self.what, What::Blob(_))
    }

    fn is_stale(&self, now: SystemTime) -> bool {
        !self.is_blob() && self.age(now) >= STALE
    }

    /// Written at one go by somebody who may not have locked it yet. What a process leaves of these when it dies is removed when it
    /// is stale.
    fn is_new(&self) -> bool {
        matches!(&self.what, What::Partial(path) if is_new(path))
    }

    /// A download that nobody is at.
    fn is_left(&self) -> bool {
        matches!(&self.what, What::Partial(path) if !is_new(path) && !is_in_use(path))
    }
}

impl Inner {
    /// Brings the cache so far below its limit that there is room for so many bytes more. What was just put into it stays even if that
    /// fails.
    pub(super) fn make_room(&self, more: u64) {
        if let Err(error) = self.try_make_room(more) {
            let folder = self.folder.root().display();
            tracing::warn!(%folder, %error, "nothing can be removed from the cache of images, so it grows above its limit");
        }
    }

    fn try_make_room(&self, more: u64) -> Result<(), StoreErrorKind> {
        let (limit, now) = (self.options.limit, SystemTime::now());
        let kept = self.kept()?;
        let partials = kept.iter().filter(|it| !it.is_blob());
        let is_tidy = total(partials.clone()) <= limit / PARTS
            && !partials.clone().any(|it| it.is_stale(now));
        let is_above = total(&kept).saturating_add(more) > limit;
        if !is_above && is_tidy {
            return Ok(());
        }
        // A bit more than it must: so the next one does not have to do it again.
        let most = if is_above { limit / 10 * 9 } else { limit };
        self.sweep(Prune::ToSize(most.saturating_sub(more)), limit / PARTS)
            .map(drop)
    }

    pub(super) fn prune(&self, prune: Prune) -> Result<Pruned, StoreErrorKind> {
        self.sweep(prune, u64::MAX)
    }

    /// Removes what is asked for, and so many downloads that broke off that the rest of them has no more than so many bytes.
    fn sweep(&self, prune: Prune, most_left: u64) -> Result<Pruned, StoreErrorKind> {
        let change = self.folder.change()?;
        let (mut kept, records, now) = (self.kept()?, self.records()?, SystemTime::now());
        let held = self.held(&records);
        use_together(&mut kept, &records);
        kept.sort_by_key(|it| (it.is_blob(), it.used, Reverse(it.size)));
        let (mut total, mut left) = (total(&kept), total(kept.iter().filter(|it| it.is_left())));
        let mut pruned = Pruned::default();
        for it in kept {
            let is_too_much = match prune {
                Prune::All => true,
                Prune::Unused { since } => it.age(now) >= since,
                Prune::ToSize(most) if it.is_blob() => total > most,
                Prune::ToSize(most) => !it.is_new() && (total > most || left > most_left),
            };
            if !is_too_much && !it.is_stale(now) {
                continue;
            }
            let is_held = matches!(&it.what, What::Blob(digest) if held.contains(digest));
            if is_held || !self.give_up(&it.what, &change)? {
                pruned.kept_in_use += 1;
                continue;
            }
            total = total.saturating_sub(it.size);
            pruned.bytes += it.size;
            match it.what {
                What::Blob(_) => pruned.blobs += 1,
                What::Partial(_) => pruned.partials += 1,
            }
            if !it.is_new() {
                left = left.saturating_sub(it.size);
            }
        }
        self.forget_what_is_gone(&records, &change)?;
        Ok(pruned)
    }

    /// All blobs and what is being downloaded.
    pub(super) fn kept(&self) -> Result<Vec<Kept>, StoreErrorKind> {
        let mut kept = Vec::new();
        for entry in entries(&self.folder.blobs())? {
            let (entry, name) = named(entry?);
            if let Some(digest) = name.and_then(|name| digest_in(&name)) {
                kept.extend(seen(&entry, What::Blob(digest))?);
            }
        }
        for entry in entries(&self.folder.partials())? {
            let entry = entry?;
            let what = What::Partial(entry.path());
            kept.extend(seen(&entry, what)?);
        }
        Ok(kept)
    }

    /// The blobs of images whose layer is in use: the manifest is read again when it starts again.
    fn held(&self, records: &[(Reference, Record)]) -> HashSet<Digest> {
        let mut in_use = HashMap::new();
        let mut held = HashSet::new();
        for (_, record) in records {
            let layer = self.folder.blob(&record.layer);
            let is_in_use = in_use
                .entry(record.layer)
                .or_insert_with(|| is_in_use(&layer));
            if *is_in_use {
                held.extend(record.blobs());
            }
        }
        held
    }

    /// Removes it unless somebody uses it. Returns whether it is gone.
    fn give_up(&self, what: &What, _: &Change<'_>) -> Result<bool, StoreErrorKind> {
        let path = match what {
            What::Blob(digest) => &self.folder.blob(digest),
            What::Partial(path) => path,
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            file => Lockable::of(file?),
        };
        if !lock::try_exclusive(&file)? {
            return Ok(false);
        }
        // Who waits for the lock sees that it is gone. A download may have become a blob in between.
        if lock::is_at(&file, path)? {
            if let What::Blob(digest) = what {
                remove(&self.folder.source(digest))?;
            }
            remove(path)?;
        }
        Ok(true)
    }

    /// Removes what was known of blobs that are no more.
    fn forget_what_is_gone(
        &self,
        records: &[(Reference, Record)],
        _: &Change<'_>,
    ) -> Result<(), StoreErrorKind> {
        let is_gone = |digest: &Digest| !self.folder.blob(digest).exists();
        for (reference, record) in records {
            if is_gone(&record.layer) || is_gone(&record.manifest) {
                remove(&self.folder.reference(reference))?;
            }
        }
        for entry in entries(&self.folder.sources())? {
            let (entry, name) = named(entry?);
            if name
                .and_then(|name| digest_in(&name))
                .is_some_and(|it| is_gone(&it))
            {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Whether somebody holds it. If that cannot be told, somebody may.
pub(super) fn is_in_use(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => !lock::try_exclusive(&Lockable::of(file)).unwrap_or(false),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The bytes of all of them.
pub(super) fn total<'a>(kept: impl IntoIterator<Item = &'a Kept>) -> u64 {
    let sizes = kept.into_iter().map(|it| it.size);
    sizes.fold(0, u64::saturating_add)
}

/// What is in a folder; nothing if it is not there.
pub(super) fn entries(
    folder: &Path,
) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        entries => Ok(Some(entries?).into_iter().flatten()),
    }
}

/// What belongs to a layer was used when the layer was.
fn use_together(kept: &mut [Kept], records: &[(Reference, Record)]) {
    let blobs = kept.iter().filter_map(|it| match it.what {
        What::Blob(digest) => Some((digest, it.used)),
        What::Partial(_) => None,
    });
    let own: HashMap<Digest, SystemTime> = blobs.collect();
    let mut used = own.clone();
    for (_, record) in records {
        let Some(layer) = own.get(&record.layer) else {
            continue;
        };
        for digest in record.blobs() {
            used.entry(*digest)
                .and_modify(|used| *used = (*used).max(*layer));
        }
    }
    for it in kept {
        if let What::Blob(digest) = &it.what
            && let Some(used) = used.get(digest)
        {
            it.used = *used;
        }
    }
}

fn seen(entry: &fs::DirEntry, what: What) -> io::Result<Option<Kept>> {
    let kept = |metadata: Metadata| {
        Ok(Kept {
            what,
            size: metadata.len(),
            used: metadata.modified()?,
        })
    };
    match entry.metadata() {
        // Another process has removed it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.and_then(kept).map(Some),
    }
}

fn named(entry: fs::DirEntry) -> (fs::DirEntry, Option<String>) {
    let name = entry.file_name().into_string().ok();
    (entry, name)
}

fn digest_in(name: &str) -> Option<Digest> {
    format!("sha256:{name}").parse().ok()
}
