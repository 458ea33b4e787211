//! The statements that the entries of one workload have prepared, by their tokens. A guest may prepare others without end, so there are
//! only so many of an entry, and so many bytes of all entries together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::recent::Recent;

/// How many statements an entry may have tokens for …
const TOKENS: usize = 1000;
/// … and how many bytes those of a workload may have: a few of the longest, or some thousands as people write them.
const BYTES: usize = 16 << 20;
/// What a statement takes besides its SQL: its token, twice, and its places in the tables.
const EACH: usize = 256;
/// How many letters a token has.
const TOKEN_LETTERS: usize = 32;

/// The statements of a workload.
#[derive(Default)]
pub(super) struct Prepared(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Those of each entry, by its number.
    entries: HashMap<u64, OfEntry>,
    /// The last number that was given.
    last: u64,
    /// What all of them take.
    bytes: usize,
}

/// The statements of one entry by their tokens, and the other way.
struct OfEntry {
    by_token: Recent<String, Arc<str>>,
    by_sql: HashMap<Arc<str>, String>,
    bytes: usize,
}

fn weight(sql: &str) -> usize {
    sql.len().saturating_add(EACH)
}

impl Prepared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is one more entry: its number.
    pub(super) fn open(&self) -> u64 {
        let mut kept = self.kept();
        kept.last += 1;
        let entry = kept.last;
        kept.entries.insert(entry, OfEntry::new());
        entry
    }

    /// An entry is gone, and its statements with it.
    pub(super) fn close(&self, entry: u64) {
        let mut kept = self.kept();
        let of = kept.entries.remove(&entry);
        kept.bytes -= of.map_or(0, |of| of.bytes);
    }

    /// The SQL of a token of this entry.
    pub(super) fn sql(&self, entry: u64, token: &str) -> Option<Arc<str>> {
        self.kept().entries.get_mut(&entry)?.by_token.get(token)
    }

    /// The token of a statement: the same for the same one, so that guests who prepare it each time do not fill the room.
    pub(super) fn token(&self, entry: u64, sql: &str) -> String {
        let mut kept = self.kept();
        if let Some(token) = kept.known(entry, sql) {
            return token;
        }
        let token: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(TOKEN_LETTERS)
            .collect();
        kept.make_room(weight(sql));
        kept.keep(entry, sql.into(), token.clone());
        token
    }
}

impl Kept {
    fn known(&mut self, entry: u64, sql: &str) -> Option<String> {
        let of = self.entries.get_mut(&entry)?;
        let token = of.by_sql.get(sql)?.clone();
        // It is used.
        of.by_token.get(&token)?;
        Some(token)
    }

    /// Puts statements out until there is room for so many bytes: those that nobody has asked for the longest, of the entry that has
    /// most. So one that prepares ever others takes nothing from the rest.
    fn make_room(&mut self, bytes: usize) {
        while self.bytes.saturating_add(bytes) > BYTES {
            let greedy = self.entries.values_mut().max_by_key(|of| of.bytes);
            match greedy.map_or(0, OfEntry::put_out) {
                0 => return,
                freed => self.bytes -= freed,
            }
        }
    }

    fn keep(&mut self, entry: u64, sql: Arc<str>, token: String) {
        if let Some(of) = self.entries.get_mut(&entry) {
            self.bytes -= of.bytes;
            of.keep(sql, token);
            self.bytes += of.bytes;
        }
    }
}

impl OfEntry {
    fn new() -> Self {
        Self {
            by_token: Recent::new(TOKENS),
            by_sql: HashMap::new(),
            bytes: 0,
        }
    }

    fn keep(&mut self, sql: Arc<str>, token: String) {
        self.bytes += weight(&sql);
        self.by_sql.insert(Arc::clone(&sql), token.clone());
        if let Some((_, out)) = self.by_token.insert(token, sql) {
            self.forget(&out);
        }
    }

    /// Puts out the one that nobody has asked for the longest. How many bytes it took; none, if there was none.
    fn put_out(&mut self) -> usize {
        let out = self.by_token.put_out();
        out.map_or(0, |(_, sql)| self.forget(&sql))
    }

    /// A token is gone.
    fn forget(&mut self, sql: &str) -> usize {
        self.by_sql.remove(sql);
        let bytes = weight(sql);
        self.bytes -= bytes;
        bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// Statements of a MiB each.
    fn long(n: usize) -> String {
        format!("{n}{}", " ".repeat(1 << 20))
    }

    /// A thousand of them, as long as SQL may be, were a GiB.
    #[test]
    fn a_guest_that_prepares_long_statements_without_end_fills_no_memory() {
        let prepared = Prepared::default();
        let entry = prepared.open();
        let tokens: Vec<String> = (0..40).map(|n| prepared.token(entry, &long(n))).collect();
        let (first, last) = (tokens.first().unwrap(), tokens.last().unwrap());
        assert_eq!(prepared.sql(entry, first), None);
        assert_eq!(prepared.sql(entry, last).as_deref(), Some(&*long(39)));
        assert_eq!(prepared.token(entry, &long(39)), *last);
        let kept = tokens.iter().filter(|it| prepared.sql(entry, it).is_some());
        assert_eq!(kept.count(), 15);
        assert!(prepared.kept().bytes <= BYTES);
    }

    #[test]
    fn the_entry_that_has_most_makes_room_and_the_others_keep_theirs() {
        let prepared = Prepared::default();
        let [modest, greedy] = [prepared.open(), prepared.open()];
        let token = prepared.token(modest, "SELECT 1");
        for n in 0..40 {
            prepared.token(greedy, &long(n));
        }
        assert_eq!(prepared.sql(modest, &token).as_deref(), Some("SELECT 1"));
        // A token is good for its entry, and as long as there is that.
        assert_eq!(prepared.sql(greedy, &token), None);
        prepared.close(greedy);
        assert_eq!(prepared.kept().bytes, weight("SELECT 1"));
        prepared.close(modest);
        assert_eq!(prepared.kept().bytes, 0);
        assert_eq!(prepared.sql(modest, &token), None);
    }

    #[test]
    fn of_too_many_short_statements_the_oldest_is_forgotten_and_what_is_used_stays() {
        let prepared = Prepared::default();
        let entry = prepared.open();
        let [used, old] = ["SELECT 1", "SELECT 2"].map(|sql| prepared.token(entry, sql));
        for n in 0..TOKENS - 1 {
            prepared.token(entry, &n.to_string());
            assert!(prepared.sql(entry, &used).is_some());
        }
        assert_eq!(prepared.sql(entry, &old), None);
        assert_ne!(prepared.token(entry, "SELECT 2"), old);
    }
}
