//! A message that a consumer has given: kept ours while it is handled, and settled with the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject as Inbox;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::PublishMessage;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval_at, timeout};

use super::{DEAD_LETTER, REPLY_TO, Shared};
use crate::capability::messaging::{
    Delivery, Message, MessagingError, REJECTED, Redelivery, Settle, Subject, Verdict,
};

/// How many messages are remembered that were given back unhandled.
const REMEMBERED: usize = 10_000;

/// How often messages were delivered without anybody looking at them, by consumer and number: that does not count. It is known here only,
/// so for others it counts, as it does after a restart: a message that takes down its host must not come back for ever.
#[derive(Debug, Default)]
pub(super) struct Uncounted(HashMap<Key, u32>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    consumer: Arc<str>,
    number: u64,
}

impl Uncounted {
    fn of(&self, key: &Key) -> u32 {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn note(&mut self, key: &Key) {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(key) {
            self.0.clear();
        }
        *self.0.entry(key.clone()).or_default() += 1;
    }
}

/// A message of a consumer, until it is settled. Dropped before, it goes to another.
pub(super) struct Held {
    shared: Arc<Shared>,
    redelivery: Redelivery,
    key: Key,
    /// What identifies it on the server, for good.
    id: String,
    subject: Subject,
    body: Bytes,
    /// Whether it is a dead letter.
    dead: bool,
    /// How often it was delivered, as far as that counts.
    deliveries: u32,
    /// Where the server wants to be told of it.
    ack: Inbox,
    settled: bool,
    _kept: Kept,
    _room: Option<OwnedSemaphorePermit>,
}

/// Tells the server again and again that a message is being handled.
struct Kept(AbortHandle);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Held {
    /// What a consumer has given. `None`: it is no message of a stream.
    pub(super) fn of(
        shared: &Arc<Shared>,
        consumer: &Arc<str>,
        redelivery: &Redelivery,
        message: async_nats::Message,
    ) -> Option<(Self, Message)> {
        let context = shared.link.context()?;
        let message = async_nats::jetstream::Message { message, context };
        let info = message.info().ok()?;
        let key = Key {
            consumer: Arc::clone(consumer),
            number: info.stream_sequence,
        };
        let id = format!(
            "{}.{}.{}",
            info.consumer,
            info.stream_sequence,
            info.published.unix_timestamp_nanos()
        );
        let delivered = u32::try_from(info.delivered).unwrap_or(u32::MAX);
        let uncounted = shared.uncounted().of(&key);
        let ack = message.reply.clone()?;
        let message = message.message;
        let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str());
        let subject = Subject::from_broker(&message.subject).after(shared.place.stored());
        let held = Self {
            redelivery: redelivery.clone(),
            key,
            id,
            subject: subject.clone(),
            body: message.payload.clone(),
            dead: header(DEAD_LETTER).is_some(),
            deliveries: delivered.saturating_sub(uncounted).max(1),
            settled: false,
            _kept: keep(shared, ack.clone()),
            _room: None,
            ack,
            shared: Arc::clone(shared),
        };
        let message = Message {
            subject,
            reply_to: header(REPLY_TO).map(Subject::from_broker),
            body: message.payload,
        };
        Some((held, message))
    }

    /// It has its room until it is settled.
    pub(super) fn within(mut self, room: OwnedSemaphorePermit) -> Self {
        self._room = Some(room);
        self
    }

    /// There is no room for it now. It comes back, and this does not count.
    pub(super) fn put_off(mut self) {
        let pause = self.redelivery.pause(1);
        self.give_back(Some(pause));
    }

    /// Whether it was delivered as often as it may be before, and nobody said what came of it: whoever had it last may have died of it.
    pub(super) fn is_worn_out(&self) -> bool {
        self.deliveries > self.redelivery.most
    }

    pub(super) fn deliver(self, message: Message) -> Delivery {
        Delivery {
            message,
            settle: Box::new(self),
        }
    }

