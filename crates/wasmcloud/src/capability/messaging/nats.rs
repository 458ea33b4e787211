//! Messages over NATS as it is without JetStream: whoever listens hears them, and what nobody has handled does not come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::client::{PublishError, PublishErrorKind, RequestError, RequestErrorKind};
use async_nats::{HeaderMap, Request};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::memory::Room;
use super::reason::{PASSED_ON, cut};
use super::seldom::Seldom;
use super::{
    Broker, Delivery, Message, MessagingError, REJECTED, Settle, Subject, Subscription, Verdict,
    Wanted,
};
use crate::capability::in_flight::{InFlight, Permit};
use crate::capability::nats::{Feed, Link, Live};

/// By these headers, services on NATS say that they have no answer, and so do we.
const ERROR: &str = "Nats-Service-Error";
const CODE: &str = "Nats-Service-Error-Code";
/// How long a server is waited for that is told of the end of a subscription.
const PARTING: Duration = Duration::from_secs(5);
/// Whoever answers is too busy, or has failed.
const BUSY: &str = "429";
const FAILED: &str = "500";
const NO_TIME: &str = "too many messages are waiting already";
/// How many bytes of a workload may wait in clients until the servers read them.
const UNSENT: usize = 16 << 20;

/// What the messages of one workload may take in the host, whichever servers they come from and go to. Clones share it.
#[derive(Clone)]
pub(super) struct Traffic {
    /// How many messages of each subscription may wait.
    pub(super) messages: usize,
    /// How many KiB all of them may take, and how many of these are left.
    most_heard: usize,
    heard: Arc<Semaphore>,
    unsent: InFlight,
}

impl Traffic {
    pub(super) fn of(room: Room) -> Self {
        let most_heard = (room.bytes / 1024).max(1);
        Self {
            messages: room.messages,
            most_heard,
            heard: Arc::new(Semaphore::new(most_heard)),
            unsent: InFlight::new(UNSENT),
        }
    }

    /// How many KiB a message of so many bytes takes: no more than all, so that every message can come.
    fn kib(&self, bytes: usize) -> usize {
        bytes.div_ceil(1024).clamp(1, self.most_heard)
    }

    /// The room of a body that has come from a server, for as long as it is here. `None`: there is none.
    pub(super) fn hear(&self, body: &Bytes) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(self.kib(body.len())).unwrap_or(u32::MAX);
        Arc::clone(&self.heard).try_acquire_many_owned(kib).ok()
    }

    /// Waits until there is room for a message of so many bytes, and says for how many of them there is.
    pub(super) async fn room_for(&self, bytes: usize) -> usize {
        let kib = self.kib(bytes);
        let permits = u32::try_from(kib).unwrap_or(u32::MAX);
        let _first = self.heard.acquire_many(permits).await;
        1 + self.heard.available_permits() / kib
    }

    /// Waits for room for a body, which has it for as long as the body is anywhere: clients take thousands of messages for a server
    /// that reads none.
    pub(super) async fn carried(&self, body: Bytes) -> Bytes {
        let room = self.unsent.enter(body.len()).await;
        Bytes::from_owner(Carried { body, _room: room })
    }
}

/// A body, and the room that it takes.
struct Carried {
    body: Bytes,
    _room: Permit,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// A server, or several. Cheap to clone.
#[derive(Clone)]
pub(super) struct Nats {
    pub(super) link: Link,
    pub(super) traffic: Traffic,
}

impl Nats {
    pub(super) fn new(link: Link, traffic: Traffic) -> Self {
        Self { link, traffic }
    }

