//! Pulls messages from a consumer: as many as somebody has places for, whatever happens to the server, the stream and the consumer.

use std::sync::Arc;
use std::time::Duration;

use async_nats::StatusCode;
use async_nats::jetstream::consumer::pull::{BatchConfig, Config};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::stream::{ConsumerErrorKind, Stream};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::place::Trouble;
use super::{PATIENCE, Shared};
use crate::capability::messaging::seldom::Seldom;
use crate::capability::messaging::{Delivery, Subject, Wanted};
use crate::capability::nats::Feed;

/// How many messages are pulled at once at most.
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
/// How long a consumer that is for one host only outlives it, so that it misses nothing while the two do not see each other.
const ABSENCE: Duration = Duration::from_secs(300);
/// How much of the name of a group the name of its consumer shows.
const SHOWN: usize = 100;

/// Which consumer.
pub(super) struct Pulls {
    name: Arc<str>,
    filter: String,
    ack_wait: Duration,
    /// Whether it is for whoever made it only.
    alone: bool,
}

impl Pulls {
    /// The consumer of a group and pattern, or one of its own.
    pub(super) fn of(wanted: &Wanted, shared: &Shared) -> Self {
        let filter = wanted.pattern.behind(shared.place.stored()).to_string();
        let name = match &wanted.group {
            Some(group) => named(group, &filter),
            None => format!(
                "broadcast-{:016x}{:016x}",
                fastrand::u64(..),
                fastrand::u64(..)
            ),
        };
        Self {
            name: name.into(),
            filter,
            ack_wait: shared.ack_wait,
            alone: wanted.group.is_none(),
        }
    }

    /// The consumer, which is made if it is not there.
    pub(super) async fn consumer(&self, shared: &Shared) -> Result<PullConsumer, Trouble> {
        let stream = shared.stream().await?;
        self.on(&stream, shared).await
    }

    /// The same in a stream that is there.
    pub(super) async fn on(
        &self,
        stream: &Stream,
        shared: &Shared,
    ) -> Result<PullConsumer, Trouble> {
        let config = Config {
            durable_name: Some(self.name.to_string()),
            filter_subject: match self.filter.as_str() {
                // Of a stream of somebody else's, everything.
                ">" => String::new(),
                filter => filter.to_owned(),
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            // Whoever has a message last makes a dead letter of it, which the server does not.
            max_deliver: -1,
            max_ack_pending: i64::try_from(shared.most_out).unwrap_or(i64::MAX),
            deliver_policy: match self.alone {
                true => DeliverPolicy::New,
                false => DeliverPolicy::All,
            },
            inactive_threshold: match self.alone {
                true => ABSENCE,
                false => Duration::ZERO,
            },
            ..Config::default()
        };
        let consumer = stream.create_consumer(config).await;
        consumer.map_err(|error| match error.kind() {
            ConsumerErrorKind::JetStream(told) => Trouble::of(&told),
            _ => Trouble::Passing(error.to_string()),
        })
    }
}

/// The name of the consumer of a group: the same on every host, and for nobody else.
fn named(group: &str, filter: &str) -> String {
    let digest = Sha256::digest(format!("{group}\0{filter}"));
    let digest: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let shown = group
        .get(..group.floor_char_boundary(SHOWN))
        .unwrap_or(group);
    format!("{}-{digest}", shown.replace('.', "="))
}

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
    heard: Instant,
    trouble: Seldom,
}

