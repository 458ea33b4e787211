//! The way of a component to a broker: checks what it sends, and how much of it is under way. Both dialects send through here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{Broker, Message, MessagingError, Subject, SubjectError};
use crate::capability::in_flight::{Crowded, InFlight};

/// How long a request without a time of its own waits for its answer.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How many bytes of messages the components of a workload may be publishing, and how many of requests wait for their answers.
const PUBLISHED: usize = 64 << 20;
const ASKED: usize = 64 << 20;

/// The turn of a body that was collected from a guest; `None`: it came whole.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

/// What the components of a workload may have under way to brokers, whatever entries they send through. Clones share it.
///
/// Requests have a room of their own: they wait for whoever answers, who publishes.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    published: InFlight,
    asked: InFlight,
}

impl Default for UnderWay {
    fn default() -> Self {
        Self::of(PUBLISHED, ASKED)
    }
}

impl UnderWay {
    /// So many bytes of what is published, and of what is asked.
    fn of(published: usize, asked: usize) -> Self {
        Self {
            published: InFlight::new(published),
            asked: InFlight::new(asked),
        }
    }
}

impl From<Crowded> for MessagingError {
    fn from(_: Crowded) -> Self {
        Self::Full
    }
}

/// Whether a message may be addressed like this. It is asked before the body is waited for, so that no long texts wait with it.
pub(super) fn addressed(subject: &str, reply_to: Option<&str>) -> Result<(), SubjectError> {
    for text in [Some(subject), reply_to].into_iter().flatten() {
        text.parse::<Subject>()?;
    }
    Ok(())
}

/// What a component may send to.
#[derive(Clone)]
pub(super) struct Outlet {
    broker: Arc<dyn Broker>,
    /// How long a message may be, in bytes.
    longest: u64,
    under_way: UnderWay,
}

impl Outlet {
    pub(super) fn new(broker: Arc<dyn Broker>, longest: u64, under_way: UnderWay) -> Self {
        Self {
            broker,
            longest,
            under_way,
        }
    }

    pub(super) fn broker(&self) -> &dyn Broker {
        self.broker.as_ref()
    }

    /// How long a message may be, in bytes.
    pub(super) fn longest(&self) -> u64 {
        self.longest
    }

    /// The turn lasts until the broker has the message: until then its body is here.
    pub(super) async fn publish(
        &self,
        subject: &str,
        body: Bytes,
        reply_to: Option<&str>,
        turn: Turn,
    ) -> Result<(), MessagingError> {
        let message = Message {
            subject: subject.parse()?,
            body: self.checked(body)?,
            reply_to: reply_to.map(str::parse).transpose()?,
        };
        let _room = self.under_way.published.admit(message.body.len()).await?;
        let published = self.broker.publish(message).await;
        drop(turn);
        published
    }

    /// The turn lasts until there is room for the request, and no longer: whoever answers it may need one.
    pub(super) async fn request(
        &self,
        subject: &str,
        body: Bytes,
        time: Duration,
        turn: Turn,
    ) -> Result<Message, MessagingError> {
        let subject: Subject = subject.parse()?;
        let body = self.checked(body)?;
        let asked = async {
            let _room = self.under_way.asked.admit(body.len()).await?;
            drop(turn);
            self.broker.request(subject, body, time).await
        };
        let answered = timeout(time, asked).await;
        answered.unwrap_or(Err(MessagingError::TimedOut(time)))
    }

