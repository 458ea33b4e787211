//! What is kept of an object beside its chunks, as other programs for NATS write it, and where its chunks are.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Under this, chunks are told by their places in the stream, so that a range is read without what is before it.
const RUNS: &str = "wasmcloud-chunks";
/// How long that may be; beyond it, ranges are found by going through what is before them.
const LONGEST_RUNS: usize = 64 << 10;

/// An object.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) bucket: String,
    /// What its chunks are called by.
    pub(super) nuid: String,
    /// In bytes.
    pub(super) size: u64,
    pub(super) chunks: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    #[serde(default)]
    pub(super) options: Options,
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub(super) metadata: HashMap<String, String>,
    /// Other programs leave it so; here it is taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) deleted: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Options {
    /// How large every chunk but the last one is, in bytes.
    #[serde(default)]
    pub(super) max_chunk_size: u64,
}

impl Meta {
    /// Notes where the chunks are, if that takes at most so many bytes.
    pub(super) fn set_runs(&mut self, runs: &Runs, room: usize) {
        let text = runs.to_text();
        if text.len() <= LONGEST_RUNS.min(room) {
            self.metadata.insert(RUNS.to_owned(), text);
        }
    }

    /// Where the chunks are, if that is known of all of them.
    pub(super) fn runs(&self) -> Option<Runs> {
        let runs = Runs::of_text(self.metadata.get(RUNS)?)?;
        let whole = self.options.max_chunk_size > 0
            && self.size.div_ceil(self.options.max_chunk_size) == self.chunks;
        (whole && runs.count() == self.chunks).then_some(runs)
    }
}

/// Places in a stream, in order. Neighbours take one entry: the first, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(Vec<(u64, u64)>);

impl Runs {
    pub(super) fn push(&mut self, place: u64) {
        match self.0.last_mut() {
            Some((first, count)) if *first + *count == place => *count += 1,
            _ => self.0.push((place, 1)),
        }
    }

    fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |all, (_, count)| all.saturating_add(*count))
    }

    /// The places from one on.
    pub(super) fn from(self, index: u64) -> impl Iterator<Item = u64> + Send {
        let mut before = 0;
        self.0.into_iter().flat_map(move |(first, count)| {
            let passed = index.saturating_sub(before).min(count);
            before = before.saturating_add(count);
            first.saturating_add(passed)..first.saturating_add(count)
        })
    }

    fn to_text(&self) -> String {
        let runs = self
            .0
            .iter()
            .map(|(first, count)| format!("{first}+{count}"));
        runs.collect::<Vec<_>>().join(",")
    }

    fn of_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let runs = text.split(',').map(|run| {
            let (first, count) = run.split_once('+')?;
            Some((first.parse().ok()?, count.parse().ok()?))
        });
        runs.collect::<Option<Vec<_>>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn neighbours_take_little_room_and_all_are_found_again() {
        let mut runs = Runs::default();
        let places = [5, 6, 7, 20, 22, 23];
        for place in places {
            runs.push(place);
        }
        assert_eq!(runs.to_text(), "5+3,20+1,22+2");
        let read = Runs::of_text(&runs.to_text()).unwrap();
        assert_eq!((&read, read.count()), (&runs, 6));
        for index in 0..=6 {
            let from: Vec<u64> = runs.clone().from(index).collect();
            let index = usize::try_from(index).unwrap();
            assert_eq!(from, places.get(index..).unwrap());
        }
        assert!(Runs::of_text("5").is_none() && Runs::of_text("a+1").is_none());
    }

    #[test]
    fn what_does_not_tell_of_all_chunks_is_not_trusted() {
        let mut meta = Meta {
            size: 10,
            chunks: 3,
            options: Options { max_chunk_size: 4 },
            ..Meta::default()
        };
        let mut runs = Runs::default();
        for place in 1..=3 {
            runs.push(place);
        }
        meta.set_runs(&runs, 2);
        assert_eq!(meta.runs(), None);
        meta.set_runs(&runs, 100);
        assert_eq!(meta.runs(), Some(runs));
        meta.size = 13;
        assert_eq!(meta.runs(), None);
        meta.options.max_chunk_size = 0;
        assert_eq!(meta.runs(), None);
    }
}
