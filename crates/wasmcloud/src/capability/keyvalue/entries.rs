//! What calls mean for entries that this process keeps itself, whether in memory or on disk: written once over a shelf that can
//! only look, put and remove.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::{Entry, Expected, Fault, SetOptions, Sign, Swap};

/// Milliseconds since 1970: what is kept on disk must know its time after a restart.
pub(super) type Millis = u64;

/// The time by the clock of the machine.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) value: Bytes,
    /// Another one for every change, in this bucket and for this key.
    pub(super) revision: u64,
    /// From when on it is not there any more.
    pub(super) expires: Option<Millis>,
}

impl Held {
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What it counts for in the room of a tenant: more than its names and bytes,
    /// so that many small ones cost what they take.
    pub(super) fn charge(names: usize, value: usize) -> u64 {
        const EACH: usize = 128;
        u64::try_from(names + value + EACH).unwrap_or(u64::MAX)
    }
}

impl From<Held> for Entry {
    fn from(held: Held) -> Self {
        Self {
            value: held.value,
            version: version(held.revision),
        }
    }
}

fn version(revision: u64) -> String {
    format!("{revision:016x}")
}

/// The entries of one bucket. Nobody else touches them while it is held.
pub(super) trait Shelf {
    /// What the key has, if its time is not over.
    fn look(&self, key: &str) -> Result<Option<Held>, Fault>;

    /// Gives the key a value and a new revision, if there is room for it.
    fn put(&mut self, key: &str, value: Bytes, expires: Option<Millis>) -> Result<(), Fault>;

    fn remove(&mut self, key: &str) -> Result<(), Fault>;
}

pub(super) fn set(
    shelf: &mut impl Shelf,
    key: &str,
    value: Bytes,
    how: SetOptions,
) -> Result<(), Fault> {
    if how.if_absent && shelf.look(key)?.is_some() {
        return Err(Fault::Exists);
    }
    shelf.put(key, value, expiry(how))
}

/// From when on a key is gone that is set now.
pub(super) fn expiry(how: SetOptions) -> Option<Millis> {
    let ttl = how.ttl.map(|ttl| u64::try_from(ttl.as_millis()));
    ttl.map(|ttl| now().saturating_add(ttl.unwrap_or(u64::MAX)))
}

pub(super) fn increment(
    shelf: &mut impl Shelf,
    key: &str,
    delta: i64,
    sign: Sign,
) -> Result<i64, Fault> {
    let held = shelf.look(key)?;
    let (count, expires) = match held {
        Some(held) => (counter(&held.value)?, held.expires),
        None => (0, None),
    };
    if sign == Sign::NotNegative && count < 0 {
        return Err(Fault::OutOfRange);
    }
    let count = count.checked_add(delta).ok_or(Fault::OutOfRange)?;
    shelf.put(key, count.to_string().into(), expires)?;
    Ok(count)
}

/// Only the one way to write a number, which is what every backend takes for one.
fn counter(value: &[u8]) -> Result<i64, Fault> {
    let text = std::str::from_utf8(value).ok();
    let count = text.and_then(|text| Some((text, text.parse::<i64>().ok()?)));
    match count {
        Some((text, count)) if count.to_string() == text => Ok(count),
        _ => Err(Fault::NotACounter),
    }
}

pub(super) fn swap(
    shelf: &mut impl Shelf,
    key: &str,
    value: Bytes,
    expected: &Expected,
) -> Result<Swap, Fault> {
    let Some(held) = shelf.look(key)? else {
        return Ok(Swap::Stale(None));
    };
    let wanted_version = expected.version.as_ref();
    let same_version = wanted_version.is_none_or(|wanted| *wanted == version(held.revision));
    let same_value = expected.value.as_ref().is_none_or(|it| *it == held.value);
    if !(same_version && same_value) {
        return Ok(Swap::Stale(Some(held.into())));
    }
    shelf.put(key, value, held.expires)?;
    Ok(Swap::Done)
}

/// Sets what is left, from the first on. What there was no room for stays left.
pub(super) fn set_many(shelf: &mut impl Shelf, left: &mut &[(String, Bytes)]) -> Result<(), Fault> {
    while let Some(((key, value), rest)) = left.split_first() {
        shelf.put(key, value.clone(), None)?;
        *left = rest;
    }
    Ok(())
}

pub(super) fn delete_many(shelf: &mut impl Shelf, keys: &[String]) -> Result<(), Fault> {
    keys.iter().try_for_each(|key| shelf.remove(key))
}

/// There is no room for more.
pub(super) fn full(limit: u64) -> Fault {
    let told = format!("the workload keeps as much as it may: {limit} bytes");
    Fault::Full(told)
}
