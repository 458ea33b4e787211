//! Keys and values in the memory of the host, for as long as somebody holds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;

use super::entries::{self, Held, Millis, Shelf, now};
use super::listing::{Page, Wanted};
use super::{Bucket, Entry, Expected, Fault, SetOptions, Sign, Store, Swap};
use crate::capability::budget::Budget;

/// How many entries whose time is over a change takes away on its way, and of each room whoever finds no room.
const SWEPT: usize = 64;
/// How many entries a listing looks at before others have their turn.
const STRIDE: usize = 1000;

/// What one tenant keeps.
pub(crate) struct Memory(Arc<Mutex<Room>>);

struct Room {
    buckets: HashMap<Arc<str>, BTreeMap<Arc<str>, Held>>,
    /// When the time of what is over.
    due: BTreeSet<(Millis, Arc<str>, Arc<str>)>,
    used: u64,
    account: Arc<Account>,
    revision: u64,
}

/// What all may keep together for whom the same pays.
pub(crate) struct Account {
    budget: Arc<Budget>,
    /// What they keep, as long as somebody has it.
    rooms: Mutex<Vec<Weak<Mutex<Room>>>>,
}

impl Account {
    /// Room for so many bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(limit),
            rooms: Mutex::default(),
        })
    }

    fn enter(&self, room: &Arc<Mutex<Room>>) {
        let mut rooms = lock(&self.rooms);
        rooms.retain(|room| room.strong_count() > 0);
        rooms.push(Arc::downgrade(room));
    }

    /// Takes away what nobody can see any more, a little of each room. Says whether there was something. Whoever holds a room must let
    /// go of it before.
    fn sweep(&self) -> bool {
        let rooms: Vec<_> = lock(&self.rooms).iter().filter_map(Weak::upgrade).collect();
        let now = now();
        let swept = rooms.iter().map(|room| lock(room).sweep(now));
        swept.sum::<usize>() > 0
    }
}

impl Memory {
    /// An empty one with room for so many bytes.
    #[cfg(test)]
    pub(crate) fn new(limit: u64) -> Self {
        Self::within(Account::new(limit))
    }

    /// An empty one that has room as long as the account has.
    pub(crate) fn within(account: Arc<Account>) -> Self {
        let room = Arc::new(Mutex::new(Room {
            buckets: HashMap::new(),
            due: BTreeSet::new(),
            used: 0,
            account: Arc::clone(&account),
            // Versions of a room that is gone must mean nothing in this one.
            revision: fastrand::u64(..),
        }));
        account.enter(&room);
        Self(room)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here can fail halfway.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
        lock(&self.room)
    }

