//! Messages in streams of NATS JetStream: what nobody has handled is kept, on the disk of the server, until somebody has.
//!
//! Each group has a durable consumer, from which its members pull as much as they have places for. Requests are not kept: they go over
//! NATS as it is, to the same groups, by subjects that no stream takes.

mod consumer;
mod held;
mod place;
mod pull;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{RwLock, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::nats::Nats;
use super::seldom::Seldom;
use super::{Broker, Delivery, Message, MessagingError, Subject, Subscription, Wanted};
use crate::capability::nats::{Link, Live};
use consumer::Pulls;
use held::Uncounted;
use place::{Place, Trouble};
use pull::Puller;
pub(super) use settings::{Streams, streams};

/// How long a server may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What a server says whose stream, account or disk has as much as it may have.
const FULL: [ErrorCode; 5] = [
    ErrorCode::STREAM_STORE_FAILED,
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ErrorCode::MEMORY_RESOURCES_EXCEEDED,
];
/// By this header, a message says where an answer to it is awaited: its own place for that is taken by the server.
const REPLY_TO: &str = "Wasmcloud-Reply-To";
/// By this header, a message says that it is a dead letter, and what it was about.
const DEAD_LETTER: &str = "Wasmcloud-Dead-Letter";

/// A place in JetStream. Cheap to clone.
#[derive(Clone)]
pub(super) struct JetStream {
    shared: Arc<Shared>,
}

/// What subscriptions and the messages that they have given need, too.
struct Shared {
    /// For requests and their answers.
    core: Nats,
    link: Link,
    place: Place,
    ack_wait: Duration,
    /// How many messages of a group may be out, those that come back later among them.
    most_out: usize,
    known: Known,
}

/// What all brokers of one workload for one stream know together.
#[derive(Clone, Default)]
pub(super) struct Known {
    uncounted: Arc<Mutex<Uncounted>>,
    /// The consumers of the subscriptions that there are.
    pulls: Arc<Mutex<Vec<Weak<Pulls>>>>,
    /// When it was last told that a message was given up.
    given_up: Arc<Mutex<Seldom>>,
    /// Held for writing while the stream is made with its consumers, and for reading while something is stored in it.
    making: Arc<RwLock<()>>,
}

impl JetStream {
    /// The server waits so long for word of a message before it gives it to somebody else.
    pub(super) fn new(core: Nats, place: Place, ack_wait: Duration, known: Known) -> Self {
        Self {
            shared: Arc::new(Shared {
                link: core.link.clone(),
                place,
                ack_wait,
                most_out: core.traffic.messages.max(1),
                known,
                core,
            }),
        }
    }
}

impl Shared {
    fn uncounted(&self) -> MutexGuard<'_, Uncounted> {
        self.known
            .uncounted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn pulls(&self) -> MutexGuard<'_, Vec<Weak<Pulls>>> {
        self.known
            .pulls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may be told now that a message was given up.
    fn tells(&self) -> bool {
        let given_up = self.known.given_up.lock();
        given_up.unwrap_or_else(PoisonError::into_inner).is_due()
    }

    /// Makes the stream that is not there, and the consumers that are known here, whoever makes the stream.
    async fn restore(&self) -> Result<(), Trouble> {
        let stream = self.stream().await?;
        self.consumers(&stream).await
    }

    /// The stream, if the server is there. Where it has to be made, nothing is stored from here before it has the consumers that are known
    /// here: what they have not heard of would be for nobody.
    async fn stream(&self) -> Result<jetstream::stream::Stream, Trouble> {
        let away = || Trouble::Passing("the server cannot be reached".to_owned());
        let live = self.link.live().ok_or_else(away)?;
        if let Some(stream) = self.place.find(&live.context).await? {
            return Ok(stream);
        }
        let _alone = self.known.making.write().await;
        // Somebody else here may have made it meanwhile.
        if let Some(stream) = self.place.find(&live.context).await? {
            return Ok(stream);
        }
        let stream = self.place.make(&live.context).await?;
        self.consumers(&stream).await?;
        Ok(stream)
    }

    async fn consumers(&self, stream: &jetstream::stream::Stream) -> Result<(), Trouble> {
        let known: Vec<Arc<Pulls>> = self.pulls().iter().filter_map(Weak::upgrade).collect();
        for pulls in known {
            pulls.on(stream, self).await?;
        }
        Ok(())
    }

    /// Stores a message in the stream that is there.
    async fn send(
        &self,
        live: &Live,
        subject: &Subject,
        message: PublishMessage,
    ) -> Result<(), PublishError> {
        let _made = self.known.making.read().await;
        let sent = live.context.send_publish(subject.to_string(), message);
        sent.await?.await.map(drop)
    }

    fn connected(&self) -> Result<Arc<Live>, MessagingError> {
        self.link.live().ok_or(MessagingError::Unavailable)
    }

    /// Stores a message, and returns when the server has it. A stream of our own that is not there is made.
    async fn store(
        &self,
        about: &Subject,
        body: Bytes,
        message: PublishMessage,
    ) -> Result<(), MessagingError> {
        let live = self.connected()?;
        let subject = about.behind(self.place.stored());
        let length = body.len();
        let body = timeout(PATIENCE, self.core.traffic.carried(body)).await;
        let message = message.payload(body.map_err(|_| MessagingError::Unavailable)?);
        let first = self.send(&live, &subject, message.clone()).await;
        let failed = match first {
            Err(error)
                if error.kind() == PublishErrorKind::StreamNotFound && self.place.is_own() =>
            {
                self.restore().await?;
                self.send(&live, &subject, message).await.err()
            }
            other => other.err(),
        };
        failed.map_or(Ok(()), |error| Err(self.refused(&error, length)))
    }