/// What comes next.
enum Next {
    Over,
    Ask(usize),
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
            heard: Instant::now(),
            trouble: Seldom::default(),
        }
    }

    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<usize>, closed: CancellationToken) {
        let inbox = Subject::inbox();
        let link = self.shared.link.clone();
        let mut feed = link.subscribe(format!("{inbox}.*"), None).await;
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let trouble = tokio::select! {
                biased;
                () = closed.cancelled() => break,
                pulled = self.pull(inbox.as_str(), &mut feed, &mut asks) => match pulled {
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
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
        self.end(feed).await;
    }

    /// Pulls until nobody wants more. It may be dropped at any time.
    async fn pull(
        &mut self,
        inbox: &str,
        feed: &mut Feed,
        asks: &mut mpsc::Receiver<usize>,
    ) -> Result<(), Trouble> {
        // While it is away, there is nothing to try.
        self.shared.link.connected().await;
        let mut connects = self.shared.link.connects();
        let mut consumer = self.pulls.consumer(&self.shared).await?;
        self.open = 0;
        let mut looks = interval(LOOK);
        loop {
            if self.due > 0 && self.open == 0 {
                self.ask(&consumer, inbox).await?;
            }
            let next = tokio::select! {
                next = feed.next() => next.map_or(Next::Over, Next::Message),
                ask = asks.recv() => ask.map_or(Next::Over, Next::Ask),
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
                Next::Message(message) => self.take(message)?,
                Next::Forgotten if self.open > 0 => {
                    // It may be another server, without the consumer.
                    return Err(Trouble::Passing("the server was silent or away".to_owned()));
                }
                Next::Forgotten => consumer = self.pulls.consumer(&self.shared).await?,
            }
        }
    }

    async fn ask(&mut self, consumer: &PullConsumer, inbox: &str) -> Result<(), Trouble> {
        let batch = BatchConfig {
            batch: self.due,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        self.question += 1;
        let reply = format!("{inbox}.{}", self.question);
        let asked = consumer.request_batch(batch, reply.into()).await;
        asked.map_err(|error| Trouble::Passing(error.to_string()))?;
        (self.open, self.heard) = (self.due, Instant::now());
        Ok(())
    }

    fn take(&mut self, message: async_nats::Message) -> Result<(), Trouble> {
        let status = message.status.filter(|status| *status != StatusCode::OK);
        if let Some(status) = status {
            let question = message
                .subject
                .rsplit('.')
                .next()
                .and_then(|it| it.parse().ok());
            if question != Some(self.question) {
                return Ok(());
            }
            self.heard = Instant::now();
            return match status {
                StatusCode::IDLE_HEARTBEAT => Ok(()),
                // Nothing has come in all that time.
                StatusCode::TIMEOUT | StatusCode::NOT_FOUND => {
                    self.open = 0;
                    Ok(())
                }
                StatusCode::NO_RESPONDERS => {
                    Err(Trouble::Passing("there is no such consumer".to_owned()))
                }
                status => {
                    let why = message.description.map(|it| it.to_string());
                    Err(Trouble::Passing(why.unwrap_or_else(|| status.to_string())))
                }
            };
        }
        self.heard = Instant::now();
        self.open = self.open.saturating_sub(1);
        self.give(message);
        Ok(())
    }

    fn give(&mut self, message: async_nats::Message) {
        let (shared, consumer) = (&self.shared, &self.pulls.name);
        let held = Held::of(shared, consumer, &self.wanted.redelivery, message);
        let Some((held, message)) = held else {
            return;
        };
        if held.is_worn_out() {
            let why = "it was delivered as often as it may be, and nobody said what came of it";
            tokio::spawn(async move { held.give_up(why).await });
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
        if let (true, Some(live)) = (self.pulls.alone, self.shared.link.live()) {
            let stream = self.shared.place.name();
            let _ = live
                .context
                .delete_consumer_from_stream(&*self.pulls.name, stream)
                .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_have_names_that_servers_take_and_that_nobody_shares() {
        let long = "g".repeat(500);
        let names = [
            named("wasmcloud.a.b.c", "x"),
            named("wasmcloud.a.b.c", "y"),
            named("wasmcloud.a.b", "c\0x"),
            named("wasmcloud=a=b=c", "x"),
            named(&long, "x"),
            named(&format!("{long}g"), "x"),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(
                name.len() < 200 && !name.contains(['.', ' ', '*', '>']),
                "{name}"
            );
            assert!(
                !names.iter().skip(index + 1).any(|other| other == name),
                "{name}"
            );
        }
    }
}
