//! The client of NATS that the host uses, without a host: publishers, and a subscriber that counts.

use std::time::{Duration, Instant};

use async_nats::Client;
use futures::StreamExt as _;
use futures::future::try_join_all;
use tokio::sync::watch;

use super::{Courier, arrived};
use crate::workers::Workers;

/// What its messages are sent to.
const SUBJECT: &str = "bench.native";
/// As long as those of the guests.
const BODY: &[u8] = &[b'm'; 100];

/// A client for those who send and one for who counts, on threads of their own.
pub(super) struct Bare {
    client: Client,
    counted: watch::Receiver<u64>,
    workers: Workers,
}

impl Bare {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        let (workers, url) = (Workers::new()?, url.to_owned());
        let (count, counted) = watch::channel(0);
        let connect = async move {
            // A workload has one connection for both as well.
            let client = async_nats::connect(url).await?;
            let mut subscriber = client.subscribe(SUBJECT).await?;
            client.flush().await?;
            Ok((client, async move {
                while let Some(message) = subscriber.next().await {
                    if message.payload.len() == BODY.len() {
                        count.send_modify(|count| *count += 1);
                    }
                }
            }))
        };
        let (client, counting) = workers.run(connect).await?;
        workers.detach(counting)?;
        Ok(Self {
            client,
            counted,
            workers,
        })
    }
}

impl Courier for Bare {
    async fn bring(&self, senders: u32, each: u32) -> anyhow::Result<Duration> {
        let (client, mut counted) = (self.client.clone(), self.counted.clone());
        let round = async move {
            let until = *counted.borrow() + u64::from(senders) * u64::from(each);
            let begun = Instant::now();
            let senders = (0..senders).map(|_| {
                let client = client.clone();
                let send = async move {
                    for _ in 0..each {
                        client.publish(SUBJECT, BODY.into()).await?;
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