    fn refused(&self, error: &PublishError, length: usize) -> MessagingError {
        let source = std::error::Error::source(error);
        let told = source.and_then(|it| it.downcast_ref::<jetstream::Error>());
        match (error.kind(), told.map(jetstream::Error::error_code)) {
            (PublishErrorKind::MaxPayloadExceeded, _)
            | (_, Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)) => MessagingError::TooLarge {
                length: length as u64,
                most: self.link.max_payload() as u64,
            },
            (PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe, _) => {
                MessagingError::Unavailable
            }
            (PublishErrorKind::MaxAckPending, _) => MessagingError::Full,
            (_, Some(code)) if FULL.contains(&code) => MessagingError::Full,
            (PublishErrorKind::StreamNotFound, _) | (_, Some(ErrorCode::STREAM_NOT_MATCH)) => {
                let stream = self.place.name();
                MessagingError::Other(format!("the stream `{stream}` does not take this subject"))
            }
            (_, Some(_)) => MessagingError::Other(format!(
                "the message was not stored: {}",
                told.map(ToString::to_string).unwrap_or_default()
            )),
            _ => MessagingError::Unavailable,
        }
    }
}

impl From<Trouble> for MessagingError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Passing(_) | Trouble::Absent => Self::Unavailable,
            Trouble::Lasting(why) => Self::Other(why),
        }
    }
}

#[async_trait]
impl Broker for JetStream {
    async fn publish(&self, message: Message) -> Result<(), MessagingError> {
        if message.subject.is_inbox() {
            // Somebody waits for it now, or it is for nobody.
            return self.shared.core.publish(message).await;
        }
        let stream = self.shared.place.name();
        let mut stored = PublishMessage::build().expected_stream(stream);
        if let Some(reply_to) = &message.reply_to {
            stored = stored.header(REPLY_TO, reply_to.as_str());
        }
        let (subject, body) = (&message.subject, message.body);
        self.shared.store(subject, body, stored).await
    }

    async fn request(
        &self,
        subject: Subject,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError> {
        let subject = subject.behind(self.shared.place.asked());
        self.shared.core.request(subject, body, time).await
    }

    async fn subscribe(&self, wanted: Wanted) -> Result<Box<dyn Subscription>, MessagingError> {
        let asked = Wanted {
            pattern: wanted.pattern.behind(self.shared.place.asked()),
            ..wanted.clone()
        };
        let asked = self.shared.core.subscribe(asked).await?;
        let pulls = Arc::new(Pulls::of(&wanted, &self.shared));
        {
            let mut known = self.shared.pulls();
            known.retain(|pulls| pulls.strong_count() > 0);
            known.push(Arc::downgrade(&pulls));
        }
        if self.shared.link.live().is_some() {
            match pulls.consumer(&self.shared).await {
                // It will be there one day.
                Ok(_) | Err(Trouble::Passing(_)) => {}
                Err(trouble) => return Err(MessagingError::Other(trouble.to_string())),
            }
        }
        let (asks, asked_for) = mpsc::channel(1);
        let (given, taken) = mpsc::unbounded_channel();
        let closed = CancellationToken::new();
        let puller = Puller::new(Arc::clone(&self.shared), pulls, wanted, given);
        tokio::spawn(puller.run(asked_for, closed.clone()));
        Ok(Box::new(Both {
            asked,
            prefix: self.shared.place.asked().to_owned(),
            free: 1,
            asks,
            on_the_way: 0,
            taken,
            pulled_out: false,
            asked_out: false,
            closed,
        }))
    }

    fn trouble(&self) -> Option<String> {
        self.shared.link.trouble()
    }

    #[cfg(test)]
    fn redelivers(&self) -> bool {
        true
    }
}

/// A subscription to what is stored and to what is asked.
struct Both {
    asked: Box<dyn Subscription>,
    /// What the subjects of requests begin with.
    prefix: String,
    /// How many messages could be handled now.
    free: usize,
    asks: mpsc::Sender<usize>,
    /// How many messages were asked for and have not come yet.
    on_the_way: usize,
    taken: mpsc::UnboundedReceiver<Delivery>,
    /// Whether there will be no more of what is stored, and of what is asked.
    pulled_out: bool,
    asked_out: bool,
    closed: CancellationToken,
}

impl Both {
    /// Asks for as much as there are places for, once what was asked for before has come.
    fn ask(&mut self) {
        if self.on_the_way == 0 && self.asks.try_send(self.free).is_ok() {
            self.on_the_way = self.free;
        }
    }

    fn came(&mut self, delivery: Delivery) -> Delivery {
        self.on_the_way = self.on_the_way.saturating_sub(1);
        delivery
    }
}

#[async_trait]
impl Subscription for Both {
    fn expect(&mut self, free: usize) {
        self.free = free.clamp(1, pull::LONGEST_BATCH);
    }

    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Ok(delivery) = self.taken.try_recv() {
                return Some(self.came(delivery));
            }
            if !self.pulled_out {
                self.ask();
            }
            tokio::select! {
                next = self.taken.recv(), if !self.pulled_out => match next {
                    Some(delivery) => return Some(self.came(delivery)),
                    None => self.pulled_out = true,
                },
                next = self.asked.next(), if !self.asked_out => match next {
                    Some(mut delivery) => {
                        let subject = delivery.message.subject.after(&self.prefix);
                        delivery.message.subject = subject;
                        return Some(delivery);
                    }
                    None => self.asked_out = true,
                },
                else => return None,
            }
        }
    }

    fn close(&mut self) {
        self.closed.cancel();
        self.asked.close();
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}
