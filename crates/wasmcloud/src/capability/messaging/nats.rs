//! Messages over NATS as it is without JetStream: whoever listens hears them, and what nobody has handled does not come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::client::{PublishError, PublishErrorKind, RequestError, RequestErrorKind};
use async_nats::{Client, HeaderMap, Request, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::memory::Room;
use super::seldom::Seldom;
use super::{
    Broker, Delivery, Message, MessagingError, Settle, Subject, Subscription, Verdict, Wanted,
};
use crate::capability::nats::is_connected;

/// By these headers, services on NATS say that they have no answer.
const ERROR: &str = "Nats-Service-Error";
const CODE: &str = "Nats-Service-Error-Code";
/// How long a server is waited for that is told of the end of a subscription.
const PARTING: Duration = Duration::from_secs(5);
/// Whoever answers is too busy.
const BUSY: &str = "429";

/// A server, or several. Cheap to clone.
#[derive(Clone)]
pub(super) struct Nats {
    client: Client,
    /// How many messages of each subscription may wait.
    messages: usize,
    /// How many KiB all of them may take.
    room: Arc<Semaphore>,
}

impl Nats {
    pub(super) fn new(client: Client, room: Room) -> Self {
        Self {
            client,
            messages: room.messages,
            room: Arc::new(Semaphore::new((room.bytes / 1024).max(1))),
        }
    }

    fn connected(&self) -> Result<(), MessagingError> {
        match is_connected(&self.client) {
            true => Ok(()),
            false => Err(MessagingError::Unavailable),
        }
    }
}

#[async_trait]
impl Broker for Nats {
    async fn publish(&self, message: Message) -> Result<(), MessagingError> {
        self.connected()?;
        let length = message.body.len();
        let subject = message.subject.to_string();
        let published = match message.reply_to {
            Some(reply_to) => {
                let reply_to = reply_to.to_string();
                self.client
                    .publish_with_reply(subject, reply_to, message.body)
                    .await
            }
            None => self.client.publish(subject, message.body).await,
        };
        published.map_err(|error| self.refused(&error, length))
    }

    async fn request(
        &self,
        subject: Subject,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError> {
        self.connected()?;
        let length = body.len();
        let request = Request::new().payload(body).timeout(Some(time));
        let answer = self.client.send_request(subject.to_string(), request);
        let answer = answer
            .await
            .map_err(|error| self.unanswered(&error, length, time))?;
        let code = answer.headers.as_ref().and_then(|it| it.get(CODE));
        match code.map(|code| code.as_str()) {
            Some(BUSY) => Err(MessagingError::Full),
            _ => message(answer).ok_or(MessagingError::Other(
                "the answer has a subject that is none".to_owned(),
            )),
        }
    }

    async fn subscribe(&self, wanted: Wanted) -> Result<Box<dyn Subscription>, MessagingError> {
        let pattern = wanted.pattern.to_string();
        let subscriber = match wanted.group {
            Some(group) => self.client.queue_subscribe(pattern, group).await,
            None => self.client.subscribe(pattern).await,
        };
        let subscriber =
            subscriber.map_err(|error| MessagingError::Other(format!("NATS: {error}")))?;
        if is_connected(&self.client) {
            // What is published from now on is heard.
            let _ = self.client.flush().await;
        }
        let (waiting, taken) = mpsc::channel(self.messages.max(1));
        let closed = CancellationToken::new();
        let pump = Pump {
            nats: self.clone(),
            waiting,
            full: Seldom::default(),
        };
        tokio::spawn(pump.run(subscriber, closed.clone()));
        Ok(Box::new(Taken {
            nats: self.clone(),
            taken,
            wait: wanted.wait,
            closed,
        }))
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
            most: self.client.max_payload() as u64,
        }
    }

    /// Tells whoever asked that nobody has the time to answer.
    async fn busy(&self, message: &Message) {
        let Some(reply_to) = &message.reply_to else {
            return;
        };
        let mut headers = HeaderMap::new();
        headers.insert(CODE, BUSY);
        headers.insert(ERROR, "too many messages are waiting already");
        let reply_to = reply_to.to_string();
        let _ = self
            .client
            .publish_with_headers(reply_to, headers, Bytes::new())
            .await;
    }
}

/// One whose subjects are none for this host is dropped.
fn message(from: async_nats::Message) -> Option<Message> {
    Some(Message {
        subject: from.subject.as_str().parse().ok()?,
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
    async fn run(mut self, mut subscriber: Subscriber, closed: CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                () = closed.cancelled() => break,
                next = subscriber.next() => next,
            };
            match next {
                Some(next) => self.take(next).await,
                None => return,
            }
        }
        // What the server has sent until it knows was meant for us; one that is away never knows.
        let rest = async {
            let _ = subscriber.drain().await;
            while let Some(next) = subscriber.next().await {
                self.take(next).await;
            }
        };
        let _ = tokio::time::timeout(PARTING, rest).await;
    }

    async fn take(&mut self, from: async_nats::Message) {
        let Some(message) = message(from) else { return };
        let size = message.body.len().div_ceil(1024).max(1);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.nats.room).try_acquire_many_owned(size);
        let full = match room {
            Ok(room) => {
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
            Err(_) => message,
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
                return Some(Delivery {
                    message: queued.message,
                    settle: Box::new(Gone { _room: queued.room }),
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

/// Nobody wants to know what came of a message; it takes its room until then.
struct Gone {
    _room: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for Gone {
    async fn settle(self: Box<Self>, _: Verdict) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::conformance;
    use super::*;
    use crate::capability::dial::{Dial, NamedBy};
    use crate::capability::nats::connect;
    use crate::capability::resolve::SystemResolver;
    use crate::policy::EgressPolicy;

    const PATIENCE: Duration = Duration::from_secs(30);
    const ROOM: Room = Room {
        messages: 1000,
        bytes: 16 << 20,
    };

    async fn nats(server: &test_servers::Nats, room: Room) -> Nats {
        let dial = Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()));
        let url = server.url().parse().unwrap();
        let client = connect(&dial, &url, NamedBy::Host, "a test").await.unwrap();
        Nats::new(client, room)
    }

    fn wanted(pattern: &str) -> Wanted {
        Wanted {
            pattern: pattern.parse().unwrap(),
            group: Some("g".to_owned()),
            wait: PATIENCE,
            redelivery: super::super::Redelivery::default(),
        }
    }

    fn about(subject: &str) -> Message {
        Message {
            subject: subject.parse().unwrap(),
            body: "x".into(),
            reply_to: None,
        }
    }

    #[tokio::test]
    async fn nats_is_a_broker() {
        let server = test_servers::Nats::launch();
        conformance::conforms(&nats(&server, ROOM).await).await;
    }

    /// What is sent while the server is away is an error, and nobody has to do anything when it is back.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_was_killed_is_found_again() {
        let mut server = test_servers::Nats::launch();
        let nats = nats(&server, ROOM).await;
        let mut all = nats.subscribe(wanted("a")).await.unwrap();
        nats.publish(about("a")).await.unwrap();
        all.next().await.unwrap();
        server.stop();
        let away = async {
            while !matches!(
                nats.publish(about("a")).await,
                Err(MessagingError::Unavailable)
            ) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, away).await.unwrap();
        let asked = nats.request("a".parse().unwrap(), "x".into(), PATIENCE);
        assert!(matches!(asked.await, Err(MessagingError::Unavailable)));
        server.start();
        let back = async {
            while nats.publish(about("a")).await.is_err() {
                tokio::task::yield_now().await;
            }
            all.next().await.unwrap();
        };
        tokio::time::timeout(PATIENCE, back).await.unwrap();
    }

    /// Whoever asks is told that there is no room, instead of waiting for nothing.
    #[tokio::test]
    async fn who_is_too_busy_says_so() {
        let server = test_servers::Nats::launch();
        let room = Room {
            messages: 1,
            bytes: 16 << 20,
        };
        let (asker, busy) = (nats(&server, ROOM).await, nats(&server, room).await);
        let _idle = busy.subscribe(wanted("a")).await.unwrap();
        let asked = async {
            loop {
                let time = Duration::from_millis(200);
                let asked = asker.request("a".parse().unwrap(), "x".into(), time).await;
                if matches!(asked, Err(MessagingError::Full)) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap();
    }

    /// What it has taken when it closes is still handled: the server gives it to nobody else.
    #[tokio::test]
    async fn closing_gives_what_was_taken() {
        let server = test_servers::Nats::launch();
        let nats = nats(&server, ROOM).await;
        let mut all = nats.subscribe(wanted("a")).await.unwrap();
        for _ in 0..10 {
            nats.publish(about("a")).await.unwrap();
        }
        // All ten have arrived when the first has come back from the server.
        all.next().await.unwrap();
        let mut last = nats.subscribe(wanted("b")).await.unwrap();
        nats.publish(about("b")).await.unwrap();
        last.next().await.unwrap();
        all.close();
        let mut taken = 1;
        while all.next().await.is_some() {
            taken += 1;
        }
        assert_eq!(taken, 10);
    }
}