    fn read<T>(&self, read: impl FnOnce(&InRoom<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        read(&InRoom {
            room: &mut self.lock(),
            bucket: &self.name,
        })
    }

    /// Changes something. Where there is no room for that, what is over in any room of the same account makes some, a little at a time,
    /// and others go in between.
    async fn change<T>(
        &self,
        mut change: impl FnMut(&mut InRoom<'_>) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        loop {
            match self.change_once(&mut change) {
                Err(Fault::Full(_)) if self.sweep_account() => tokio::task::yield_now().await,
                done => return done,
            }
        }
    }

    fn sweep_account(&self) -> bool {
        let account = Arc::clone(&self.lock().account);
        account.sweep()
    }

    fn change_once<T>(
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
        let names = self.bucket.len() + key.len();
        let old = self.room.held(self.bucket, key);
        let old = old.map_or(0, |held| Held::charge(names, held.value.len()));
        let new = Held::charge(names, value.len());
        self.room.charge(self.room.used - old + new)?;
        self.room.unlink(self.bucket, key);
        let key: Arc<str> = key.into();
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

    /// Says how much is kept from now on; refuses more than there is room for.
    fn charge(&mut self, used: u64) -> Result<(), Fault> {
        match used.checked_sub(self.used) {
            Some(more) => {
                let taken = self.account.budget.take(more);
                taken.map_err(|full| entries::full(full.most))?;
            }
            None => self.account.budget.release(self.used - used),
        }
        self.used = used;
        Ok(())
    }

    fn take(&mut self, name: &Arc<str>, key: &str) {
        let freed = self.unlink(name, key);
        self.account.budget.release(freed);
        self.used -= freed;
    }

    /// Takes an entry away, and says what it counted for.
    fn unlink(&mut self, name: &Arc<str>, key: &str) -> u64 {
        let Some(bucket) = self.buckets.get_mut(name) else {
            return 0;
        };
        let Some((key, held)) = bucket.remove_entry(key) else {
            return 0;
        };
        if bucket.is_empty() {
            self.buckets.remove(name);
        }
        let counted = Held::charge(name.len() + key.len(), held.value.len());
        if let Some(expires) = held.expires {
            self.due.remove(&(expires, Arc::clone(name), key));
        }
        counted
    }

    /// Takes away what nobody can see any more, a little at a time. Says how much.
    fn sweep(&mut self, now: Millis) -> usize {
        for swept in 0..SWEPT {
            match self.due.first() {
                Some((expires, ..)) if *expires <= now => {}
                _ => return swept,
            }
            if let Some((_, bucket, key)) = self.due.pop_first() {
                self.take(&bucket, &key);
            }
        }
        SWEPT
    }

    /// The next entries of a bucket, from a key on: those that are there, by their keys, and the last that was looked at.
    fn stride(&self, name: &str, from: Bound<&str>) -> Stride {
        let (now, mut stride) = (now(), Stride::default());
        let bucket = self.buckets.get(name).into_iter();
        let entries = bucket.flat_map(|it| it.range::<str, _>((from, Bound::Unbounded)));
        for (key, held) in entries.take(STRIDE) {
            if !held.is_over(now) {
                stride.keys.push(Arc::clone(key));
            }
            stride.last = Some(Arc::clone(key));
        }
        stride
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.account.budget.release(self.used);
    }
}

/// A part of a bucket.
#[derive(Default)]
struct Stride {
    keys: Vec<Arc<str>>,
    /// `None`: there was nothing more.
    last: Option<Arc<str>>,
}

#[async_trait]
impl Bucket for MemoryBucket {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        Ok(self.read(|shelf| shelf.look(key))?.map(|held| held.value))
    }

    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault> {
        let set = |shelf: &mut InRoom<'_>| entries::set(shelf, key, value.clone(), how);
        self.change(set).await
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        self.change(|shelf| shelf.remove(key)).await
    }

    async fn exists(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.read(|shelf| shelf.look(key))?.is_some())
    }

