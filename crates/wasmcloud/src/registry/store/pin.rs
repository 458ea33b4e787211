//! Blobs that are in use, so that nobody drops them from the cache.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use super::error::StoreErrorKind;
use super::lock::{self, Lockable};
use crate::workload::Digest;

/// How often a blob may be replaced under our feet.
const TRIES: usize = 8;

/// Held while something runs that was made from a blob. As long as anybody holds one, in any process, the blob stays in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Pin(Arc<Lockable>);

impl Pin {
    /// How many bytes the blob has.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// Fills the buffer with bytes of the blob. Others may read it at the same time.
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, at)
    }

    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        lock::is_at(&self.0, path)
    }

    /// What was not used for the longest time goes first. A folder that cannot be written to needs no marks: nothing goes.
    pub(super) fn mark_used(&self) {
        let _ = self.0.set_modified(SystemTime::now());
    }
}

/// The pins of this process: a thousand workloads from one blob hold one file open, not a thousand.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<HashMap<Digest, Weak<Lockable>>>);

impl Pins {
    /// Pins a blob, if it is there.
    pub(super) fn pin(&self, digest: &Digest, path: &Path) -> Result<Option<Pin>, StoreErrorKind> {
        if let Some(pin) = self.held(digest)
            && pin.is_at(path)?
        {
            return Ok(Some(pin));
        }
        for _ in 0..TRIES {
            let file = match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => Lockable::of(file?),
            };
            if !file.metadata()?.is_file() {
                return Ok(None);
            }
            lock::shared(&file)?;
            // Until it was locked, it could be removed.
            if lock::is_at(&file, path)? {
                return Ok(Some(self.keep(digest, file)));
            }
        }
        Ok(None)
    }

    /// A pin of a file that is locked together with others.
    pub(super) fn keep(&self, digest: &Digest, file: Lockable) -> Pin {
        let pin = Pin(Arc::new(file));
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|_, pin| pin.strong_count() > 0);
        pins.insert(*digest, Arc::downgrade(&pin.0));
        pin
    }

    fn held(&self, digest: &Digest) -> Option<Pin> {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.get(digest)?.upgrade().map(Pin)
    }
}
