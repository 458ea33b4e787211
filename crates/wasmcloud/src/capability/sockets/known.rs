//! Which addresses names stood for when components looked them up: a component that may reach a name may reach those.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::workload::ComponentName;

/// How long an answer counts. Guests keep addresses longer than resolvers say, and connect again.
const LIFE: Duration = Duration::from_secs(3600);

/// How many answers of one workload are kept.
const MOST: usize = 1024;

/// How many addresses of one answer are kept.
const MOST_ADDRESSES: usize = 64;

/// The answers that the components of a workload got. Each counts for who asked; a later answer takes the place of an earlier one.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<(ComponentName, String), Answer>>);

#[derive(Debug)]
struct Answer {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl Known {
    /// Notes an answer.
    pub(super) fn learn(&self, who: &ComponentName, name: &str, addresses: &[IpAddr]) {
        self.learn_at(who, name, addresses, Instant::now());
    }

    fn learn_at(&self, who: &ComponentName, name: &str, addresses: &[IpAddr], now: Instant) {
        let mut answers = self.lock();
        let key = (who.clone(), name.to_owned());
        if answers.len() >= MOST && !answers.contains_key(&key) {
            answers.retain(|_, answer| answer.until > now);
            let oldest = answers.iter().min_by_key(|(_, answer)| answer.until);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone())
                && answers.len() >= MOST
            {
                answers.remove(&oldest);
            }
        }
        let answer = Answer {
            addresses: addresses.iter().take(MOST_ADDRESSES).copied().collect(),
            until: now + LIFE,
        };
        answers.insert(key, answer);
    }

    /// The names that one of these components got the address for, sorted.
    pub(super) fn names_of<'a>(
        &self,
        who: impl Iterator<Item = &'a ComponentName> + Clone,
        address: IpAddr,
    ) -> Vec<String> {
        self.names_at(who, address, Instant::now())
    }

    fn names_at<'a>(
        &self,
        who: impl Iterator<Item = &'a ComponentName> + Clone,
        address: IpAddr,
        now: Instant,
    ) -> Vec<String> {
        let answers = self.lock();
        let answers = answers.iter().filter(|((asker, _), answer)| {
            answer.until > now
                && answer.addresses.contains(&address)
                && who.clone().any(|name| name == asker)
        });
        let mut names: Vec<String> = answers.map(|((_, name), _)| name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ComponentName, String), Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn name(text: &str) -> ComponentName {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_answer_counts_for_who_asked_until_the_next_one() {
        let known = Known::default();
        let (a, b) = (name("a"), name("b"));
        let (one, two) = (address("192.0.2.1"), address("192.0.2.2"));
        known.learn(&a, "db.example", &[one, two]);
        assert_eq!(known.names_of([&a].into_iter(), one), ["db.example"]);
        assert!(known.names_of([&b].into_iter(), one).is_empty());
        assert_eq!(known.names_of([&a, &b].into_iter(), two), ["db.example"]);
        known.learn(&a, "db.example", &[two]);
        assert!(known.names_of([&a].into_iter(), one).is_empty());
        known.learn(&b, "other.example", &[two]);
        let names = known.names_of([&a, &b].into_iter(), two);
        assert_eq!(names, ["db.example", "other.example"]);
    }

    #[test]
    fn an_answer_counts_for_an_hour() {
        let known = Known::default();
        let (who, to, now) = (name("a"), address("192.0.2.1"), Instant::now());
        known.learn_at(&who, "db.example", &[to], now);
        let names = |later| known.names_at([&who].into_iter(), to, now + later);
        assert_eq!(names(LIFE - Duration::from_secs(1)).len(), 1);
        assert!(names(LIFE).is_empty());
    }

    #[test]
    fn only_so_much_is_remembered_and_the_oldest_is_forgotten() {
        let known = Known::default();
        let (who, to, now) = (name("a"), address("192.0.2.1"), Instant::now());
        for n in 0..=u32::try_from(MOST).unwrap() {
            let at = now + Duration::from_millis(n.into());
            known.learn_at(&who, &format!("n{n}.example"), &[to], at);
        }
        let names = known.names_at([&who].into_iter(), to, now);
        assert_eq!(names.len(), MOST);
        assert!(!names.contains(&"n0.example".to_owned()));
        let addresses: Vec<IpAddr> = (0..200u8).map(|n| [10, 0, 0, n].into()).collect();
        known.learn_at(&who, "many.example", &addresses, now);
        let last = *addresses.last().unwrap();
        assert!(known.names_at([&who].into_iter(), last, now).is_empty());
    }
}