    /// It is over, one way or the other.
    pub(super) async fn give_up(mut self, why: &str) {
        self.settled = true;
        let dead_letter = match self.redelivery.dead_letter.clone().filter(|_| !self.dead) {
            None => "there is no dead letter",
            Some(to) => match self.bury(&to).await {
                Ok(()) => "it is a dead letter now",
                Err(error) => {
                    let pause = self.redelivery.pause(u32::MAX);
                    if self.shared.tells() {
                        let subject = &self.subject;
                        tracing::warn!(%subject, dead_letter = %to, %error, ?pause, "a dead letter was not stored; it is tried again");
                    }
                    self.tell(AckKind::Nak(Some(pause))).await;
                    return;
                }
            },
        };
        self.forget();
        self.tell(AckKind::Term).await;
        if self.shared.tells() {
            let subject = &self.subject;
            tracing::warn!(%subject, why, dead_letter, "a message was given up");
        }
    }

    /// Makes it a dead letter. The server keeps one of those that are sent twice, as after a restart between the two steps.
    async fn bury(&self, to: &Subject) -> Result<(), MessagingError> {
        let letter = PublishMessage::build()
            .header(DEAD_LETTER, self.subject.as_str())
            .message_id(&self.id);
        self.shared.store(to, self.body.clone(), letter).await
    }

    fn forget(&self) {
        self.shared.uncounted().0.remove(&self.key);
    }

    fn do_not_count(&self) {
        self.shared.uncounted().note(&self.key);
    }

    /// Nobody has looked at it: somebody else may have it, at once or after a while.
    fn give_back(&mut self, pause: Option<Duration>) {
        self.settled = true;
        self.do_not_count();
        let (shared, ack) = (Arc::clone(&self.shared), self.ack.clone());
        // Without a runtime, the process ends, and the server finds out by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { tell(&shared, ack, AckKind::Nak(pause)).await });
        }
    }

    async fn tell(&self, kind: AckKind) {
        tell(&self.shared, self.ack.clone(), kind).await;
    }
}

/// Tells the server of a message. One that is away learns of it when it is back, or has given the message to another by then.
async fn tell(shared: &Arc<Shared>, ack: Inbox, kind: AckKind) {
    if let Some(live) = shared.link.live() {
        let _ = live.client.publish(ack, kind.into()).await;
        return;
    }
    let (link, patience) = (shared.link.clone(), shared.ack_wait);
    tokio::spawn(timeout(patience, async move {
        let live = link.connected().await;
        let _ = live.client.publish(ack, kind.into()).await;
    }));
}

fn keep(shared: &Arc<Shared>, ack: Inbox) -> Kept {
    let (link, pause) = (shared.link.clone(), shared.ack_wait / 3);
    let telling = tokio::spawn(async move {
        let mut ticks = interval_at(Instant::now() + pause, pause.max(Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            let live = link.connected().await;
            let progress = AckKind::Progress.into();
            let _ = live.client.publish(ack.clone(), progress).await;
        }
    });
    Kept(telling.abort_handle())
}

#[async_trait]
impl Settle for Held {
    async fn settle(mut self: Box<Self>, verdict: Verdict) {
        match verdict {
            Verdict::Handled => {
                self.settled = true;
                self.forget();
                self.tell(AckKind::Ack).await;
            }
            Verdict::Rejected => self.give_up(REJECTED).await,
            Verdict::Later => {
                self.settled = true;
                self.do_not_count();
                let pause = self.redelivery.pause(1);
                self.tell(AckKind::Nak(Some(pause))).await;
            }
            Verdict::Failed(why) => match self.redelivery.after(self.deliveries) {
                None => self.give_up(&why).await,
                Some(pause) => {
                    self.settled = true;
                    self.tell(AckKind::Nak(Some(pause))).await;
                }
            },
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            self.give_back(None);
        }
    }
}
