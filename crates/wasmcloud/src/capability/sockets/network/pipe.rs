//! One direction of a connection: a bounded queue, one who writes and one who reads.
//!
//! Whoever has to wait leaves a waker, and the other side takes it when something changed that is waited for. Wakers are called and
//! dropped with no lock held: they may run code that comes back here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::NetError;
use super::budget::{Budget, Ticket};
use super::queue::Queue;

/// What every pipe may hold, whatever the workload holds altogether: so that every connection moves.
pub(super) const FLOOR: usize = 4096;
/// What a pipe holds unless told otherwise.
const CAPACITY: usize = 64 * 1024;
/// The most that it can be told.
const MOST: usize = 1024 * 1024;

/// A pipe.
#[derive(Debug)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Debug)]
struct State {
    queue: Queue,
    capacity: u32,
    /// Nothing more will be written.
    ended: bool,
    /// Nobody reads any more.
    abandoned: bool,
    /// The end is no orderly one.
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// What the writer waits for, if it does.
    wants: Wants,
}

/// What a writer waits for; all of them wait for the end, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// Only for the end.
    End,
    /// Room in the pipe.
    Room,
    /// Room that all pipes share.
    SharedRoom,
}

impl State {
    const fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// What counts against the budget.
    const fn charged(&self) -> usize {
        self.queue.held().saturating_sub(FLOOR)
    }

    /// How many of so many bytes may be added. They are charged.
    fn admit(&self, wanted: usize, budget: &Budget) -> usize {
        let wanted = wanted.min(self.capacity().saturating_sub(self.queue.len()));
        let free = wanted.min(FLOOR.saturating_sub(self.queue.held()));
        let admitted = free + budget.take(wanted - free);
        if admitted > 0 {
            return admitted;
        }
        // What is held may be of a chunk that was read but for a few bytes. That must not stop the connection.
        let owed = wanted.min(FLOOR.saturating_sub(self.queue.len()));
        budget.overdraw(owed);
        owed
    }

    /// What [`State::admit`] would say.
    fn room(&self, budget: &Budget) -> usize {
        let wanted = self.capacity().saturating_sub(self.queue.len());
        let free = wanted.min(FLOOR.saturating_sub(self.queue.held()));
        let room = free + (wanted - free).min(budget.left());
        room.max(wanted.min(FLOOR.saturating_sub(self.queue.len())))
    }

    /// Whether there is so much room that whoever waits to write should know. Not at once: it would write a little, and wait again.
    fn is_roomy(&self) -> bool {
        match self.wants {
            Wants::End => false,
            Wants::Room => self.queue.len() <= self.capacity() / 2,
            Wants::SharedRoom => self.queue.len() <= FLOOR / 2,
        }
    }
}

