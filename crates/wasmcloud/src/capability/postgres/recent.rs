//! Keeps what was asked for most recently.

use std::collections::HashMap;
use std::hash::Hash;

/// At most so many values by their keys; one too many puts out the one that nobody has asked for the longest.
pub(super) struct Recent<K, V> {
    most: usize,
    asked: u64,
    held: HashMap<K, (V, u64)>,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            asked: 0,
            held: HashMap::new(),
        }
    }

    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.asked += 1;
        let (value, asked) = self.held.get_mut(key)?;
        *asked = self.asked;
        Some(value.clone())
    }

    /// What was put out, if something was.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        self.asked += 1;
        self.held.insert(key, (value, self.asked));
        match self.held.len() > self.most {
            true => self.put_out(),
            false => None,
        }
    }

    /// Puts out the one that nobody has asked for the longest.
    pub(super) fn put_out(&mut self) -> Option<(K, V)> {
        let oldest = self.held.iter().min_by_key(|(_, (_, asked))| *asked);
        let key = oldest.map(|(key, _)| key.clone())?;
        let (value, _) = self.held.remove(&key)?;
        Some((key, value))
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.held.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_stays() {
        let mut recent = Recent::new(2);
        assert!(recent.insert("a", 1).is_none());
        assert!(recent.insert("b", 2).is_none());
        assert_eq!(recent.get("a"), Some(1));
        assert_eq!(recent.insert("c", 3), Some(("b", 2)));
        assert_eq!(recent.get("b"), None);
        assert_eq!((recent.get("a"), recent.get("c")), (Some(1), Some(3)));
        recent.remove("a");
        assert_eq!(recent.get("a"), None);
        assert_eq!(recent.put_out(), Some(("c", 3)));
        assert_eq!(recent.put_out(), None);
    }
}
