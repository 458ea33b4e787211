//! What is too much, refused before any backend sees it; and what is too much at once, which waits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::listing::{PAGE, Page, Wanted};
use super::{Bucket, Entry, Expected, Fault, KeyValueOptions, SetOptions, Sign, Swap};
use crate::capability::in_flight::{Crowded, InFlight, Permit};

/// How many bytes the name of a bucket may have.
const NAME_BYTES: usize = 256;
/// How many keys one call may be about.
const BATCH: usize = 1000;
/// How many bytes of values one call may give or ask for.
const BATCH_BYTES: usize = 16 << 20;
/// How many values are fetched at once where one call asks for many: no more than fit a call when they are as long as they may be.
const FETCHED: usize = 16;
/// How many bytes a workload may have on their way to where it keeps them, and how many may be the answers that it waits for.
const GIVEN: usize = 64 << 20;
const ANSWERS: usize = 128 << 20;
/// How many listings of a workload go on at once: a page may take going through everything that it keeps.
pub(super) const LISTINGS: usize = 2;

/// The longest time after which a key may be gone.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What the calls of a workload may have on their way at once, whatever buckets they are for.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    given: InFlight,
    answers: InFlight,
    listings: Arc<Semaphore>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self::of(GIVEN, ANSWERS)
    }
}

impl Traffic {
    /// So many bytes of what is given, and of answers. An answer counts as long as it may be: how long it is, is known only when it
    /// is there.
    pub(crate) fn of(given: usize, answers: usize) -> Self {
        Self {
            given: InFlight::new(given),
            answers: InFlight::new(answers),
            listings: Arc::new(Semaphore::new(LISTINGS)),
        }
    }

    /// Waits until what a call gives may go.
    async fn give(&self, bytes: usize) -> Result<Permit, Fault> {
        let admitted = self.given.admit(bytes).await;
        admitted.map_err(|crowded: Crowded| Fault::Full(crowded.to_string()))
    }
}

/// A bucket that takes no more than it should.
pub(crate) struct Limited {
    bucket: Arc<dyn Bucket>,
    key_bytes: usize,
    value_bytes: usize,
    traffic: Traffic,
}

/// Whether a bucket may be called this.
pub(crate) fn check_name(name: &str) -> Result<(), Fault> {
    match name.len() {
        0..=NAME_BYTES => Ok(()),
        found => Err(Fault::Invalid(format!(
            "the name of the bucket has {found} bytes, of at most {NAME_BYTES}"
        ))),
    }
}

impl Limited {
    pub(crate) fn new(
        bucket: Arc<dyn Bucket>,
        options: &KeyValueOptions,
        traffic: Traffic,
    ) -> Self {
        Self {
            bucket,
            key_bytes: options.key_bytes,
            value_bytes: options.value_bytes,
            traffic,
        }
    }

    /// Waits until so many values may be on their way here.
    async fn answers(&self, values: usize) -> Permit {
        let bytes = self.value_bytes.saturating_mul(values);
        let most = BATCH_BYTES.max(self.value_bytes);
        self.traffic.answers.enter(bytes.min(most)).await
    }

    fn key(&self, key: &str) -> Result<(), Fault> {
        match key.len() {
            0 => Err(Fault::Invalid("the key is empty".to_owned())),
            found if found > self.key_bytes => Err(Fault::Invalid(format!(
                "the key has {found} bytes, of at most {}",
                self.key_bytes
            ))),
            _ => Ok(()),
        }
    }

    fn keys(&self, keys: &[String]) -> Result<(), Fault> {
        batch(keys.len())?;
        keys.iter().try_for_each(|key| self.key(key))
    }

    fn value(&self, value: &Bytes) -> Result<(), Fault> {
        if value.len() <= self.value_bytes {
            return Ok(());
        }
        Err(Fault::Invalid(format!(
            "the value has {} bytes, of at most {}",
            value.len(),
            self.value_bytes
        )))
    }

    fn wanted(&self, wanted: &Wanted) -> Result<(), Fault> {
        match wanted {
            Wanted::Named { prefix, after } => {
                let longest = prefix.len().max(after.as_ref().map_or(0, String::len));
                match longest > self.key_bytes {
                    true => Err(Fault::Invalid(format!(
                        "no key has more than {} bytes",
                        self.key_bytes
                    ))),
                    false => Ok(()),
                }
            }
            Wanted::Placed { .. } => Ok(()),
        }
    }
}

fn bytes_of(keys: &[String]) -> usize {
    keys.iter().map(String::len).sum()
}

fn batch(keys: usize) -> Result<(), Fault> {
    if keys <= BATCH {
        return Ok(());
    }
    Err(Fault::Invalid(format!(
        "the call is about {keys} keys, of at most {BATCH}"
    )))
}

fn batch_bytes(bytes: usize) -> Result<(), Fault> {
    if bytes <= BATCH_BYTES {
        return Ok(());
    }
    Err(Fault::Invalid(format!(
        "the values of one call have more than {BATCH_BYTES} bytes"
    )))
}

