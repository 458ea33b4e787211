//! A server whose subjects are the same for all who use it: nothing goes from a workload to what hosts say to each other, or to what
//! other workloads are asked.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Broker, Message, MessagingError, Subject, Subscription, Wanted};

/// A broker on such a server. What it is subscribed to is checked with the settings.
pub(super) struct OnSharedServer<B>(pub(super) B);

#[async_trait]
impl<B: Broker> Broker for OnSharedServer<B> {
    async fn publish(&self, message: Message) -> Result<(), MessagingError> {
        message.subject.may_be_sent_to()?;
        if let Some(reply_to) = &message.reply_to {
            reply_to.may_be_sent_to()?;
        }
        self.0.publish(message).await
    }

    async fn request(
        &self,
        subject: Subject,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError> {
        subject.may_be_sent_to()?;
        self.0.request(subject, body, time).await
    }

    async fn subscribe(&self, wanted: Wanted) -> Result<Box<dyn Subscription>, MessagingError> {
        self.0.subscribe(wanted).await
    }

    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    #[cfg(test)]
    fn redelivers(&self) -> bool {
        self.0.redelivers()
    }
}
