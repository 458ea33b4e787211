//! The way of a component to a broker: checks what it sends. Both dialects send through here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Broker, Message, MessagingError, Subject};

/// How long a request without a time of its own waits for its answer.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(10);

/// What a component may send to.
#[derive(Clone)]
pub(super) struct Outlet {
    broker: Arc<dyn Broker>,
    /// How long a message may be, in bytes.
    longest: u64,
}

impl Outlet {
    pub(super) fn new(broker: Arc<dyn Broker>, longest: u64) -> Self {
        Self { broker, longest }
    }

    pub(super) fn broker(&self) -> &dyn Broker {
        self.broker.as_ref()
    }

    /// How long a message may be, in bytes.
    pub(super) fn longest(&self) -> u64 {
        self.longest
    }

    pub(super) async fn publish(
        &self,
        subject: &str,
        body: Bytes,
        reply_to: Option<&str>,
    ) -> Result<(), MessagingError> {
        let message = Message {
            subject: subject.parse()?,
            body: self.checked(body)?,
            reply_to: reply_to.map(str::parse).transpose()?,
        };
        self.broker.publish(message).await
    }

    pub(super) async fn request(
        &self,
        subject: &str,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError> {
        let subject: Subject = subject.parse()?;
        self.broker
            .request(subject, self.checked(body)?, time)
            .await
    }

    fn checked(&self, body: Bytes) -> Result<Bytes, MessagingError> {
        let (length, most) = (body.len() as u64, self.longest);
        if length > most {
            return Err(MessagingError::TooLarge { length, most });
        }
        Ok(body)
    }
}
