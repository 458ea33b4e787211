//! Pages of keys, and where the next one begins. Written once for all backends, so that cursors mean the same everywhere.
//!
//! `wasi:keyvalue` has cursors of 64 bits, too small for a key. There, keys go by their *place*: a hash, of the bucket and the key.
//! A cursor is the place at which a page ended, with a mark of the bucket, so it stays good whatever is written meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher as _};

use super::Fault;

/// How many keys a page has; more only where many have one place.
pub(crate) const PAGE: usize = 1000;

/// How many bits of a cursor are a place; the others are the mark of the bucket.
const PLACE_BITS: u32 = 48;

/// The mark of a bucket, in the bits of a cursor that are no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// Of a bucket by everything that tells it from others.
    pub(crate) fn of(bucket: &impl std::hash::Hash) -> Self {
        Self(hash(bucket) >> PLACE_BITS << PLACE_BITS)
    }

    fn place(self, key: &str) -> u64 {
        hash(&(self.0, key)) & ((1 << PLACE_BITS) - 1)
    }

    fn cursor(self, place: u64) -> u64 {
        self.0 | place
    }

    /// The place at which a page ended.
    fn resume(self, cursor: u64) -> Result<u64, Fault> {
        let place = cursor & ((1 << PLACE_BITS) - 1);
        match self.cursor(place) == cursor {
            true => Ok(place),
            false => Err(Fault::Invalid(
                "the cursor is not of this bucket".to_owned(),
            )),
        }
    }
}

/// Its keys are fixed, so the same on every run.
fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
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
    pub(crate) fn named(prefix: Option<String>, cursor: Option<String>) -> Result<Self, Fault> {
        let prefix = prefix.unwrap_or_default();
        let foreign = |cursor: &String| !cursor.starts_with(&prefix);
        if cursor.as_ref().is_some_and(foreign) {
            let told = "the cursor is not of a listing with this prefix";
            return Err(Fault::Invalid(told.to_owned()));
        }
        Ok(Self::Named {
            prefix,
            after: cursor,
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
