//! Things that several have together, found again for as long as one of them has it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Such things, by what they are for.
pub(crate) struct Shared<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl<K, V> Shared<K, V> {
    fn known(&self) -> MutexGuard<'_, HashMap<K, Weak<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V> Shared<K, V> {
    /// What is there, if somebody has it.
    #[cfg_attr(
        not(feature = "blobstore"),
        allow(dead_code, reason = "for what takes time to make")
    )]
    pub(crate) fn find(&self, key: &K) -> Option<Arc<V>> {
        self.known().get(key).and_then(Weak::upgrade)
    }

    /// What is there, or else is made now.
    pub(crate) fn get(&self, key: &K, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        let made = self.try_get(key, || Ok::<_, Infallible>(make()));
        made.unwrap_or_else(|never| match never {})
    }

    /// The same for what cannot always be made.
    pub(crate) fn try_get<E>(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<Arc<V>, E>,
    ) -> Result<Arc<V>, E> {
        let mut known = self.known();
        if let Some(found) = known.get(key).and_then(Weak::upgrade) {
            return Ok(found);
        }
        known.retain(|_, value| value.strong_count() > 0);
        let made = make()?;
        known.insert(key.clone(), Arc::downgrade(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_any_more_is_made_anew_and_forgotten() {
        let shared = Shared::default();
        let one = shared.get(&"one", || Arc::new(1));
        assert!(Arc::ptr_eq(&one, &shared.get(&"one", || Arc::new(2))));
        assert_eq!(
            shared.try_get(&"two", || Err::<Arc<i32>, _>("no")),
            Err("no")
        );
        assert_eq!(shared.find(&"two"), None);
        drop(one);
        assert_eq!(*shared.get(&"three", || Arc::new(3)), 3);
        assert_eq!(shared.known().len(), 1);
    }
}
