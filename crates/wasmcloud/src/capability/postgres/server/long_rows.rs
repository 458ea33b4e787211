//! Long rows: how much memory those of one workload may take, over all its connections.
//!
//! A row takes memory twice. The client holds what comes over a connection, with what comes behind it, and its buffer stays as large as
//! the longest message. So there has to be room before a long one is read; the connection has it until it is closed, which it is after
//! the statement. What a row is made into, which may be much more, takes room until the guest has it.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::super::gate::{Entering, Gate};
use crate::capability::in_flight::{InFlight, Permit};

/// How long a message, and how large a row may be that needs no room.
pub(super) const FREE: usize = 1 << 20;
/// How many times as long as on its way a row may be in memory.
pub(super) const LARGER: usize = 4;
/// How many messages the client holds of a connection: one that is read, two that it has handed on, and one that waits for that.
const HELD: usize = 4;
/// What the connections may hold that have long messages: four of those whose rows are as long as a host takes them, if nothing else
/// is said.
const COMING: usize = 256 << 20;
/// What rows may take that were made: two of the largest, if nothing else is said.
const MADE: usize = 128 << 20;
/// What each step on the way to that room takes besides, of all that there may be.
const BESIDE: usize = 64 << 10;

/// The room of one workload.
#[derive(Debug)]
pub(in super::super) struct LongRows {
    coming: InFlight,
    made: InFlight,
}

impl LongRows {
    /// For rows of at most so many bytes. There is always room for one.
    pub(in super::super) fn new(longest: usize) -> Self {
        let longest = rounded(longest);
        Self::of(
            COMING.max(longest.saturating_mul(HELD)),
            MADE.max(longest.saturating_mul(LARGER)),
        )
    }

    /// So much for connections, and so much for what was made.
    pub(in super::super) fn of(coming: usize, made: usize) -> Self {
        let room = |bytes: usize| InFlight::new(bytes.saturating_add(BESIDE));
        Self {
            coming: room(coming),
            made: room(made),
        }
    }

    /// For a connection whose rows wait so long for those of others.
    pub(super) fn coming(&self, wait: Duration) -> Coming {
        Coming {
            gate: Gate::new(self.coming.clone(), wait),
            longest: 0,
            waiting: None,
        }
    }

    /// For rows that were made.
    pub(super) fn made(&self, wait: Duration) -> Gate {
        Gate::new(self.made.clone(), wait)
    }
}

/// Rows that grow take room in a few steps, and not each.
fn rounded(bytes: usize) -> usize {
    bytes.checked_next_power_of_two().unwrap_or(bytes)
}

/// What there is room for of what comes over one connection.
pub(super) struct Coming {
    gate: Gate,
    /// How long a message may be by now.
    longest: usize,
    /// How long one is that has begun, and who waits for room for it.
    waiting: Option<(usize, Entering)>,
}

impl Coming {
    /// A message of so many bytes begins.
    pub(super) fn begins(&mut self, bytes: usize) {
        let waiting = self.waiting.as_ref();
        let most = waiting.map_or(self.longest, |(longest, _)| *longest);
        if bytes > FREE.max(most) {
            let longest = rounded(bytes);
            let more = longest.saturating_sub(self.longest).saturating_mul(HELD);
            self.waiting = Some((longest, self.gate.enter(more)));
        }
    }

    /// Waits until there is room for what has begun: before, no more may be read. Gives what was taken.
    ///
    /// # Errors
    /// When others had it for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Permit>>> {
        let Some((longest, entering)) = &mut self.waiting else {
            return Poll::Ready(Ok(None));
        };
        let room = ready!(entering.as_mut().poll(cx));
        self.longest = *longest;
        self.waiting = None;
        Poll::Ready(match room {
            Some(room) => Ok(Some(room)),
            None => Err(io::ErrorKind::TimedOut.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::future::poll_fn;

    use futures::FutureExt as _;

    use super::*;

    async fn room(coming: &mut Coming) -> io::Result<Option<Permit>> {
        poll_fn(|cx| coming.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_room_before_it_reads_a_long_message() {
        let rows = LongRows::of(8 << 20, 0);
        let [mut one, mut two] = [(); 2].map(|()| rows.coming(Duration::from_secs(5)));
        one.begins(FREE);
        assert!(room(&mut one).await.unwrap().is_none(), "it is short");
        one.begins(FREE + 1);
        let held = room(&mut one).await.unwrap();
        assert!(held.is_some());
        one.begins(2 << 20);
        assert!(room(&mut one).await.unwrap().is_none(), "there is room");
        two.begins(FREE + 1);
        assert!(room(&mut two).now_or_never().is_none());
        drop(held);
        let held = room(&mut two).await.unwrap();
        assert!(held.is_some());
        // One whose rows grow keeps what it has, and waits for the rest of it.
        two.begins(3 << 20);
        let late = room(&mut two).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn there_is_room_for_the_longest_row_however_it_grows() {
        let longest = (200 << 20) + 1;
        let rows = LongRows::new(longest);
        let mut one = rows.coming(Duration::from_secs(3600));
        let mut held = Vec::new();
        for bytes in [FREE + 1, 5 << 20, 90 << 20, longest] {
            one.begins(bytes);
            held.push(room(&mut one).now_or_never().unwrap().unwrap());
        }
        assert!(held.iter().all(Option::is_some));
    }
}