/// Leaves a waker. Gives back the one to drop when the lock is gone.
#[must_use]
fn park(slot: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        slot => slot.replace(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Pipe {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            queue: Queue::default(),
            capacity: limited(CAPACITY),
            ended: false,
            abandoned: false,
            reset: false,
            reader: None,
            writer: None,
            wants: Wants::End,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes some of `wanted` bytes: `push` puts as many as it is told into the queue.
    pub(super) fn poll_write(
        &self,
        cx: &Context<'_>,
        (budget, ticket): (&Budget, &mut Ticket),
        wanted: usize,
        push: impl FnOnce(&mut Queue, usize),
    ) -> Poll<Result<usize, NetError>> {
        let admit = |state: &State| match state.admit(wanted, budget) {
            0 if wanted > 0 => None,
            admitted => Some(admitted),
        };
        let mut turn = ready!(self.poll_room(cx, (budget, ticket), admit))?;
        let reader = if turn.room > 0 {
            push(&mut turn.state.queue, turn.room);
            turn.state.reader.take()
        } else {
            None
        };
        let written = turn.room;
        drop(turn);
        budget.leave(ticket);
        wake(reader);
        Poll::Ready(Ok(written))
    }

    /// How much could be written.
    pub(super) fn poll_writable(
        &self,
        cx: &Context<'_>,
        (budget, ticket): (&Budget, &mut Ticket),
    ) -> Poll<Result<usize, NetError>> {
        let room = |state: &State| Some(state.room(budget)).filter(|room| *room > 0);
        let turn = ready!(self.poll_room(cx, (budget, ticket), room))?;
        let room = turn.room;
        drop(turn);
        budget.leave(ticket);
        Poll::Ready(Ok(room))
    }

    /// Waits until `room` finds some.
    fn poll_room(
        &self,
        cx: &Context<'_>,
        (budget, ticket): (&Budget, &mut Ticket),
        room: impl Fn(&State) -> Option<usize>,
    ) -> Poll<Result<Turn<'_>, NetError>> {
        let mut looked = false;
        loop {
            let mut state = self.lock();
            if state.ended {
                return Poll::Ready(Err(NetError::Aborted));
            }
            if state.abandoned {
                return Poll::Ready(Err(NetError::Reset));
            }
            if let Some(room) = room(&state) {
                let _left = state.writer.take();
                return Poll::Ready(Ok(Turn { state, room, _left }));
            }
            let starved = state.queue.len() < state.capacity();
            state.wants = if starved {
                Wants::SharedRoom
            } else {
                Wants::Room
            };
            let old = park(&mut state.writer, cx);
            drop(state);
            drop(old);
            if looked || !starved {
                return Poll::Pending;
            }
            // Room that all share may come while we begin to wait for it, so there is a second look.
            budget.wait(ticket, cx);
            looked = true;
        }
    }

    /// Ready when nobody will read what is written.
    pub(super) fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.abandoned || state.ended {
            return Poll::Ready(());
        }
        state.wants = Wants::End;
        let old = park(&mut state.writer, cx);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Reads what `pop` takes from the queue. `Ok(None)`: the end.
    pub(super) fn poll_read<T>(
        &self,
        cx: &Context<'_>,
        budget: &Budget,
        pop: impl FnOnce(&mut Queue) -> T,
    ) -> Poll<Result<Option<T>, NetError>> {
        let mut state = self.lock();
        if state.queue.len() == 0 {
            return Self::poll_end(state, cx).map(|end| end.map(|()| None));
        }
        let before = state.charged();
        let read = pop(&mut state.queue);
        let freed = before - state.charged();
        let left = state.reader.take();
        let writer = if state.is_roomy() {
            state.writer.take()
        } else {
            None
        };
        drop(state);
        drop(left);
        budget.give_back(freed);
        wake(writer);
        Poll::Ready(Ok(Some(read)))
    }

    /// Ready when there is something to read, or there never will be.
    pub(super) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        let state = self.lock();
        if state.queue.len() > 0 {
            return Poll::Ready(());
        }
        Self::poll_end(state, cx).map(|_| ())
    }

    fn poll_end(mut state: MutexGuard<'_, State>, cx: &Context<'_>) -> Poll<Result<(), NetError>> {
        match (state.ended, state.reset) {
            (true, true) => Poll::Ready(Err(NetError::Reset)),
            (true, false) => Poll::Ready(Ok(())),
            (false, _) => {
                let old = park(&mut state.reader, cx);
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let (reader, writer) = (state.reader.take(), state.writer.take());
        drop(state);
        drop(writer);
        wake(reader);
    }

    /// Nobody reads any more. What is there is thrown away; says whether there was something.
    pub(super) fn abandon(&self, budget: &Budget) -> bool {
        let mut state = self.lock();
        state.abandoned = true;
        let freed = state.charged();
        let queue = std::mem::take(&mut state.queue);
        let (reader, writer) = (state.reader.take(), state.writer.take());
        drop(state);
        drop(reader);
        let lost = queue.len() > 0;
        drop(queue);
        budget.give_back(freed);
        wake(writer);
        lost
    }

    /// The end, when it comes, is no orderly one.
    pub(super) fn reset(&self) {
        self.lock().reset = true;
    }

    pub(super) fn is_reset(&self) -> bool {
        self.lock().reset
    }

    pub(super) fn capacity(&self) -> usize {
        self.lock().capacity()
    }

    pub(super) fn set_capacity(&self, bytes: usize) -> usize {
        let mut state = self.lock();
        state.capacity = limited(bytes);
        let capacity = state.capacity();
        let writer = if state.queue.len() < capacity {
            state.writer.take()
        } else {
            None
        };
        drop(state);
        wake(writer);
        capacity
    }
}

/// It is somebody's turn to write.
struct Turn<'a> {
    state: MutexGuard<'a, State>,
    room: usize,
    /// A waker of whoever waited before and does not any more; after the lock, so that it is dropped without it.
    _left: Option<Waker>,
}

#[expect(clippy::cast_possible_truncation, reason = "at most 1 MiB")]
fn limited(bytes: usize) -> u32 {
    bytes.clamp(FLOOR, MOST) as u32
}
