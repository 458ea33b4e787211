//! Answers that are given as a whole, and how much of memory those of an entry take while they are made.
//!
//! How long an answer is, is known only at its end. So it grows in steps, and waits for room at each. Every step has room of its own, and
//! who has taken the last one waits for nothing more: so none waits for another that waits for it.

use std::time::Duration;

use futures::TryStreamExt as _;
use tokio::time::timeout;

use super::{Fault, Row, Rows, Value};
use crate::capability::in_flight::{InFlight, Permit};

/// Which part of the longest answer has no need of room: one of so many …
const FREE: usize = 64;
/// … and which part answers take that are longer than that.
const MIDDLE: usize = 8;
/// How many of the longest answers are made at once.
const LONG: usize = 2;
/// What answers take of their room besides their bytes, at most.
const BESIDE: usize = 4096;

/// What the answers of an entry may take.
pub(super) struct Whole {
    /// How many bytes one of them may have.
    most: usize,
    steps: [Step; 2],
    /// How long to wait for room.
    wait: Duration,
}

/// What an answer needs that is longer than some.
struct Step {
    above: usize,
    takes: usize,
    room: InFlight,
}

/// An answer that is made.
struct Making<'a> {
    whole: &'a Whole,
    bytes: usize,
    /// How many steps it has taken, and the room of the last of them.
    taken: usize,
    held: Option<Permit>,
}

impl Whole {
    /// Answers of at most so many bytes: two of that length at once, as many bytes as one of them for shorter ones, and what is short
    /// besides.
    pub(super) fn new(most: usize, wait: Duration) -> Self {
        let long = most.saturating_mul(LONG).saturating_add(BESIDE);
        let steps = [
            Step {
                above: most / FREE,
                takes: most / MIDDLE,
                room: InFlight::new(most.saturating_add(BESIDE)),
            },
            Step {
                above: most / MIDDLE,
                takes: most,
                room: InFlight::new(long),
            },
        ];
        Self { most, steps, wait }
    }

    /// All rows, each made into what is given of it, which takes some bytes more.
    ///
    /// # Errors
    /// When they take more than an answer may, or others take the room for too long.
    pub(super) async fn of<T>(
        &self,
        mut rows: Rows,
        more: usize,
        make: impl Fn(Vec<Value>) -> T,
    ) -> Result<Vec<T>, Fault> {
        let mut making = Making {
            whole: self,
            bytes: 0,
            taken: 0,
            held: None,
        };
        let mut all = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let Row {
                values,
                bytes,
                held,
            } = row;
            // It counts here now. Who kept room of the one kind while waiting for the other could wait for somebody who does the
            // opposite.
            drop(held);
            making.grow(bytes.saturating_add(more)).await?;
            all.push(make(values));
        }
        Ok(all)
    }
}

impl Making<'_> {
    async fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let Whole { most, steps, wait } = self.whole;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > *most {
            return Err(Fault::Other(format!(
                "the rows have more than {most} bytes: ask for fewer with LIMIT, or use the interface that streams them"
            )));
        }
        while let Some(step) = steps.get(self.taken)
            && self.bytes > step.above
        {
            let room = timeout(*wait, step.room.enter(step.takes)).await;
            // That of the step before is for others now.
            self.held = Some(room.map_err(|_| Fault::Timeout)?);
            self.taken += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use futures::{FutureExt as _, StreamExt as _, stream};
    use tokio::sync::mpsc;

    use super::*;

    const MOST: usize = 1 << 20;
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn row(bytes: usize) -> Result<Row, Fault> {
        Ok(Row {
            values: Vec::new(),
            bytes,
            held: None,
        })
    }

    /// Rows that come when they are sent. `came` counts them.
    fn sent(came: &Arc<AtomicUsize>) -> (mpsc::UnboundedSender<usize>, Rows) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let came = Arc::clone(came);
        let rows = stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(move |bytes| {
            came.fetch_add(1, Ordering::SeqCst);
            row(bytes)
        });
        (sender, rows.boxed())
    }

    #[tokio::test]
    async fn rows_of_no_columns_have_an_end() {
        let whole = Whole::new(MOST, DAY);
        let endless = stream::repeat_with(|| row(0)).boxed();
        let told = whole.of(endless, size_of::<Vec<Value>>(), |it| it).await;
        let Err(Fault::Other(told)) = told else {
            unreachable!("there is no end to them")
        };
        assert!(told.starts_with("the rows have more than 1048576 bytes"));
        let some = stream::iter((0..1000).map(|_| row(0))).boxed();
        let all = whole.of(some, 24, |it| it).await.unwrap();
        assert_eq!(all.len(), 1000);
    }

    #[tokio::test]
    async fn long_answers_wait_for_each_other_and_short_ones_for_none() {
        let whole = Whole::new(MOST, DAY);
        let came = Arc::<AtomicUsize>::default();
        let mut long: Vec<_> = (0..12)
            .map(|_| {
                let (sender, rows) = sent(&came);
                sender.send(MOST / 2).unwrap();
                sender.send(MOST / 4).unwrap();
                (sender, Box::pin(whole.of(rows, 0, |it| it)))
            })
            .collect();
        for (_, answer) in &mut long {
            assert!(answer.now_or_never().is_none(), "it has no end yet");
        }
        // Those that have room go on, and the others wait with a row.
        assert_eq!(came.load(Ordering::SeqCst), 12 + LONG);
        let short = stream::iter([row(100)]).boxed();
        let short = whole.of(short, 0, |it| it).now_or_never();
        assert_eq!(short.unwrap().unwrap().len(), 1);
        let (senders, long): (Vec<_>, Vec<_>) = long.into_iter().unzip();
        drop(senders);
        for all in join_all(long).await {
            assert_eq!(all.unwrap().len(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_waits_no_longer_than_for_a_connection() {
        let whole = Whole::new(MOST, Duration::from_secs(5));
        let mut held = Vec::new();
        for _ in 0..LONG {
            let (sender, rows) = sent(&Arc::default());
            sender.send(MOST).unwrap();
            let mut answer = Box::pin(whole.of(rows, 0, |it| it));
            assert!((&mut answer).now_or_never().is_none());
            held.push((sender, answer));
        }
        let late = stream::iter([row(MOST)]).boxed();
        let late = whole.of(late, 0, |it| it).await;
        assert_eq!(late, Err(Fault::Timeout));
    }
}
