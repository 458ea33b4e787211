//! The client of NATS that the host uses, with a stream of JetStream of its own: publishers that wait until the server has each
//! message, and a consumer that says of each that it came.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use async_nats::jetstream::{self, Context, stream};
use futures::StreamExt as _;
use futures::future::try_join_all;
use tokio::sync::watch;

use super::{Courier, arrived};
use crate::workers::Workers;

/// What its messages are sent to.
const SUBJECT: &str = "native.work";
/// As long as those of the guests.
const BODY: &[u8] = &[b'm'; 100];

/// A stream, on threads of its own.
pub(super) struct Stored {
    context: Context,
    counted: watch::Receiver<u64>,
    workers: Workers,
}

impl Stored {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        let (workers, url) = (Workers::new()?, url.to_owned());
        let (count, counted) = watch::channel(0);
        let connect = async move {
            // A workload has one connection for both as well.
            let context = jetstream::new(async_nats::connect(url).await?);
            let config = stream::Config {
                name: "native".to_owned(),
                subjects: vec![SUBJECT.to_owned()],
                ..stream::Config::default()
            };
            let stream = context.create_stream(config).await?;
            let config = Pull {
                durable_name: Some("native".to_owned()),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: 1 << 20,
                ..Pull::default()
            };
            let mut messages = stream.create_consumer(config).await?.messages().await?;
            Ok((context, async move {
                while let Some(Ok(message)) = messages.next().await {
                    if message.payload.len() == BODY.len() && message.ack().await.is_ok() {
                        count.send_modify(|count| *count += 1);
                    }
                }
            }))
        };
        let (context, counting) = workers.run(connect).await?;
        workers.detach(counting)?;
        Ok(Self {
            context,
            counted,
            workers,
        })
    }
}

impl Courier for Stored {
    async fn bring(&self, senders: u32, each: u32) -> anyhow::Result<Duration> {
        let (context, mut counted) = (self.context.clone(), self.counted.clone());
        let round = async move {
            let until = *counted.borrow() + u64::from(senders) * u64::from(each);
            let begun = Instant::now();
            let senders = (0..senders).map(|_| {
                let context = context.clone();
                let send = async move {
                    for _ in 0..each {
                        context.publish(SUBJECT, BODY.into()).await?.await?;
                    }
                    anyhow::Ok(())
                };
                async { tokio::spawn(send).await? }
            });
            try_join_all(senders).await?;
            arrived(&mut counted, until).await?;
            Ok(begun.elapsed())
        };
        self.workers.run(round).await
    }
}
