//! Blobs: read whole and checked, put in their place, and never given to who could not have downloaded them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Inner;
use super::error::StoreErrorKind;
use super::folder::{read_small, remove};
use super::lock::{self, Lockable};
use super::pin::Pin;
use crate::workload::{Digest, Reference};

/// How large the list of sources of a blob may grow: those beyond it download it again each time.
const MOST_SOURCES: u64 = 1 << 20;
/// How much is read at a time where not all of it is needed at once.
const CHUNK: usize = 1 << 20;

impl Inner {
    /// Pins a blob, if it is there.
    pub(super) fn pin(&self, digest: &Digest) -> Result<Option<Pin>, StoreErrorKind> {
        self.pins.pin(digest, &self.folder.blob(digest))
    }

    /// Pins a blob, if it was downloaded from the repository of the reference.
    pub(super) fn pin_from(
        &self,
        digest: &Digest,
        from: &Reference,
    ) -> Result<Option<Pin>, StoreErrorKind> {
        match self.is_from(digest, from)? {
            true => self.pin(digest),
            false => Ok(None),
        }
    }

    /// The bytes of a blob. One that is damaged is removed.
    pub(super) fn read(
        &self,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<(Bytes, Pin)>, StoreErrorKind> {
        let Some(pin) = self.pin(digest)? else {
            return Ok(None);
        };
        let found = pin.size()?;
        if found > limit {
            return Err(StoreErrorKind::TooLarge { found, limit });
        }
        match whole(&pin, found) {
            Ok(bytes) if Digest::of(&bytes) == *digest => {
                pin.mark_used();
                return Ok(Some((bytes.into(), pin)));
            }
            Ok(_) => self.drop_damaged(digest, &pin, "its bytes are not those of its digest"),
            Err(error) => self.drop_damaged(digest, &pin, &error.to_string()),
        };
        Ok(None)
    }

    /// Removes a blob that is damaged, unless it was replaced already. Whoever runs what was made from it has read it before it was.
    /// Returns whether it is gone.
    pub(super) fn drop_damaged(&self, digest: &Digest, pin: &Pin, why: &str) -> bool {
        let path = self.folder.blob(digest);
        let removed = self.folder.change().and_then(|_change| {
            if pin.is_at(&path)? {
                remove(&self.folder.source(digest))?;
                remove(&path)?;
            }
            Ok(())
        });
        let path = path.display();
        match &removed {
            Ok(()) => {
                tracing::warn!(%path, why, "a damaged blob was removed from the cache of images")
            }
            Err(error) => {
                tracing::warn!(%path, why, %error, "a damaged blob cannot be removed from the cache of images");
            }
        }
        removed.is_ok()
    }

    /// Moves a file that was written, checked and locked to where its blob is to be, and pins it.
    pub(super) fn place(
        &self,
        path: &Path,
        file: Lockable,
        digest: &Digest,
        from: &Reference,
    ) -> Result<Pin, StoreErrorKind> {
        file.set_modified(SystemTime::now())?;
        file.sync_data()?;
        let change = self.folder.change()?;
        // It came from there, whatever becomes of it now.
        self.add_source(digest, from)?;
        let pin = match self.pin_intact(digest)? {
            Some(pin) => {
                remove(path)?;
                pin.mark_used();
                pin
            }
            None => {
                fs::rename(path, self.folder.blob(digest))?;
                lock::shared(&file)?;
                self.pins.keep(digest, file)
            }
        };
        drop(change);
        self.make_room(0);
        Ok(pin)
    }

    /// Keeps bytes that came from the repository of the reference.
    pub(super) fn keep(
        &self,
        digest: &Digest,
        bytes: &[u8],
        from: &Reference,
    ) -> Result<Pin, StoreErrorKind> {
        self.check_size(bytes.len() as u64)?;
        // A damaged one is replaced while its bytes are at hand.
        if self.is_from(digest, from)?
            && let Some(pin) = self.pin_intact(digest)?
        {
            return Ok(pin);
        }
        self.folder.restore()?;
        let mut new = self.folder.new_file()?;
        new.write_all(bytes)?;
        let (file, path) = new.into_parts();
        let pin = self.place(&path, Lockable::of(file), digest, from)?;
        // There is nothing to remove in its old place.
        let _ = path.keep();
        Ok(pin)
    }

    pub(super) fn check_size(&self, size: u64) -> Result<(), StoreErrorKind> {
        let limit = self.options.limit;
        match size > limit {
            true => Err(StoreErrorKind::LargerThanCache { size, limit }),
            false => Ok(()),
        }
    }

    /// Pins the blob that is there already, because it came from elsewhere, unless it is damaged.
    fn pin_intact(&self, digest: &Digest) -> Result<Option<Pin>, StoreErrorKind> {
        let is_intact = |pin: &Pin| digest_of(pin, |_| {}).is_ok_and(|found| found == *digest);
        Ok(self.pin(digest)?.filter(is_intact))
    }

    /// Whether it was downloaded from the repository of the reference before.
    fn is_from(&self, digest: &Digest, from: &Reference) -> Result<bool, StoreErrorKind> {
        let listed = read_small(&self.folder.source(digest), MOST_SOURCES)?;
        let wanted = source(from);
        let lines = listed.as_deref().unwrap_or_default();
        Ok(lines
            .split(|byte| *byte == b'\n')
            .any(|line| line == wanted.as_bytes()))
    }

    /// Each source is a line of the same length: one that was cut off is none.
    fn add_source(&self, digest: &Digest, from: &Reference) -> Result<(), StoreErrorKind> {
        if self.is_from(digest, from)? {
            return Ok(());
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.folder.source(digest))?;
        let line = format!("\n{}\n", source(from));
        if file.metadata()?.len() + line.len() as u64 <= MOST_SOURCES {
            file.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

/// The digest of what a pinned blob has in it now.
pub(super) fn digest_of(pin: &Pin, mut progress: impl FnMut(u64)) -> io::Result<Digest> {
    let size = pin.size()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < size {
        let next = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        let Some(chunk) = buffer.get_mut(..next) else {
            break;
        };
        pin.read_at(chunk, at)?;
        hasher.update(&*chunk);
        at += next as u64;
        progress(next as u64);
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Stands for a repository of a registry.
fn source(of: &Reference) -> String {
    Digest::of(format!("{}/{}", of.registry(), of.repository()).as_bytes()).hex()
}

fn whole(pin: &Pin, size: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    pin.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