    /// The lock is held to look up keys, not to pick among them, which takes longer by far.
    async fn list(&self, wanted: Wanted) -> Result<Page, Fault> {
        let begin: Arc<str> = wanted.begin().into();
        let mut picker = wanted.picker();
        let mut stride = self.lock().stride(&self.name, Bound::Included(&begin));
        loop {
            if stride.keys.iter().any(|key| picker.offer(key)) {
                return Ok(picker.finish());
            }
            let Some(last) = stride.last else {
                return Ok(picker.finish());
            };
            tokio::task::yield_now().await;
            stride = self.lock().stride(&self.name, Bound::Excluded(&last));
        }
    }

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault> {
        self.change(|shelf| entries::increment(shelf, key, delta, sign))
            .await
    }

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault> {
        Ok(self.read(|shelf| shelf.look(key))?.map(Entry::from))
    }

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault> {
        let swap = |shelf: &mut InRoom<'_>| entries::swap(shelf, key, value.clone(), &expected);
        self.change(swap).await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault> {
        self.read(|shelf| {
            let look = |key: &String| Ok(shelf.look(key)?.map(|held| held.value));
            keys.iter().map(look).collect()
        })
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault> {
        // What was set before there was no room is not set again.
        let mut left = pairs.as_slice();
        self.change(|shelf| entries::set_many(shelf, &mut left))
            .await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault> {
        self.change(|shelf| entries::delete_many(shelf, &keys))
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::super::listing::{Mark, PAGE};
    use super::*;

    async fn filled(keys: usize) -> Arc<dyn Bucket> {
        let bucket = Memory::new(64 << 20).bucket("b");
        let pairs = (0..keys).map(|n| (format!("{n:05}"), Bytes::new()));
        bucket.set_many(pairs.collect()).await.unwrap();
        bucket
    }

    fn all() -> Wanted {
        Wanted::placed(Mark::of(&["b"]), None).unwrap()
    }

    /// Each name that a workload shared by brought as much room as it may have in all.
    #[tokio::test]
    async fn rooms_that_count_together_keep_no_more_than_one_may() {
        let account = Account::new(10_000);
        let rooms = [(); 2].map(|()| Memory::within(Arc::clone(&account)));
        let [one, other] = rooms.each_ref().map(|room| room.bucket("b"));
        let value = |bytes| Bytes::from(vec![0; bytes]);
        let how = SetOptions::default();
        one.set("k", value(6000), how).await.unwrap();
        let full = other.set("k", value(6000), how).await;
        assert!(matches!(full, Err(Fault::Full(_))), "{full:?}");
        // What is written over counts no more, nor what is deleted, nor what is gone with its room.
        one.set("k", value(1000), how).await.unwrap();
        other.set("k", value(6000), how).await.unwrap();
        one.set("k", value(7000), how).await.unwrap_err();
        other.delete("k").await.unwrap();
        one.set("k", value(7000), how).await.unwrap();
        drop((rooms, one, other));
        assert_eq!(account.budget.used(), 0);
    }

    /// Whoever has no room finds it where what is over takes it, also in more than one sweep, and where nobody writes any more.
    #[tokio::test]
    async fn what_is_over_in_one_room_keeps_no_other_of_the_same_account_full() {
        let account = Account::new(100_000);
        let rooms = [(); 2].map(|()| Memory::within(Arc::clone(&account)));
        let [one, other] = rooms.each_ref().map(|room| room.bucket("b"));
        let soon = SetOptions {
            ttl: Some(Duration::from_millis(50)),
            if_absent: false,
        };
        let value = |bytes| Bytes::from(vec![0; bytes]);
        let mut last = String::new();
        for n in 0..400 {
            last = format!("{n:03}");
            one.set(&last, value(100), soon).await.unwrap();
        }
        while one.exists(&last).await.unwrap() {
            tokio::task::yield_now().await;
        }
        let how = SetOptions::default();
        let pairs = ["j", "k"].map(|key| (key.to_owned(), value(45_000)));
        other.set_many(pairs.to_vec()).await.unwrap();
        // What is not over stays, whoever wants the room.
        one.set("k", value(9000), how).await.unwrap();
        let full = one.set("more", value(9000), how).await;
        assert!(matches!(full, Err(Fault::Full(_))), "{full:?}");
        for key in ["j", "k"] {
            assert_eq!(other.get(key).await, Ok(Some(value(45_000))));
        }
    }

    /// It held the lock, and the thread, until it had been through everything.
    #[tokio::test]
    async fn a_listing_lets_others_go_after_every_stride() {
        let bucket = filled(5 * STRIDE).await;
        let mut listing = bucket.list(all());
        let mut strides = 0;
        let page = loop {
            match (&mut listing).now_or_never() {
                Some(page) => break page.unwrap(),
                None => strides += 1,
            }
        };
        assert_eq!(strides, 5);
        assert_eq!(page.keys.len(), PAGE);
    }

    #[tokio::test]
    async fn a_stride_of_what_is_over_ends_no_listing() {
        let bucket = filled(2).await;
        let soon = SetOptions {
            ttl: Some(Duration::from_millis(50)),
            if_absent: false,
        };
        let mut last = String::new();
        for n in 0..=STRIDE {
            last = format!("!{n:05}");
            bucket.set(&last, Bytes::new(), soon).await.unwrap();
        }
        while bucket.exists(&last).await.unwrap() {
            tokio::task::yield_now().await;
        }
        let mut page = bucket.list(all()).await.unwrap();
        page.keys.sort();
        assert_eq!(page.keys, ["00000", "00001"]);
        let wanted = Wanted::named(Mark::of(&["b"]), None, None).unwrap();
        let page = bucket.list(wanted).await.unwrap();
        assert_eq!(page.keys, ["00000", "00001"]);
    }
}