    fn connected(&self) -> Result<Arc<Live>, MessagingError> {
        self.link.live().ok_or(MessagingError::Unavailable)
    }
}

#[async_trait]
impl Broker for Nats {
    async fn publish(&self, message: Message) -> Result<(), MessagingError> {
        let client = &self.connected()?.client;
        let length = message.body.len();
        let subject = message.subject.to_string();
        let body = self.traffic.carried(message.body).await;
        let published = match message.reply_to {
            Some(reply_to) => {
                let reply_to = reply_to.to_string();
                client.publish_with_reply(subject, reply_to, body).await
            }
            None => client.publish(subject, body).await,
        };
        published.map_err(|error| self.refused(&error, length))
    }

    async fn request(
        &self,
        subject: Subject,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError> {
        let client = &self.connected()?.client;
        let length = body.len();
        let body = self.traffic.carried(body).await;
        let request = Request::new().payload(body).timeout(Some(time));
        let answer = client.send_request(subject.to_string(), request);
        let answer = answer
            .await
            .map_err(|error| self.unanswered(&error, length, time))?;
        if let Some(error) = no_answer(&answer) {
            return Err(error);
        }
        message(answer).ok_or(MessagingError::Other(
            "the answer has a subject that is none".to_owned(),
        ))
    }

    async fn subscribe(&self, wanted: Wanted) -> Result<Box<dyn Subscription>, MessagingError> {
        let pattern = wanted.pattern.to_string();
        let feed = self.link.subscribe(pattern, wanted.group).await;
        if let Some(live) = self.link.live() {
            // What is published from now on is heard.
            let _ = live.client.flush().await;
        }
        let (waiting, taken) = mpsc::channel(self.traffic.messages.max(1));
        let closed = CancellationToken::new();
        let pump = Pump {
            nats: self.clone(),
            waiting,
            full: Seldom::default(),
        };
        tokio::spawn(pump.run(feed, closed.clone()));
        Ok(Box::new(Taken {
            nats: self.clone(),
            taken,
            wait: wanted.wait,
            closed,
        }))
    }

    fn trouble(&self) -> Option<String> {
        self.link.trouble()
    }

    #[cfg(test)]
    fn redelivers(&self) -> bool {
        false
    }
}

impl Nats {
    fn refused(&self, error: &PublishError, length: usize) -> MessagingError {
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => self.too_large(length),
            PublishErrorKind::InvalidSubject => super::SubjectError::Character.into(),
            PublishErrorKind::Send => MessagingError::Unavailable,
        }
    }

    fn unanswered(&self, error: &RequestError, length: usize, time: Duration) -> MessagingError {
        match error.kind() {
            RequestErrorKind::TimedOut => MessagingError::TimedOut(time),
            RequestErrorKind::NoResponders => MessagingError::NobodyThere,
            RequestErrorKind::InvalidSubject => super::SubjectError::Character.into(),
            RequestErrorKind::MaxPayloadExceeded => self.too_large(length),
            RequestErrorKind::Other => MessagingError::Unavailable,
        }
    }

    fn too_large(&self, length: usize) -> MessagingError {
        MessagingError::TooLarge {
            length: length as u64,
            most: self.link.max_payload() as u64,
        }
    }

    /// Tells whoever asked that there will be no answer, and why.
    async fn tell(&self, reply_to: Option<&Subject>, code: &str, why: &str) {
        let (Some(reply_to), Some(live)) = (reply_to, self.link.live()) else {
            return;
        };
        let mut headers = HeaderMap::new();
        headers.insert(CODE, code);
        headers.insert(ERROR, in_a_line(why));
        let reply_to = reply_to.to_string();
        let _ = live
            .client
            .publish_with_headers(reply_to, headers, Bytes::new())
            .await;
    }

    /// Tells whoever asked that nobody has the time to answer.
    async fn busy(&self, message: &Message) {
        let reply_to = message.reply_to.as_ref();
        self.tell(reply_to, BUSY, NO_TIME).await;
    }
}

/// The first line of a text, as a header may have it.
fn in_a_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.replace(char::is_control, " ")
}

