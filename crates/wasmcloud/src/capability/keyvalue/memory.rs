//! Keys and values in the memory of the host, for as long as somebody holds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::entries::{self, Held, Millis, Shelf, now};
use super::listing::{Page, Wanted};
use super::{Bucket, Entry, Expected, Fault, SetOptions, Sign, Store, Swap};

/// How many entries whose time is over a change takes away on its way.
const SWEPT: usize = 64;

/// What one tenant keeps.
pub(crate) struct Memory(Arc<Mutex<Room>>);

struct Room {
    buckets: HashMap<Arc<str>, BTreeMap<Arc<str>, Held>>,
    /// When the time of what is over.
    due: BTreeSet<(Millis, Arc<str>, Arc<str>)>,
    used: u64,
    limit: u64,
    revision: u64,
}

impl Memory {
    /// An empty one with room for so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self(Arc::new(Mutex::new(Room {
            buckets: HashMap::new(),
            due: BTreeSet::new(),
            used: 0,
            limit,
            // Versions of a room that is gone must mean nothing in this one.
            revision: fastrand::u64(..),
        })))
    }
}

impl Store for Memory {
    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(MemoryBucket {
            room: Arc::clone(&self.0),
            name: name.into(),
        })
    }
}

struct MemoryBucket {
    room: Arc<Mutex<Room>>,
    name: Arc<str>,
}

impl MemoryBucket {
    fn lock(&self) -> MutexGuard<'_, Room> {
        // Nothing in here can fail halfway.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&InRoom<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        read(&InRoom {
            room: &mut self.lock(),
            bucket: &self.name,
        })
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut InRoom<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut room = self.lock();
        room.sweep(now());
        change(&mut InRoom {
            room: &mut room,
            bucket: &self.name,
        })
    }
}

/// A bucket, while nobody else touches the room.
struct InRoom<'a> {
    room: &'a mut Room,
    bucket: &'a Arc<str>,
}

impl Shelf for InRoom<'_> {
    fn look(&self, key: &str) -> Result<Option<Held>, Fault> {
        let bucket = self.room.buckets.get(self.bucket);
        let held = bucket.and_then(|bucket| bucket.get(key));
        let in_time = |held: &&Held| held.expires.is_none() || !held.is_over(now());
        Ok(held.filter(in_time).cloned())
    }

    fn put(&mut self, key: &str, value: Bytes, expires: Option<Millis>) -> Result<(), Fault> {
        let Room { used, limit, .. } = *self.room;
        let names = self.bucket.len() + key.len();
        let old = self.room.held(self.bucket, key);
        let old = old.map_or(0, |held| Held::charge(names, held.value.len()));
        let used = used - old + Held::charge(names, value.len());
        if used > limit {
            return Err(entries::full(limit));
        }
        self.room.take(self.bucket, key);
        let key: Arc<str> = key.into();
        self.room.used = used;
        self.room.revision = self.room.revision.wrapping_add(1);
        let held = Held {
            value,
            revision: self.room.revision,
            expires,
        };
        if let Some(expires) = expires {
            let due = (expires, Arc::clone(self.bucket), Arc::clone(&key));
            self.room.due.insert(due);
        }
        let bucket = self.room.buckets.entry(Arc::clone(self.bucket));
        bucket.or_default().insert(key, held);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), Fault> {
        self.room.take(self.bucket, key);
        Ok(())
    }
}

impl Room {
    fn held(&self, bucket: &str, key: &str) -> Option<&Held> {
        self.buckets.get(bucket)?.get(key)
    }

    fn take(&mut self, name: &Arc<str>, key: &str) {
        let Some(bucket) = self.buckets.get_mut(name) else {
            return;
        };
        let Some((key, held)) = bucket.remove_entry(key) else {
            return;
        };
        if bucket.is_empty() {
            self.buckets.remove(name);
        }
        self.used -= Held::charge(name.len() + key.len(), held.value.len());
        if let Some(expires) = held.expires {
            self.due.remove(&(expires, Arc::clone(name), key));
        }
    }

    /// Takes away what nobody can see any more, a little at a time.
    fn sweep(&mut self, now: Millis) {
        for _ in 0..SWEPT {
            match self.due.first() {
                Some((expires, ..)) if *expires <= now => {}
                _ => return,
            }
            if let Some((_, bucket, key)) = self.due.pop_first() {
                self.take(&bucket, &key);
            }
        }
    }

    fn list(&self, name: &str, wanted: Wanted) -> Page {
        let begin = Bound::Included(wanted.begin().to_owned());
        let mut picker = wanted.picker();
        let now = now();
        let Some(bucket) = self.buckets.get(name) else {
            return picker.finish();
        };
        let from = (begin.as_ref().map(String::as_str), Bound::Unbounded);
        for (key, held) in bucket.range::<str, _>(from) {
            if !held.is_over(now) && picker.offer(key) {
                break;
            }
        }
        picker.finish()
    }
}

#[async_trait]
impl Bucket for MemoryBucket {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        Ok(self.read(|shelf| shelf.look(key))?.map(|held| held.value))
    }

    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault> {
        self.change(|shelf| entries::set(shelf, key, value, how))
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        self.change(|shelf| shelf.remove(key))
    }

    async fn exists(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.read(|shelf| shelf.look(key))?.is_some())
    }

    async fn list(&self, wanted: Wanted) -> Result<Page, Fault> {
        Ok(self.lock().list(&self.name, wanted))
    }

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault> {
        self.change(|shelf| entries::increment(shelf, key, delta, sign))
    }

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault> {
        Ok(self.read(|shelf| shelf.look(key))?.map(Entry::from))
    }

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault> {
        self.change(|shelf| entries::swap(shelf, key, value, &expected))
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault> {
        self.read(|shelf| {
            let look = |key: &String| Ok(shelf.look(key)?.map(|held| held.value));
            keys.iter().map(look).collect()
        })
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault> {
        self.change(|shelf| entries::set_many(shelf, pairs))
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault> {
        self.change(|shelf| entries::delete_many(shelf, &keys))
    }
}
