//! Keys and values on a server of NATS with JetStream: a bucket there for each tenant, with a message for each key.
//!
//! One stream for each tenant, and not for each bucket: guests name buckets as they like, and a server should not get a stream for each
//! name. A listing then asks for a part of a stream, which the server finds by the subjects.
//!
//! Keys are escaped, because those of NATS have few letters. The time when a value is over stands in its head: servers before 2.11 know
//! none for single keys. A change that depends on what is there says which message it has seen, and is made again where somebody was
//! quicker.

mod answers;
mod names;
mod room;
mod scan;
mod server;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::iter as stream_of;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::sleep;

pub(super) use self::room::Wish;
use self::room::{Room, Written};
pub(super) use self::server::Server;
#[cfg(test)]
pub(super) use self::server::Times;
use super::entries::{self, Held, Millis, Shelf, now};
use super::listing::{Page, Wanted};
use super::{Bucket, Entry, Expected, Fault, SetOptions, Sign, Store, Swap};
use crate::plugin::PluginError;

/// How many questions of one call are under way at the same time.
const AT_ONCE: usize = 32;
/// How many keys that are over one listing takes away on its way.
const SWEPT: usize = 64;
/// How long to leave a key to others that change it, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// What one tenant keeps on a server.
pub(crate) struct OnNats(Arc<Room>);

impl OnNats {
    /// Finds or makes what it is kept in, if the server is there.
    pub(super) async fn begin(&self) -> Result<(), PluginError> {
        self.0.begin().await
    }
}

impl Store for OnNats {
    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(NatsBucket {
            prefix: format!("{}{}.", self.0.prefix(), names::token(name)),
            room: Arc::clone(&self.0),
        })
    }

    fn trouble(&self) -> Option<String> {
        self.0.server().trouble()
    }
}

struct NatsBucket {
    room: Arc<Room>,
    /// What the subjects of its keys begin with.
    prefix: String,
}

/// A key while a change is thought about that depends on it: what it has, and what it is to have.
struct Attempt {
    held: Option<Held>,
    put: Option<(Bytes, Option<Millis>)>,
}

impl Shelf for Attempt {
    fn look(&self, _: &str) -> Result<Option<Held>, Fault> {
        let in_time = |held: &&Held| !held.is_over(now());
        Ok(self.held.as_ref().filter(in_time).cloned())
    }

    fn put(&mut self, _: &str, value: Bytes, expires: Option<Millis>) -> Result<(), Fault> {
        self.put = Some((value, expires));
        Ok(())
    }

    fn remove(&mut self, _: &str) -> Result<(), Fault> {
        self.held = None;
        Ok(())
    }
}

impl NatsBucket {
    fn subject(&self, key: &str) -> String {
        format!("{}{}", self.prefix, names::token(key))
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        expires: Option<Millis>,
        expected: Option<u64>,
    ) -> Result<Written, Fault> {
        let token = names::token(key);
        let told = names::text(&token).is_none().then(|| names::escaped(key));
        let entry = room::Entry {
            subject: &format!("{}{token}", self.prefix),
            key: told.as_deref(),
            value,
            expires,
        };
        self.room.write(entry, expected).await
    }

    /// What a key has, if its time is not over; else it is taken away.
    async fn held(&self, key: &str) -> Result<Option<Held>, Fault> {
        let read = async {
            let found = self.room.read(&self.subject(key)).await?;
            match found {
                Some(held) if held.is_over(now()) => {
                    // Only this one: whoever sets the key again makes another.
                    let _ = self.room.remove(held.revision).await;
                    Ok(None)
                }
                found => Ok(found),
            }
        };
        self.room.in_time(read).await
    }

    /// Changes a key depending on what it has, again and again until nobody else has changed it meanwhile.
    async fn change<T>(
        &self,
        key: &str,
        decide: impl Fn(&mut Attempt) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let subject = self.subject(key);
        let change = async {
            let _turn = self.room.turn(&subject).await;
            let mut tries = 0;
            loop {
                let held = self.room.read(&subject).await?;
                let expected = held.as_ref().map_or(0, |held| held.revision);
                let mut attempt = Attempt { held, put: None };
                let decided = decide(&mut attempt)?;
                let Some((value, expires)) = attempt.put else {
                    return Ok(decided);
                };
                let written = self.write(key, value, expires, Some(expected)).await?;
                if written == Written::Done {
                    return Ok(decided);
                }
                tries += 1;
                sleep(pause(tries)).await;
            }
        };
        self.room.in_time(change).await
    }

    /// One page, from what is there.
    async fn page(&self, wanted: Wanted) -> Result<Page, Fault> {
        let mut picker = wanted.picker();
        let (now, mut over) = (now(), Vec::new());
        let each = |seen: &scan::Seen<'_>| {
            if seen.expires.is_some() {
                self.room.has_ends();
            }
            if seen.is_over(now) {
                over.push(seen.revision);
                return Ok(());
            }
            let token = seen.key.unwrap_or(seen.rest);
            let damaged = || Fault::Other("a key on the server is none".to_owned());
            picker.offer(&names::text(token).ok_or_else(damaged)?);
            Ok(())
        };
        scan::through(&self.room, &self.prefix, each).await?;
        over.truncate(SWEPT);
        scan::remove(&self.room, over).await;
        Ok(picker.finish())
    }
}

/// How long until the next try, by how many there were.
fn pause(tries: u32) -> Duration {
    let longest = Duration::from_millis(1) * (1 << tries.min(6));
    longest.min(LONGEST_PAUSE).mul_f64(fastrand::f64())
}

#[async_trait]
impl Bucket for NatsBucket {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        Ok(self.held(key).await?.map(|held| held.value))
    }

    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault> {
        if how.if_absent {
            let set = |attempt: &mut Attempt| entries::set(attempt, key, value.clone(), how);
            return self.change(key, set).await;
        }
        let written = self.write(key, value, entries::expiry(how), None);
        self.room.in_time(written).await.map(drop)
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        let delete = async {
            match self.room.read(&self.subject(key)).await? {
                // Where somebody sets the key meanwhile, that comes after this.
                Some(held) => self.room.remove(held.revision).await,
                None => Ok(()),
            }
        };
        self.room.in_time(delete).await
    }

    async fn exists(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.held(key).await?.is_some())
    }

    /// Goes through all keys of the bucket, whose own order is that of changes.
    async fn list(&self, wanted: Wanted) -> Result<Page, Fault> {
        match self.page(wanted.clone()).await {
            // The connection may have broken in between.
            Err(Fault::Unavailable(_)) => self.page(wanted).await,
            done => done,
        }
    }

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault> {
        let count = |attempt: &mut Attempt| entries::increment(attempt, key, delta, sign);
        self.change(key, count).await
    }

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault> {
        Ok(self.held(key).await?.map(Entry::from))
    }

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault> {
        let swap = |attempt: &mut Attempt| entries::swap(attempt, key, value.clone(), &expected);
        self.change(key, swap).await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault> {
        let values = stream_of(keys).map(async |key| self.get(&key).await);
        values.buffered(AT_ONCE).try_collect().await
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault> {
        // Once the stream is there, all are on their way in their order, and the server takes them in it.
        self.room.in_time(self.room.open()).await?;
        let sets = stream_of(pairs)
            .map(async |(key, value)| self.set(&key, value, SetOptions::default()).await);
        sets.buffered(AT_ONCE).try_collect().await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault> {
        let deletes = stream_of(keys).map(async |key| self.delete(&key).await);
        deletes.buffer_unordered(AT_ONCE).try_collect().await
    }
}
