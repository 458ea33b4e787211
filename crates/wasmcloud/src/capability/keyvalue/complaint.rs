//! Says in the log that a store is not there, but not again and again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Fault;

/// How long not to repeat it.
const SILENCE: Duration = Duration::from_secs(60);

/// When it was said last.
#[derive(Debug, Default)]
pub(super) struct Complaint(Mutex<Option<Instant>>);

impl Complaint {
    /// Something is wrong with a store.
    pub(super) fn about(&self, store: &str, fault: &Fault) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= SILENCE) {
            *last = Some(Instant::now());
            tracing::warn!("{store}: {fault}");
        }
    }
}