/// What an answer means that only says that there is none. One with a body is an answer, though it may be about a failure.
fn no_answer(answer: &async_nats::Message) -> Option<MessagingError> {
    let header = |name: &'static str| Some(answer.headers.as_ref()?.get(name)?.as_str());
    match header(CODE)? {
        BUSY => Some(MessagingError::Full),
        _ if answer.payload.is_empty() => {
            let why = header(ERROR).filter(|why| !why.is_empty());
            let why = why.unwrap_or("whoever was asked has failed");
            Some(MessagingError::Other(cut(why, PASSED_ON)))
        }
        _ => None,
    }
}

/// One whose subjects are none for this host is dropped.
fn message(from: async_nats::Message) -> Option<Message> {
    Some(Message {
        subject: Subject::published(from.subject.as_str())?,
        body: from.payload,
        reply_to: from.reply.map(|reply| Subject::from_broker(reply.as_str())),
    })
}

/// A message that waits, since when, and the room that it takes.
struct Queued {
    message: Message,
    since: Instant,
    room: OwnedSemaphorePermit,
}

/// Takes messages from the server into a queue with room for so many, so that a slow handler slows nobody else on the connection.
struct Pump {
    nats: Nats,
    waiting: mpsc::Sender<Queued>,
    full: Seldom,
}

impl Pump {
    async fn run(mut self, mut feed: Feed, closed: CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                () = closed.cancelled() => break,
                next = feed.next() => next,
            };
            match next {
                Some(next) => self.take(next).await,
                None => return,
            }
        }
        // What the server has sent until it knows was meant for us; one that is away never knows.
        let rest = async {
            feed.drain().await;
            while let Some(next) = feed.next().await {
                self.take(next).await;
            }
        };
        let _ = tokio::time::timeout(PARTING, rest).await;
    }

    async fn take(&mut self, from: async_nats::Message) {
        // Handlers see no headers: they would take it for an answer.
        if from.payload.is_empty() && no_answer(&from).is_some() {
            return;
        }
        let Some(message) = message(from) else { return };
        let full = match self.nats.traffic.hear(&message.body) {
            Some(room) => {
                let queued = Queued {
                    message,
                    since: Instant::now(),
                    room,
                };
                match self.waiting.try_send(queued) {
                    Ok(()) => return,
                    Err(error) => error.into_inner().message,
                }
            }
            None => message,
        };
        if self.full.is_due() {
            tracing::warn!(subject = %full.subject, "a subscription has no room for a message, which is lost");
        }
        self.nats.busy(&full).await;
    }
}

/// A subscription to a server.
struct Taken {
    nats: Nats,
    taken: mpsc::Receiver<Queued>,
    wait: Duration,
    closed: CancellationToken,
}

#[async_trait]
impl Subscription for Taken {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let queued = self.taken.recv().await?;
            if queued.since.elapsed() <= self.wait {
                let gone = Gone {
                    nats: self.nats.clone(),
                    reply_to: queued.message.reply_to.clone(),
                    _room: queued.room,
                };
                return Some(Delivery {
                    message: queued.message,
                    settle: Box::new(gone),
                });
            }
            let nats = self.nats.clone();
            // Not here: whoever takes messages may stop to wait at any time.
            tokio::spawn(async move { nats.busy(&queued.message).await });
        }
    }

    fn close(&mut self) {
        self.closed.cancel();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// A message that does not come back, whatever comes of it. It takes its room until that is known, and whoever waits for an answer is
/// told if there will be none.
struct Gone {
    nats: Nats,
    reply_to: Option<Subject>,
    _room: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for Gone {
    async fn settle(self: Box<Self>, verdict: Verdict) {
        let (code, why) = match &verdict {
            Verdict::Handled => return,
            Verdict::Later => (BUSY, NO_TIME),
            Verdict::Rejected => (FAILED, REJECTED),
            Verdict::Failed(why) => (FAILED, why.as_str()),
        };
        self.nats.tell(self.reply_to.as_ref(), code, why).await;
    }
}

#[cfg(test)]
mod tests;
