//! Bounds how many bytes of a workload are on their way to a backend: as much as fits goes, the rest waits in order.
//!
//! What an async guest gives a call is copied into the host before the call gets here, so a guest with one buffer could start so many
//! calls with it that those that wait fill the memory of the host. So the waiting is bounded, too: [`InFlight::admit`] refuses what
//! would be more than may wait. [`InFlight::enter`] is for what is not in the host yet, such as answers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a call takes besides its bytes.
const EACH: usize = 512;
/// How many times as much as may be on its way may wait for that.
const WAITING: usize = 3;

/// How many bytes may be on their way. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    all: u32,
    /// What may be on its way.
    room: Arc<Semaphore>,
    /// The same with what may wait.
    door: Arc<Semaphore>,
}

/// The room of a call. Dropping it makes room for others.
#[derive(Debug)]
#[must_use = "the room is given back when this is dropped"]
pub(crate) struct Permit {
    _room: Option<OwnedSemaphorePermit>,
    _door: Option<OwnedSemaphorePermit>,
}

/// As much is waiting as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes of the workload are waiting already")]
pub(crate) struct Crowded;

impl InFlight {
    /// Room for so many bytes, and for one call that has more.
    pub(crate) fn new(bytes: usize) -> Self {
        let most = Semaphore::MAX_PERMITS / (WAITING + 1);
        let all = u32::try_from(bytes.clamp(1, most)).unwrap_or(u32::MAX);
        let permits = usize::try_from(all).unwrap_or(most);
        Self {
            all,
            room: Arc::new(Semaphore::new(permits)),
            door: Arc::new(Semaphore::new(permits.saturating_mul(WAITING + 1))),
        }
    }

    /// Waits for room, behind those that came before.
    pub(crate) async fn enter(&self, bytes: usize) -> Permit {
        let room = Arc::clone(&self.room).acquire_many_owned(self.size(bytes));
        Permit {
            // It is never closed.
            _room: room.await.ok(),
            _door: None,
        }
    }

    /// The same for bytes that are in the host while they wait.
    ///
    /// # Errors
    /// When as much is waiting as may.
    pub(crate) async fn admit(&self, bytes: usize) -> Result<Permit, Crowded> {
        let door = Arc::clone(&self.door).try_acquire_many_owned(self.size(bytes));
        let door = door.map_err(|_| Crowded)?;
        let permit = self.enter(bytes).await;
        Ok(Permit {
            _door: Some(door),
            ..permit
        })
    }

    /// What a call counts for: no more than all of it, so that every call can go.
    fn size(&self, bytes: usize) -> u32 {
        let size = u32::try_from(bytes.saturating_add(EACH));
        size.unwrap_or(u32::MAX).min(self.all)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn what_finds_no_room_waits_in_order() {
        let room = InFlight::new(10_000);
        let first = room.enter(6_000).now_or_never().unwrap();
        let mut large = Box::pin(room.enter(8_000));
        assert!((&mut large).now_or_never().is_none());
        // It would fit, but the other was here before.
        let mut small = Box::pin(room.enter(10));
        assert!((&mut small).now_or_never().is_none());
        drop(first);
        let large = large.now_or_never().unwrap();
        let _small = small.now_or_never().unwrap();
        drop(large);
    }

    #[test]
    fn a_call_that_is_larger_than_all_goes_alone() {
        let room = InFlight::new(10_000);
        let large = room.admit(1 << 40).now_or_never().unwrap().unwrap();
        let mut other = Box::pin(room.admit(1));
        assert!((&mut other).now_or_never().is_none());
        drop(large);
        assert!(other.now_or_never().unwrap().is_ok());
    }

    #[test]
    fn no_more_waits_than_may() {
        let room = InFlight::new(10_000);
        let mut waiting = Vec::new();
        for _ in 0..=WAITING {
            let mut call = Box::pin(room.admit(10_000));
            let first = waiting.is_empty();
            let entered = (&mut call).now_or_never();
            assert_eq!(entered.is_some(), first);
            waiting.push((call, entered));
        }
        let refused = room.admit(1).now_or_never().unwrap();
        assert_eq!(refused.unwrap_err(), Crowded);
        // One that gives up makes room for another.
        waiting.pop();
        assert!(room.admit(1).now_or_never().is_none());
    }
}