    fn checked(&self, body: Bytes) -> Result<Bytes, MessagingError> {
        let (length, most) = (body.len() as u64, self.longest);
        if length > most {
            return Err(MessagingError::TooLarge { length, most });
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use async_trait::async_trait;
    use futures::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::super::conformance::{conforms, for_components};
    use super::super::memory::{Bus, Room};
    use super::super::{Subscription, Wanted};
    use super::*;

    /// Passes on as many messages as it is let, and holds the others, as a server does that reads nothing.
    struct Slow(Semaphore);

    impl Slow {
        async fn pass(&self) {
            self.0.acquire().await.unwrap().forget();
        }
    }

    #[async_trait]
    impl Broker for Slow {
        async fn publish(&self, _: Message) -> Result<(), MessagingError> {
            self.pass().await;
            Ok(())
        }

        async fn request(
            &self,
            _: Subject,
            _: Bytes,
            _: Duration,
        ) -> Result<Message, MessagingError> {
            self.pass().await;
            Err(MessagingError::NobodyThere)
        }

        async fn subscribe(&self, _: Wanted) -> Result<Box<dyn Subscription>, MessagingError> {
            Err(MessagingError::Unavailable)
        }

        fn redelivers(&self) -> bool {
            false
        }
    }

    fn slow(room: usize) -> (Arc<Slow>, Outlet) {
        let broker = Arc::new(Slow(Semaphore::new(0)));
        let under_way = UnderWay::of(room, room);
        let outlet = Outlet::new(Arc::clone(&broker) as _, 1 << 20, under_way);
        (broker, outlet)
    }

    fn body() -> Bytes {
        vec![b'x'; 4000].into()
    }

    fn turn(turns: &Arc<Semaphore>) -> Turn {
        Some(Arc::clone(turns).try_acquire_owned().unwrap())
    }

    #[tokio::test]
    async fn a_bus_is_a_broker_for_components() {
        let bus = Bus::new(Room {
            messages: 1000,
            bytes: 16 << 20,
        });
        conforms(&for_components(bus)).await;
    }

    /// Turns ended with the collecting, so bodies without end waited for a server that read nothing.
    #[tokio::test]
    async fn a_turn_lasts_until_the_broker_has_the_message() {
        let (broker, outlet) = slow(1 << 20);
        let turns = Arc::new(Semaphore::new(1));
        let mut publishing = Box::pin(outlet.publish("a", body(), None, turn(&turns)));
        assert!((&mut publishing).now_or_never().is_none());
        assert_eq!(turns.available_permits(), 0);
        broker.0.add_permits(1);
        publishing.await.unwrap();
        assert_eq!(turns.available_permits(), 1);
        // One who gives up has no turn any more.
        let mut publishing = Box::pin(outlet.publish("a", body(), None, turn(&turns)));
        assert!((&mut publishing).now_or_never().is_none());
        drop(publishing);
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_leaves_the_turns_to_who_gives_it() {
        let (_, outlet) = slow(1 << 20);
        let turns = Arc::new(Semaphore::new(1));
        let hour = Duration::from_secs(3600);
        let mut asking = Box::pin(outlet.request("a", body(), hour, turn(&turns)));
        assert!((&mut asking).now_or_never().is_none());
        assert_eq!(turns.available_permits(), 1);
    }

    #[test]
    fn what_waits_for_its_body_has_no_longer_texts_than_it_may() {
        let long = "a".repeat(1025);
        assert_eq!(addressed("a", Some("b")), Ok(()));
        for (subject, reply_to) in [(&*long, None), ("a", Some(&*long)), ("a..b", None)] {
            assert!(addressed(subject, reply_to).is_err(), "{subject}");
        }
    }

    /// In either dialect, and whatever it is that does not pass.
    #[tokio::test]
    async fn no_more_is_under_way_to_a_broker_that_takes_nothing_than_may_be() {
        let (broker, outlet) = slow(10_000);
        let mut waiting = Vec::new();
        let refused = loop {
            let mut publishing = Box::pin(outlet.publish("a", body(), None, None));
            match (&mut publishing).now_or_never() {
                None => waiting.push(publishing),
                Some(done) => break done,
            }
        };
        assert!(matches!(refused, Err(MessagingError::Full)), "{refused:?}");
        assert!((2..10).contains(&waiting.len()), "{}", waiting.len());
        // What is published takes nothing from what is asked.
        let hour = Duration::from_secs(3600);
        let mut asking = Box::pin(outlet.request("a", body(), hour, None));
        assert!((&mut asking).now_or_never().is_none());
        broker.0.add_permits(waiting.len() + 1);
        for publishing in waiting {
            publishing.await.unwrap();
        }
        assert!(matches!(asking.await, Err(MessagingError::NobodyThere)));
    }

    #[tokio::test]
    async fn a_request_that_finds_no_room_fails_in_its_time() {
        let (_, outlet) = slow(10_000);
        let hour = Duration::from_secs(3600);
        let mut before = Vec::new();
        for _ in 0..2 {
            let mut asking = Box::pin(outlet.request("a", body(), hour, None));
            assert!((&mut asking).now_or_never().is_none());
            before.push(asking);
        }
        let time = Duration::from_millis(20);
        let late = outlet.request("a", body(), time, None).await;
        assert!(matches!(late, Err(MessagingError::TimedOut(_))), "{late:?}");
    }
}
