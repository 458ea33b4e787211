//! Turns of mirrors: each has its part of the time, so that one that takes long leaves enough for those after it.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Door;
use crate::registry::client::error::{RegistryError, RegistryErrorKind};

/// For how long a mirror is asked before the next one is.
#[derive(Clone, Copy)]
pub(in crate::registry::client) struct Turn {
    /// When the first one was asked.
    since: Instant,
    lasts: Duration,
}

impl Turn {
    /// Those of so many mirrors. Each of them and the registry itself has an equal part of the time, and what one leaves of it is for
    /// the next.
    pub(in crate::registry::client) fn shares(
        time: Duration,
        mirrors: usize,
    ) -> impl Iterator<Item = Self> {
        let since = Instant::now();
        let parts = u32::try_from(mirrors).map_or(u32::MAX, |mirrors| mirrors.saturating_add(1));
        let part = time / parts;
        (1..parts).map(move |nth| Self {
            since,
            lasts: part * nth,
        })
    }

    fn left(&self) -> Duration {
        self.lasts.saturating_sub(self.since.elapsed())
    }
}

impl Door {
    /// The same, for no longer than its turn.
    pub(in crate::registry::client) fn for_turn(mut self, turn: Turn) -> Self {
        self.turn = Some(turn);
        self
    }

    /// Waits for what this one does, until it is the turn of the next.
    pub(in crate::registry::client) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let Some(turn) = self.turn else {
            return work.await;
        };
        let done = timeout(turn.left(), work).await;
        done.unwrap_or_else(|_| Err(self.error(RegistryErrorKind::Late(turn.lasts))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_and_the_registry_itself_have_equal_parts_of_the_time() {
        let lasts = |mirrors| -> Vec<u64> {
            let turns = Turn::shares(Duration::from_secs(600), mirrors);
            turns.map(|turn| turn.lasts.as_secs()).collect()
        };
        assert!(lasts(0).is_empty());
        assert_eq!(lasts(1), [300_u64]);
        assert_eq!(lasts(3), [150_u64, 300, 450]);
        assert_eq!(Turn::shares(Duration::MAX, 2).count(), 2);
    }
}
