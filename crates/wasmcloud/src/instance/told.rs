//! What the host's log was told about a component already: a guest that repeats itself must not fill the log.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// How many different things are told about one component.
const LIMIT: usize = 32;

/// Things that were told.
#[derive(Debug, Default)]
pub struct Told(Mutex<BTreeSet<String>>);

/// Whether to tell something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It is new.
    New,
    /// It is new, and the last one that is told about the component.
    Last,
    /// It was told before, or enough was.
    Known,
}

impl Told {
    /// Whether to tell something, which counts as told from now on.
    pub fn tell(&self, what: &str) -> Telling {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= LIMIT || told.contains(what) {
            return Telling::Known;
        }
        told.insert(what.to_owned());
        if told.len() == LIMIT {
            Telling::Last
        } else {
            Telling::New
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_only_so_many() {
        let told = Told::default();
        assert_eq!(told.tell("a"), Telling::New);
        assert_eq!(told.tell("a"), Telling::Known);
        let rest: Vec<Telling> = (1..LIMIT).map(|n| told.tell(&n.to_string())).collect();
        assert_eq!(rest.last(), Some(&Telling::Last));
        assert_eq!(
            rest.iter()
                .filter(|telling| **telling == Telling::New)
                .count(),
            LIMIT - 2
        );
        assert_eq!(told.tell("one more"), Telling::Known);
    }
}
