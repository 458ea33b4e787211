//! Who reads, reads on: chunks that nobody wants any more stay until those of this host who read them have ended.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doomed {
    /// The chunks of one object.
    Chunks { bucket: String, nuid: String },
    /// A container with everything in it.
    Bucket(String),
}

/// The readers of this host, by bucket.
#[derive(Default)]
pub(super) struct Leases {
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Default)]
struct Bucket {
    /// How many look up what to read.
    looking: usize,
    /// What was removed while somebody did.
    removed: HashSet<String>,
    /// How many read the chunks of an object.
    reading: HashMap<String, usize>,
    /// What goes when nobody reads it any more.
    doomed: HashSet<String>,
    gone: bool,
}

impl Bucket {
    fn is_idle(&self) -> bool {
        self.looking == 0 && self.reading.is_empty()
    }
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody begins to look up what to read.
    pub(super) fn look(&self, bucket: &str) {
        let mut buckets = self.lock();
        buckets.entry(bucket.to_owned()).or_default().looking += 1;
    }

    /// Who looked has found an object, or none. `false`: its chunks have gone meanwhile, so look again. What is to be removed now is
    /// returned as well.
    pub(super) fn found(&self, bucket: &str, nuid: Option<&str>) -> (bool, Option<Doomed>) {
        let mut buckets = self.lock();
        let Some(of) = buckets.get_mut(bucket) else {
            return (true, None);
        };
        of.looking = of.looking.saturating_sub(1);
        let there = nuid.is_none_or(|nuid| !of.removed.contains(nuid));
        if let Some(nuid) = nuid.filter(|_| there) {
            *of.reading.entry(nuid.to_owned()).or_default() += 1;
        }
        if of.looking == 0 {
            of.removed.clear();
        }
        (there, idle(&mut buckets, bucket))
    }

    /// Somebody has read enough.
    pub(super) fn done(&self, bucket: &str, nuid: &str) -> Option<Doomed> {
        let mut buckets = self.lock();
        let of = buckets.get_mut(bucket)?;
        let readers = of.reading.get_mut(nuid)?;
        *readers = readers.saturating_sub(1);
        let last = *readers == 0;
        if last {
            of.reading.remove(nuid);
        }
        let doomed = last && of.doomed.remove(nuid) && !of.gone;
        let all = idle(&mut buckets, bucket);
        let chunks = || Doomed::Chunks {
            bucket: bucket.to_owned(),
            nuid: nuid.to_owned(),
        };
        all.or_else(|| doomed.then(chunks))
    }

    /// Nobody wants something any more. `Some`: nobody reads it either, so it is to be removed now.
    pub(super) fn doom(&self, doomed: Doomed) -> Option<Doomed> {
        let mut buckets = self.lock();
        let (bucket, nuid) = match &doomed {
            Doomed::Chunks { bucket, nuid } => (bucket, Some(nuid)),
            Doomed::Bucket(bucket) => (bucket, None),
        };
        let Some(of) = buckets.get_mut(bucket) else {
            return Some(doomed);
        };
        match nuid {
            Some(nuid) if of.reading.contains_key(nuid) => {
                of.doomed.insert(nuid.clone());
                None
            }
            Some(nuid) => {
                if of.looking > 0 {
                    of.removed.insert(nuid.clone());
                }
                Some(doomed)
            }
            None if of.is_idle() => Some(doomed),
            None => {
                of.gone = true;
                None
            }
        }
    }
}

/// Forgets a bucket that nobody reads from; one that is gone is to be removed.
fn idle(buckets: &mut HashMap<String, Bucket>, bucket: &str) -> Option<Doomed> {
    let idle = buckets.get(bucket).is_some_and(Bucket::is_idle);
    let of = idle.then(|| buckets.remove(bucket)).flatten()?;
    of.gone.then(|| Doomed::Bucket(bucket.to_owned()))
}

/// One who reads, or looks up what to read.
pub(super) struct Lease {
    pub(super) bucket: String,
    pub(super) nuid: Option<String>,
    pub(super) leases: Arc<Leases>,
    /// Removes what nobody wants or reads any more.
    pub(super) remove: Arc<dyn Fn(Doomed) + Send + Sync>,
}

impl Lease {
    pub(super) fn look(
        leases: &Arc<Leases>,
        bucket: &str,
        remove: Arc<dyn Fn(Doomed) + Send + Sync>,
    ) -> Self {
        leases.look(bucket);
        Self {
            bucket: bucket.to_owned(),
            nuid: None,
            leases: Arc::clone(leases),
            remove,
        }
    }

    /// What to read was found. `None`: it has gone meanwhile.
    pub(super) fn found(mut self, nuid: &str) -> Option<Self> {
        let (there, doomed) = self.leases.found(&self.bucket, Some(nuid));
        // From here on, dropping it tells of no one who looks.
        self.nuid = Some(if there { nuid } else { "" }.to_owned());
        if let Some(doomed) = doomed {
            (self.remove)(doomed);
        }
        there.then_some(self)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let doomed = match &self.nuid {
            Some(nuid) => self.leases.done(&self.bucket, nuid),
            None => self.leases.found(&self.bucket, None).1,
        };
        if let Some(doomed) = doomed {
            (self.remove)(doomed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn chunks(nuid: &str) -> Doomed {
        Doomed::Chunks {
            bucket: "b".to_owned(),
            nuid: nuid.to_owned(),
        }
    }

    #[test]
    fn what_is_read_goes_with_its_last_reader() {
        let leases = Arc::new(Leases::default());
        let removed = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&removed);
        let remove: Arc<dyn Fn(Doomed) + Send + Sync> =
            Arc::new(move |doomed| notes.lock().unwrap().push(doomed));
        let read = |nuid| {
            Lease::look(&leases, "b", Arc::clone(&remove))
                .found(nuid)
                .unwrap()
        };
        let (one, two) = (read("n"), read("n"));
        assert_eq!(leases.doom(chunks("n")), None);
        assert_eq!(leases.doom(chunks("other")), Some(chunks("other")));
        drop(one);
        assert!(removed.lock().unwrap().is_empty());
        drop(two);
        assert_eq!(*removed.lock().unwrap(), [chunks("n")]);

        let three = read("m");
        let bucket = Doomed::Bucket("b".to_owned());
        assert_eq!(leases.doom(chunks("m")), None);
        assert_eq!(leases.doom(bucket.clone()), None);
        drop(three);
        assert_eq!(*removed.lock().unwrap(), [chunks("n"), bucket.clone()]);
        assert_eq!(leases.doom(bucket.clone()), Some(bucket));
        assert!(leases.lock().is_empty());
    }

    #[test]
    fn who_looks_while_it_goes_looks_again() {
        let leases = Arc::new(Leases::default());
        let remove: Arc<dyn Fn(Doomed) + Send + Sync> = Arc::new(drop);
        let looking = Lease::look(&leases, "b", Arc::clone(&remove));
        assert_eq!(leases.doom(chunks("n")), Some(chunks("n")));
        assert!(looking.found("n").is_none());
        let looking = Lease::look(&leases, "b", remove);
        assert!(looking.found("n").is_some());
        assert!(leases.lock().is_empty());
    }
}
