//! Pages of keys, and where the next one begins. Written once for all backends, so that cursors mean the same everywhere.
//!
//! `wasi:keyvalue` has cursors of 64 bits, too small for a key. There, keys go by their *place*: a digest of the bucket and the key.
//! A cursor is the place at which a page ended, with a mark of the bucket, so it stays good whatever is written meanwhile. In
//! `wasmcloud:keyvalue` it is the last key of a page, behind a mark of the bucket and the prefix.
//!
//! Guests keep cursors: they mean the same in every version of the host.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::Fault;

/// How many keys a page has; more only where many have one place.
pub(crate) const PAGE: usize = 1000;

/// How many bits of a cursor are a place; the others are the mark of the bucket.
const PLACE_BITS: u32 = 48;

/// The mark of a bucket. Its first bits are those of a cursor that are no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// Of a bucket by everything that tells it from others.
    pub(crate) fn of(parts: &[&str]) -> Self {
        Self(digest(0, parts))
    }

    fn place(self, key: &str) -> u64 {
        digest(self.0, &[key]) & ((1 << PLACE_BITS) - 1)
    }

    fn cursor(self, place: u64) -> u64 {
        ((self.0 >> PLACE_BITS) << PLACE_BITS) | place
    }

    /// The place at which a page ended.
    fn resume(self, cursor: u64) -> Result<u64, Fault> {
        let place = cursor & ((1 << PLACE_BITS) - 1);
        match self.cursor(place) == cursor {
            true => Ok(place),
            false => Err(foreign()),
        }
    }

    /// What a cursor begins with in a listing of keys with a prefix.
    fn before_keys(self, prefix: &str) -> String {
        format!("{:016x}", digest(self.0, &["keys", prefix]))
    }

    /// The cursor of a listing of keys with a prefix, at the last key of a page.
    pub(crate) fn at_key(self, prefix: &str, key: &str) -> String {
        self.before_keys(prefix) + key
    }

    /// The last key of a page, by its cursor.
    fn last_key(self, prefix: &str, cursor: &str) -> Result<String, Fault> {
        let key = cursor.strip_prefix(&self.before_keys(prefix));
        key.map(str::to_owned).ok_or_else(foreign)
    }
}

fn foreign() -> Fault {
    Fault::Invalid("the cursor is not of this bucket, or of another listing".to_owned())
}

/// The beginning of a SHA-256: the same in every version, and nobody finds many texts that have the same.
fn digest(seed: u64, parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_be_bytes());
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hasher.update(length.to_be_bytes());
        hasher.update(part);
    }
    let first = hasher.finalize().into_iter().take(8);
    first.fold(0, |digest, byte| (digest << 8) | u64::from(byte))
}

/// Which keys somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that begin with a text, in the order of their bytes.
    Named {
        prefix: String,
        after: Option<String>,
    },
    /// All, in the order of their places.
    Placed { mark: Mark, after: Option<u64> },
}

impl Wanted {
    /// In the order of their bytes, from where a page ended.
    pub(crate) fn named(
        mark: Mark,
        prefix: Option<String>,
        cursor: Option<&str>,
    ) -> Result<Self, Fault> {
        let prefix = prefix.unwrap_or_default();
        let after = cursor.map(|cursor| mark.last_key(&prefix, cursor));
        Ok(Self::Named {
            after: after.transpose()?,
            prefix,
        })
    }

    /// In the order of their places, from where a page ended.
    pub(crate) fn placed(mark: Mark, cursor: Option<u64>) -> Result<Self, Fault> {
        let after = cursor.map(|cursor| mark.resume(cursor)).transpose()?;
        Ok(Self::Placed { mark, after })
    }

    /// What every wanted key begins with.
    #[cfg(feature = "keyvalue-redis")]
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Self::Named { prefix, .. } => prefix,
            Self::Placed { .. } => "",
        }
    }

    /// A key that comes before every wanted one, or is the first of them.
    pub(crate) fn begin(&self) -> &str {
        match self {
            Self::Named { prefix, after } => after.as_ref().unwrap_or(prefix),
            Self::Placed { .. } => "",
        }
    }

    pub(crate) fn picker(self) -> Picker {
        Picker {
            wanted: self,
            named: BTreeSet::new(),
            placed: BTreeMap::new(),
            held: 0,
            more: false,
        }
    }
}

/// One page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    pub(crate) next: Option<Next>,
}

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    After(String),
    Cursor(u64),
}

