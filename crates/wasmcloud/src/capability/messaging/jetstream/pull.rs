//! Pulls messages from a consumer: as many as somebody has places for, whatever happens to the server, the stream and the consumer.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_nats::StatusCode;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::consumer::Pulls;
use super::held::Held;
use super::place::Trouble;
use super::{PATIENCE, Shared};
use crate::capability::messaging::seldom::Seldom;
use crate::capability::messaging::{Delivery, Subject, Wanted};
use crate::capability::nats::{Feed, Link};

/// How many messages are pulled at once at most, and how many are being given up while others are pulled.
pub(super) const LONGEST_BATCH: usize = 64;
/// How long the server remembers what was asked for, and how often it says that it does.
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long it may be silent before it is asked again.
const SILENCE: Duration = Duration::from_secs(12);
/// How often it is looked whether the connection is a new one.
const LOOK: Duration = Duration::from_millis(250);
/// How long until the next attempt after trouble, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Pulls for one subscription.
pub(super) struct Puller {
    shared: Arc<Shared>,
    pulls: Arc<Pulls>,
    wanted: Wanted,
    given: mpsc::UnboundedSender<Delivery>,
    /// How many messages are still to be given.
    due: usize,
    /// How many of them the server has been asked for, and which question that was.
    open: usize,
    question: u64,
    /// How many may still come of questions that are given up.
    late: usize,
    /// Whether the server has sent more than it was asked for.
    flooded: bool,
    /// Until when nothing is asked for, because there was no room for what has come.
    rests: Instant,
    /// Those that were delivered as often as they may be.
    giving_up: JoinSet<()>,
    heard: Instant,
    trouble: Seldom,
    full: Seldom,
}

/// Where the server sends what it is asked for.
struct Inbox {
    subject: Subject,
    feed: Feed,
}

impl Inbox {
    /// One that nobody else knows.
    async fn over(link: &Link) -> Self {
        let subject = Subject::inbox();
        let feed = link.subscribe(format!("{subject}.*"), None).await;
        Self { subject, feed }
    }
}

/// What comes next.
enum Next {
    Over,
    Ask(usize),
    /// There is room for so many messages.
    Room(usize),
    Message(async_nats::Message),
    /// The server may have forgotten what it was asked for.
    Forgotten,
}