#[async_trait]
impl Bucket for Limited {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        self.key(key)?;
        let _room = self.answers(1).await;
        self.bucket.get(key).await
    }

    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault> {
        self.key(key)?;
        self.value(&value)?;
        if how.ttl.is_some_and(|ttl| ttl.is_zero() || ttl > LONGEST) {
            let told = "the key would be gone at once, or only after a hundred years";
            return Err(Fault::Invalid(told.to_owned()));
        }
        let _room = self.traffic.give(key.len() + value.len()).await?;
        self.bucket.set(key, value, how).await
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        self.key(key)?;
        let _room = self.traffic.give(key.len()).await?;
        self.bucket.delete(key).await
    }

    async fn exists(&self, key: &str) -> Result<bool, Fault> {
        self.key(key)?;
        let _room = self.traffic.give(key.len()).await?;
        self.bucket.exists(key).await
    }

    async fn list(&self, wanted: Wanted) -> Result<Page, Fault> {
        self.wanted(&wanted)?;
        // They are never closed.
        let _turn = self.traffic.listings.acquire().await;
        let page = self.key_bytes.saturating_mul(PAGE);
        let _room = self.traffic.answers.enter(page).await;
        self.bucket.list(wanted).await
    }

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault> {
        self.key(key)?;
        let _room = self.traffic.give(key.len()).await?;
        self.bucket.increment(key, delta, sign).await
    }

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault> {
        self.key(key)?;
        let _room = self.answers(1).await;
        self.bucket.current(key).await
    }

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault> {
        self.key(key)?;
        self.value(&value)?;
        if expected == Expected::default() {
            return Err(Fault::Invalid("the swap requires nothing".to_owned()));
        }
        let wanted = expected.value.as_ref().map_or(0, Bytes::len);
        let _given = self.traffic.give(key.len() + value.len() + wanted).await?;
        // Whoever waits for answers only waits for nobody who gives.
        let _room = self.answers(1).await;
        self.bucket.swap(key, value, expected).await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault> {
        self.keys(&keys)?;
        let _given = self.traffic.give(bytes_of(&keys)).await?;
        let _room = self.answers(keys.len()).await;
        let mut values = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for keys in keys.chunks(FETCHED) {
            let some = self.bucket.get_many(keys.to_vec()).await?;
            bytes += some.iter().flatten().map(Bytes::len).sum::<usize>();
            batch_bytes(bytes)?;
            values.extend(some);
        }
        Ok(values)
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault> {
        batch(pairs.len())?;
        for (key, value) in &pairs {
            self.key(key)?;
            self.value(value)?;
        }
        batch_bytes(pairs.iter().map(|(_, value)| value.len()).sum())?;
        if pairs.is_empty() {
            return Ok(());
        }
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len());
        let _room = self.traffic.give(bytes.sum()).await?;
        self.bucket.set_many(pairs).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault> {
        self.keys(&keys)?;
        if keys.is_empty() {
            return Ok(());
        }
        let _room = self.traffic.give(bytes_of(&keys)).await?;
        self.bucket.delete_many(keys).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use futures::{FutureExt, TryFutureExt as _};

    use super::super::Store as _;
    use super::super::listing::Mark;
    use super::super::memory::Memory;
    use super::*;

    /// A guest that begins more and more calls of little fills the host, too.
    #[tokio::test]
    async fn calls_that_bring_nothing_but_a_key_wait_and_are_refused_like_others() {
        let (store, traffic) = (Memory::new(64 << 20), Traffic::of(1000, 1000));
        let limited = Limited::new(store.bucket("b"), &KeyValueOptions::default(), traffic);
        let held = limited.traffic.given.enter(1000).now_or_never().unwrap();
        let mut waiting = [
            limited.delete("k"),
            limited.exists("k").map_ok(drop).boxed(),
            limited.increment("k", 1, Sign::Any).map_ok(drop).boxed(),
        ];
        for call in &mut waiting {
            assert!(call.now_or_never().is_none());
        }
        let mut crowd = [(); 10].map(|()| limited.delete("k"));
        let told = crowd.each_mut().map(FutureExt::now_or_never);
        let full = |told: &Option<Result<(), Fault>>| matches!(told, Some(Err(Fault::Full(_))));
        assert!(told.iter().any(full), "{told:?}");
        drop((held, crowd));
        for call in waiting {
            call.await.unwrap();
        }
    }

    /// A guest that begins more and more listings keeps the host from nothing else.
    #[tokio::test]
    async fn no_more_listings_of_a_workload_go_on_at_once_than_may() {
        let (store, traffic) = (Memory::new(64 << 20), Traffic::default());
        let options = KeyValueOptions::default();
        let limited = |name| Limited::new(store.bucket(name), &options, traffic.clone());
        let buckets = ["a", "b", "c"].map(limited);
        let all = || Wanted::placed(Mark::of(&["this"]), None).unwrap();
        for bucket in &buckets {
            let pairs = (0..BATCH).map(|n| (n.to_string(), Bytes::new()));
            bucket.set_many(pairs.collect()).await.unwrap();
        }
        let mut listings = buckets.each_ref().map(|bucket| bucket.list(all()));
        for listing in &mut listings {
            assert!(listing.now_or_never().is_none(), "none ends at once");
        }
        assert_eq!(traffic.listings.available_permits(), 0);
        let [first, second, third] = listings;
        drop(first);
        assert_eq!(second.await.unwrap().keys.len(), BATCH);
        // The third, which has waited, has one of the turns.
        assert_eq!(traffic.listings.available_permits(), 1);
        assert_eq!(third.await.unwrap().keys.len(), BATCH);
        assert_eq!(traffic.listings.available_permits(), LISTINGS);
    }
}