/// Makes a page out of keys that come in any order, also more than once.
pub(crate) struct Picker {
    wanted: Wanted,
    named: BTreeSet<String>,
    placed: BTreeMap<u64, BTreeSet<String>>,
    held: usize,
    more: bool,
}

impl Picker {
    /// Takes a key, if it belongs on the page as far as is known. Says whether no later key of the order of bytes can belong there.
    pub(crate) fn offer(&mut self, key: &str) -> bool {
        match &self.wanted {
            Wanted::Named { prefix, after } => {
                let passed = after.as_deref().is_some_and(|after| key <= after);
                if passed || !key.starts_with(prefix.as_str()) {
                    return !passed && key > prefix.as_str();
                }
                self.take_named(key)
            }
            Wanted::Placed { mark, after } => {
                let place = mark.place(key);
                if after.is_none_or(|after| place > after) {
                    self.take_placed(place, key);
                }
                false
            }
        }
    }

    fn take_named(&mut self, key: &str) -> bool {
        if self.named.len() == PAGE {
            match self.named.last() {
                Some(last) if key > last.as_str() => {
                    self.more = true;
                    return true;
                }
                _ => {}
            }
        }
        self.named.insert(key.to_owned());
        if self.named.len() > PAGE {
            self.named.pop_last();
            self.more = true;
        }
        false
    }

    fn take_placed(&mut self, place: u64, key: &str) {
        let last = self.placed.last_key_value().map(|(place, _)| *place);
        if self.held >= PAGE && last.is_some_and(|last| place > last) {
            self.more = true;
            return;
        }
        if self.placed.entry(place).or_default().insert(key.to_owned()) {
            self.held += 1;
        }
        // A page must not end between keys of one place: the cursor could not tell them apart.
        while let Some(last) = self.placed.last_entry() {
            let kept = self.held - last.get().len();
            if kept < PAGE {
                return;
            }
            last.remove();
            self.held = kept;
            self.more = true;
        }
    }

    /// The page, when all keys were offered.
    pub(crate) fn finish(self) -> Page {
        match self.wanted {
            Wanted::Named { .. } => {
                let last = self.named.last().filter(|_| self.more);
                Page {
                    next: last.cloned().map(Next::After),
                    keys: self.named.into_iter().collect(),
                }
            }
            Wanted::Placed { mark, .. } => {
                let last = self.placed.last_key_value().filter(|_| self.more);
                Page {
                    next: last.map(|(place, _)| Next::Cursor(mark.cursor(*place))),
                    keys: self.placed.into_values().flatten().collect(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// Guests may have kept cursors that a host gave which was older, or another.
    #[test]
    fn cursors_mean_the_same_in_every_version() {
        let mark = Mark::of(&["default/workload/shop", "carts"]);
        let next = mark.cursor(mark.place("k"));
        let after = mark.at_key("user/", "user/17");
        assert_eq!((next, after.as_str()), (GOLDEN_PLACE, GOLDEN_KEY));
        assert_eq!(mark.resume(GOLDEN_PLACE).unwrap(), mark.place("k"));
        let key = mark.last_key("user/", GOLDEN_KEY).unwrap();
        assert_eq!(key, "user/17");
    }

    const GOLDEN_PLACE: u64 = 0xab42_773a_52f9_500b;
    const GOLDEN_KEY: &str = "0aa82ef1838c714fuser/17";

    #[test]
    fn buckets_are_told_apart_by_all_of_their_names() {
        let marks = [
            Mark::of(&["a", "b"]),
            Mark::of(&["ab", ""]),
            Mark::of(&["", "ab"]),
            Mark::of(&["a", "b", ""]),
        ];
        for (index, mark) in marks.iter().enumerate() {
            assert!(!marks[index + 1..].contains(mark));
        }
    }

    /// Also where the key that it holds would fit.
    #[test]
    fn a_cursor_of_another_bucket_or_prefix_is_refused() {
        let (this, that) = (Mark::of(&["a", "this"]), Mark::of(&["a", "that"]));
        let cursor = this.at_key("p", "p1");
        let wanted = |mark, prefix: &str, cursor: &str| {
            Wanted::named(mark, Some(prefix.to_owned()), Some(cursor))
        };
        assert!(wanted(this, "p", &cursor).is_ok());
        for (mark, prefix, cursor) in [
            (that, "p", &*cursor),
            (this, "", &*cursor),
            (this, "p1", &*cursor),
            (this, "p", "p1"),
            (this, "p", ""),
        ] {
            let refused = wanted(mark, prefix, cursor);
            assert!(matches!(refused, Err(Fault::Invalid(_))), "{cursor}");
        }
    }
}
