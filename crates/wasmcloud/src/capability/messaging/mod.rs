//! `wasmcloud:messaging` 0.2 and 0.3: components send messages, and handle those that they have subscribed to.
//!
//! This is the port: what a broker is, whatever it is made of. Backends know neither WIT nor Wasmtime; the dialects know no backend.

mod brokers;
mod deliver;
mod handling;
#[cfg(feature = "messaging-nats")]
mod jetstream;
mod memory;
#[cfg(feature = "messaging-nats")]
mod nats;
mod outlet;
mod p2;
mod p3;
mod plugin;
mod reason;
mod seldom;
mod settings;
#[cfg(feature = "messaging-nats")]
mod shared_server;
mod subject;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use plugin::{Messaging, MessagingOptions};
pub(crate) use subject::{Pattern, Subject, SubjectError};

/// A message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// What it is about.
    pub(crate) subject: Subject,
    /// What it says.
    pub(crate) body: Bytes,
    /// Where an answer is awaited, if one is.
    pub(crate) reply_to: Option<Subject>,
}

/// What it says may be secret.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subject", &self.subject)
            .field("length", &self.body.len())
            .field("reply_to", &self.reply_to)
            .finish()
    }
}

/// Why a message was not sent, or not answered.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    not(feature = "messaging-nats"),
    allow(dead_code, reason = "the bus within the host is always there")
)]
pub(crate) enum MessagingError {
    /// It is no subject that can be sent to.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// No answer came in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The broker cannot be reached at the moment.
    #[error("the broker cannot be reached")]
    Unavailable,
    /// The body is longer than it may be.
    #[error("the message has {length} bytes, and may have {most}")]
    TooLarge { length: u64, most: u64 },
    /// Too much is waiting already.
    #[error("too many messages are waiting already")]
    Full,
    /// Nobody listens where an answer was wanted.
    #[error("nobody answers requests to this subject")]
    NobodyThere,
    /// Whoever was asked came to no answer.
    #[error("{0}")]
    Other(String),
}

/// What a subscription wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Which subjects.
    pub(crate) pattern: Pattern,
    /// With whom it shares the messages: of those that name the same group, one gets each. `None`: it gets all of them.
    pub(crate) group: Option<String>,
    /// How long a message waits for somebody to take it before it is given up.
    pub(crate) wait: Duration,
    /// What becomes of messages that are not handled.
    pub(crate) redelivery: Redelivery,
}

/// What becomes of messages that are not handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redelivery {
    /// How often a message is delivered at most.
    pub(crate) most: u32,
    /// How long until it comes back for the first time; twice as long each time after that.
    pub(crate) backoff: Duration,
    /// Where it is sent when it has come back for the last time or was rejected.
    pub(crate) dead_letter: Option<Subject>,
}

/// How long a message stays away at least, and at most. One that came back in no time, as often as there is no room to handle it, would
/// keep a processor busy.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

impl Default for Redelivery {
    fn default() -> Self {
        Self {
            most: 5,
            backoff: Duration::from_secs(1),
            dead_letter: None,
        }
    }
}

impl Redelivery {
    /// How long a message stays away that was delivered so often. `None`: it does not come back.
    pub(crate) fn after(&self, deliveries: u32) -> Option<Duration> {
        (deliveries < self.most).then(|| self.pause(deliveries))
    }

    /// How long a message stays away that was delivered so often, if it comes back.
    pub(crate) fn pause(&self, deliveries: u32) -> Duration {
        let first = self.backoff.max(SHORTEST_BACKOFF);
        let doublings = deliveries.saturating_sub(1).min(31);
        let pause = first.saturating_mul(1 << doublings);
        pause.min(LONGEST_BACKOFF.max(first))
    }
}

/// Why a message is given up that is [`Verdict::Rejected`].
const REJECTED: &str = "the handler has rejected it";

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The message was handled.
    Handled,
    /// It was not, which may pass.
    Failed(String),
    /// It never will be.
    Rejected,
    /// Nobody could look at it. It comes back, and this does not count.
    Later,
}

/// A message for a subscription. Dropped without a verdict, it goes to another of the group, or comes back.
pub(crate) struct Delivery {
    /// What is to be handled.
    pub(crate) message: Message,
    /// How the broker is told what came of it.
    pub(crate) settle: Box<dyn Settle>,
}

/// Tells a broker what came of a delivery.
#[async_trait]
pub(crate) trait Settle: Send + Sync {
    async fn settle(self: Box<Self>, verdict: Verdict);
}

/// A subscription. Dropping it ends it; what was delivered can still be settled.
#[async_trait]
pub(crate) trait Subscription: Send + Sync {
    /// The next message; `None` when there will be no more. A message that it has given is not lost when the future is dropped.
    async fn next(&mut self) -> Option<Delivery>;

    /// Says how many messages could be handled now, so that a broker that is asked for them is asked for no more.
    fn expect(&mut self, free: usize) {
        let _ = free;
    }

    /// Takes nothing more from the broker. What it has taken already is still given, where nobody else would get it.
    fn close(&mut self);
}

/// What passes messages on.
///
/// - M1 Who subscribes to a pattern gets every message that is published from then on to a subject which it matches.
/// - M2 Of the subscriptions of one group and pattern, exactly one gets each message; without a group, each gets it.
/// - M3 Messages to nobody are gone, which is no error; a request that nobody hears is one ([`MessagingError::NobodyThere`]).
/// - M4 A request is answered by the first message to its `reply_to`, or fails when its time is over. It fails before that when all
///   who heard it have given it up; where the broker does not know who they are, when one of them has.
/// - M5 A subscriber that takes nothing keeps nobody from taking theirs. What waits for it is bounded; what finds no room is lost to it,
///   and the publisher is told ([`MessagingError::Full`]) where the broker knows.
/// - M6 Bodies arrive as they were sent.
///
/// Brokers that bring messages back ([`Broker::redelivers`]):
/// - M7 A message that failed comes back after a pause that doubles, until it was delivered as often as it may be.
/// - M8 One that was rejected, or came back for the last time, goes to the dead-letter subject, if there is one, once. A dead letter that
///   fails again makes no other.
/// - M9 One that nobody has settled goes to another of its group.
#[async_trait]
pub(crate) trait Broker: Send + Sync + 'static {
    async fn publish(&self, message: Message) -> Result<(), MessagingError>;

    async fn request(
        &self,
        subject: Subject,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError>;

    async fn subscribe(&self, wanted: Wanted) -> Result<Box<dyn Subscription>, MessagingError>;

    /// Why it passes nothing on now, for whoever runs the workload.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Whether messages that are not handled come back.
    #[cfg(test)]
    fn redelivers(&self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_and_has_an_end() {
        let redelivery = Redelivery {
            most: 20,
            ..Redelivery::default()
        };
        let after = |deliveries| redelivery.after(deliveries).map(|it| it.as_secs());
        assert_eq!([after(1), after(2), after(3)], [Some(1), Some(2), Some(4)]);
        assert_eq!(
            [after(19), after(20), after(u32::MAX)],
            [Some(300), None, None]
        );
    }

    #[test]
    fn there_is_always_a_pause() {
        let redelivery = Redelivery {
            backoff: Duration::ZERO,
            ..Redelivery::default()
        };
        let pause = |deliveries| redelivery.pause(deliveries).as_millis();
        assert_eq!([pause(1), pause(2), pause(3)], [10, 20, 40]);
        assert_eq!(redelivery.pause(u32::MAX), LONGEST_BACKOFF);
    }
}
