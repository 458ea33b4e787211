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
use super::seldom::Seldom;
use super::{
    Broker, Delivery, Message, MessagingError, Settle, Subject, Subscription, Verdict, Wanted,
};
use crate::capability::in_flight::{InFlight, Permit};
use crate::capability::nats::{Feed, Link, Live};

/// By these headers, services on NATS say that they have no answer.
const ERROR: &str = "Nats-Service-Error";
const CODE: &str = "Nats-Service-Error-Code";
/// How long a server is waited for that is told of the end of a subscription.
const PARTING: Duration = Duration::from_secs(5);
/// Whoever answers is too busy.
const BUSY: &str = "429";
/// How many bytes of a workload may wait in clients until the servers read them.
const UNSENT: usize = 16 << 20;

/// What the messages of one workload may take in the host, whichever servers they come from and go to. Clones share it.
#[derive(Clone)]
pub(super) struct Traffic {
    /// How many messages of each subscription may wait.
    pub(super) messages: usize,
    /// How many KiB all of them may take.
    heard: Arc<Semaphore>,
    unsent: InFlight,
}

impl Traffic {
    pub(super) fn of(room: Room) -> Self {
        Self {
            messages: room.messages,
            heard: Arc::new(Semaphore::new((room.bytes / 1024).max(1))),
            unsent: InFlight::new(UNSENT),
        }
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

    /// Tells whoever asked that nobody has the time to answer.
    async fn busy(&self, message: &Message) {
        let (Some(reply_to), Some(live)) = (&message.reply_to, self.link.live()) else {
            return;
        };
        let mut headers = HeaderMap::new();
        headers.insert(CODE, BUSY);
        headers.insert(ERROR, "too many messages are waiting already");
        let reply_to = reply_to.to_string();
        let _ = live
            .client
            .publish_with_headers(reply_to, headers, Bytes::new())
            .await;
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
        let Some(message) = message(from) else { return };
        let size = message.body.len().div_ceil(1024).max(1);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.nats.traffic.heard).try_acquire_many_owned(size);
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
    use futures::FutureExt as _;
    use test_servers::{Proxy, Way};

    use super::super::conformance;
    use super::*;
    use crate::net::dial::{Dial, NamedBy};
    use crate::net::resolve::SystemResolver;
    use crate::policy::EgressPolicy;

    const PATIENCE: Duration = Duration::from_secs(30);
    const ROOM: Room = Room {
        messages: 1000,
        bytes: 16 << 20,
    };

    async fn nats(server: &test_servers::Nats, room: Room) -> Nats {
        nats_at(server.port(), room).await
    }

    async fn nats_at(port: u16, room: Room) -> Nats {
        let dial = Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()));
        let url = format!("nats://127.0.0.1:{port}").parse().unwrap();
        let link = Link::open(&dial, &url, NamedBy::Host, "a test", PATIENCE).await;
        Nats::new(link.unwrap(), Traffic::of(room))
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

    /// A client takes 2048 messages for a server that reads none, of 1 MiB each.
    #[test]
    fn a_body_takes_its_room_until_the_client_has_let_go_of_it() {
        let traffic = Traffic {
            unsent: InFlight::new(10_000),
            ..Traffic::of(ROOM)
        };
        let body = || Bytes::from(vec![b'x'; 8000]);
        let first = traffic.carried(body()).now_or_never().unwrap();
        let (head, whole) = (first.slice(..10), first.clone());
        let mut second = Box::pin(traffic.carried(body()));
        for part in [head, whole, first] {
            assert!((&mut second).now_or_never().is_none());
            drop(part);
        }
        assert_eq!(second.now_or_never().unwrap(), body());
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

    /// Nothing passes and nobody is told: a request fails in time, and all goes on when the way is open.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_way_that_is_held_is_an_error_in_time_and_passes() {
        let server = test_servers::Nats::launch();
        let proxy = Proxy::to(server.port());
        let (inside, outside) = (nats_at(proxy.port(), ROOM).await, nats(&server, ROOM).await);
        let mut heard = inside.subscribe(wanted("a")).await.unwrap();
        outside.publish(about("a")).await.unwrap();
        heard.next().await.unwrap();
        let _answers = outside.subscribe(wanted("b")).await.unwrap();
        proxy.set(Way::Held);
        let time = Duration::from_millis(100);
        let asked = inside.request("b".parse().unwrap(), "x".into(), time);
        let asked = tokio::time::timeout(PATIENCE, asked).await.unwrap();
        assert!(
            matches!(asked, Err(MessagingError::TimedOut(_))),
            "{asked:?}"
        );
        outside.publish(about("a")).await.unwrap();
        outside.connected().unwrap().client.flush().await.unwrap();
        proxy.set(Way::Open);
        // What the server has sent meanwhile was only late.
        let late = tokio::time::timeout(PATIENCE, heard.next()).await;
        assert!(late.unwrap().is_some());
    }

    /// What takes long arrives all the same, whole and in order.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_slow_way_only_takes_longer() {
        let server = test_servers::Nats::launch();
        let proxy = Proxy::to(server.port());
        proxy.set(Way::Slow(Duration::from_millis(2)));
        let (inside, outside) = (nats_at(proxy.port(), ROOM).await, nats(&server, ROOM).await);
        let mut heard = outside.subscribe(wanted("a")).await.unwrap();
        for number in 0..10_u8 {
            let message = Message {
                body: vec![number; 3000].into(),
                ..about("a")
            };
            inside.publish(message).await.unwrap();
        }
        for number in 0..10_u8 {
            let next = tokio::time::timeout(PATIENCE, heard.next()).await.unwrap();
            assert!(next.unwrap().message.body == vec![number; 3000]);
        }
    }

    /// Connections that break are made again, with what was subscribed to.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_way_that_is_cut_is_found_again() {
        let server = test_servers::Nats::launch();
        let proxy = Proxy::to(server.port());
        let nats = nats_at(proxy.port(), ROOM).await;
        let mut heard = nats.subscribe(wanted("a")).await.unwrap();
        for _ in 0..3 {
            proxy.set(Way::Cut);
            let away = async {
                while nats.trouble().is_none() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, away).await.unwrap();
            proxy.set(Way::Open);
            let back = async {
                while nats.publish(about("a")).await.is_err() {
                    tokio::task::yield_now().await;
                }
                heard.next().await.unwrap();
            };
            tokio::time::timeout(PATIENCE, back).await.unwrap();
            assert_eq!(nats.trouble(), None);
        }
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