impl Puller {
    pub(super) fn new(
        shared: Arc<Shared>,
        pulls: Arc<Pulls>,
        wanted: Wanted,
        given: mpsc::UnboundedSender<Delivery>,
    ) -> Self {
        Self {
            shared,
            pulls,
            wanted,
            given,
            due: 0,
            open: 0,
            question: 0,
            late: 0,
            flooded: false,
            rests: Instant::now(),
            giving_up: JoinSet::new(),
            heard: Instant::now(),
            trouble: Seldom::default(),
            full: Seldom::default(),
        }
    }

    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<usize>, closed: CancellationToken) {
        let mut inbox = Inbox::over(&self.shared.link).await;
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let trouble = tokio::select! {
                biased;
                () = closed.cancelled() => break,
                pulled = self.pull(&mut inbox, &mut asks) => match pulled {
                    Ok(()) => break,
                    Err(trouble) => trouble,
                },
            };
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            if self.trouble.is_due() {
                let (stream, pattern) = (self.shared.place.name(), &self.wanted.pattern);
                tracing::warn!(stream, %pattern, %trouble, "no messages come from JetStream; it is tried again until they do");
            }
            tokio::select! {
                () = closed.cancelled() => break,
                () = self.rest(&mut inbox, pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
        self.end(inbox.feed).await;
    }

    /// Waits after trouble. What comes meanwhile is taken, so that it does not pile up in the client. Where a server sends more than it was
    /// asked for, nobody listens any more.
    async fn rest(&mut self, inbox: &mut Inbox, pause: Duration) {
        let take_all = async {
            loop {
                if self.flooded {
                    *inbox = Inbox::over(&self.shared.link).await;
                    (self.flooded, self.open, self.late) = (false, 0, 0);
                }
                match inbox.feed.next().await {
                    // The trouble is known.
                    Some(message) => drop(self.take(message)),
                    None => pending().await,
                }
            }
        };
        let _: Result<Infallible, _> = timeout(pause, take_all).await;
    }

    /// Pulls until nobody wants more. It may be dropped at any time.
    async fn pull(
        &mut self,
        inbox: &mut Inbox,
        asks: &mut mpsc::Receiver<usize>,
    ) -> Result<(), Trouble> {
        // While it is away, there is nothing to try.
        self.shared.link.connected().await;
        let mut connects = self.shared.link.connects();
        self.forget();
        let mut consumer = self.consumer(&mut inbox.feed).await?;
        let mut looks = interval(LOOK);
        loop {
            let asking = self.due > 0 && self.open == 0 && self.giving_up.len() < LONGEST_BATCH;
            let room = self.room();
            let next = tokio::select! {
                next = inbox.feed.next() => next.map_or(Next::Over, Next::Message),
                ask = asks.recv() => ask.map_or(Next::Over, Next::Ask),
                count = room, if asking => Next::Room(count),
                Some(_) = self.giving_up.join_next() => continue,
                _ = looks.tick() => {
                    let now = self.shared.link.connects();
                    let silent = self.open > 0 && self.heard.elapsed() > SILENCE;
                    if now == connects && !silent {
                        continue;
                    }
                    connects = now;
                    Next::Forgotten
                }
            };
            match next {
                Next::Over => return Ok(()),
                Next::Ask(count) => self.due = count,
                Next::Room(count) => self.ask(&consumer, &inbox.subject, count).await?,
                Next::Message(message) => self.take(message)?,
                Next::Forgotten if self.open > 0 => {
                    // It may be another server, without the consumer.
                    return Err(Trouble::Passing("the server was silent or away".to_owned()));
                }
                Next::Forgotten => consumer = self.consumer(&mut inbox.feed).await?,
            }
        }
    }

    /// The consumer, which is made if it is not there. What comes meanwhile is taken.
    async fn consumer(&mut self, feed: &mut Feed) -> Result<PullConsumer, Trouble> {
        let (shared, pulls) = (Arc::clone(&self.shared), Arc::clone(&self.pulls));
        let there = pulls.consumer(&shared);
        tokio::pin!(there);
        loop {
            tokio::select! {
                consumer = &mut there => return consumer,
                Some(message) = feed.next() => self.take(message)?,
            }
        }
    }

    /// Waits until there is room for a message, however large, and says for how many. By this number what is asked for is bounded, and not by
    /// `max_bytes`: NATS 2.9 counts a message that comes back and is too large for that as delivered, and gives another one twice.
    fn room(&self) -> impl Future<Output = usize> + use<> {
        let (shared, rests) = (Arc::clone(&self.shared), self.rests);
        async move {
            sleep_until(rests).await;
            let traffic = &shared.core.traffic;
            traffic.room_for(shared.link.max_payload()).await
        }
    }

    /// Asks for as many messages as are due, as far as there is room for them.
    async fn ask(
        &mut self,
        consumer: &PullConsumer,
        inbox: &Subject,
        room: usize,
    ) -> Result<(), Trouble> {
        let count = self.due.min(room);
        let batch = BatchConfig {
            batch: count,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        self.question += 1;
        (self.open, self.heard) = (count, Instant::now());
        let reply = format!("{inbox}.{}", self.question);
        let asked = consumer.request_batch(batch, reply.into()).await;
        asked.map_err(|error| Trouble::Passing(error.to_string()))
    }

    /// Gives up the question that is open, of which messages may be on their way.
    fn forget(&mut self) {
        self.late += self.open;
        self.open = 0;
        self.question += 1;
    }

    fn take(&mut self, message: async_nats::Message) -> Result<(), Trouble> {
        let status = message.status.filter(|status| *status != StatusCode::OK);
        if let Some(status) = status {
            let question = message.subject.rsplit('.').next();
            let is_open = question.and_then(|it| it.parse().ok()) == Some(self.question);
            return match is_open {
                true => self.told(status, message.description),
                false => Ok(()),
            };
        }
        // A message comes under its own subject, which does not tell what it answers.
        let expected = match self.open {
            0 => &mut self.late,
            _ => &mut self.open,
        };
        let Some(rest) = expected.checked_sub(1) else {
            self.flooded = true;
            let why = "the server sends more messages than it was asked for";
            return Err(Trouble::Passing(why.to_owned()));
        };
        *expected = rest;
        self.heard = Instant::now();
        self.give(message);
        Ok(())
    }

    /// What the server says of the question that is open.
    fn told(&mut self, status: StatusCode, why: Option<String>) -> Result<(), Trouble> {
        self.heard = Instant::now();
        match status {
            StatusCode::IDLE_HEARTBEAT => Ok(()),
            // Nothing has come in all that time.
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => {
                self.open = 0;
                Ok(())
            }
            StatusCode::NO_RESPONDERS => {
                Err(Trouble::Passing("there is no such consumer".to_owned()))
            }
            status => Err(Trouble::Passing(why.unwrap_or_else(|| status.to_string()))),
        }
    }

    fn give(&mut self, message: async_nats::Message) {
        let (shared, consumer) = (&self.shared, &self.pulls.name);
        let held = Held::of(shared, consumer, &self.wanted.redelivery, message);
        let Some((held, message)) = held else {
            return;
        };
        let Some(room) = shared.core.traffic.hear(&message.body) else {
            if self.full.is_due() {
                let (stream, pattern) = (shared.place.name(), &self.wanted.pattern);
                tracing::warn!(stream, %pattern, "a subscription has no room for a message, which comes back");
            }
            self.rests = Instant::now() + self.wanted.redelivery.pause(1);
            held.put_off();
            return;
        };
        let held = held.within(room);
        if held.is_worn_out() {
            let why = "it was delivered as often as it may be, and nobody said what came of it";
            self.giving_up.spawn(async move { held.give_up(why).await });
            return;
        }
        self.due = self.due.saturating_sub(1);
        // Whoever wants no more gives it back by dropping it.
        let _ = self.given.send(held.deliver(message));
    }

    /// Takes no more, and gives what is on its way: the server forgets questions that nobody would hear the answer to.
    async fn end(mut self, mut feed: Feed) {
        let rest = async {
            feed.drain().await;
            while let Some(message) = feed.next().await {
                if message.status.is_none_or(|status| status == StatusCode::OK) {
                    self.give(message);
                }
            }
        };
        let _ = timeout(PATIENCE, rest).await;
        self.giving_up.detach_all();
        if let (true, Some(live)) = (self.pulls.alone, self.shared.link.live()) {
            let stream = self.shared.place.name();
            let _ = live
                .context
                .delete_consumer_from_stream(&*self.pulls.name, stream)
                .await;
        }
    }
}
