//! The consumers from which messages are pulled: one for each group and pattern, made by whoever comes first.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::stream::{ConsumerErrorKind, Stream};
use sha2::{Digest as _, Sha256};

use super::Shared;
use super::place::Trouble;
use crate::capability::messaging::Wanted;

/// How long a consumer that is for one host only outlives it, so that it misses nothing while the two do not see each other.
const ABSENCE: Duration = Duration::from_secs(300);
/// How much of the name of a group the name of its consumer shows.
const SHOWN: usize = 100;

/// Which consumer.
pub(super) struct Pulls {
    pub(super) name: Arc<str>,
    filter: String,
    ack_wait: Duration,
    /// Whether it is for whoever made it only.
    pub(super) alone: bool,
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
