//! Messages: from guests that send to guests that handle, beside the bare client of NATS.

mod jetstream;
mod nats;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use self::jetstream::Stored;
use self::nats::Bare;
use super::{Only, servers};
use crate::call::all_went_well;
use crate::guests::{self, Dialect};
use crate::library::capabilities::{Driven, Setup};
use crate::record::Record;
use crate::say;
use crate::stats::median;
use crate::workers::Workers;

/// Rounds of each side.
const ROUNDS: usize = 5;
/// Who sends at once, and how many messages each of them, until all have arrived: whoever handles them may be slower, and what waits
/// would be more and more.
const SENDERS: u32 = 32;
const EACH: u32 = 100;
/// How often they do so in a round.
const WAVES: u32 = 7;
/// How long all of them may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);
/// What they are sent to.
const SUBJECT: &str = "bench.work";

/// What becomes of an instance that has handled a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instances {
    Fresh,
    Pooled,
}

impl Instances {
    fn fields(self) -> Value {
        match self {
            Self::Fresh => json!({}),
            // As many as messages are handled at once, and as many that send.
            Self::Pooled => json!({ "poolSize": 64, "maxConcurrency": 1 }),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Fresh => "",
            Self::Pooled => "-pooled",
        }
    }
}

/// All cases of each backend: another one is a line in here, and its native client.
pub(super) async fn run(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    if !only.has("messages-") {
        return Ok(());
    }
    let server = servers::nats().await?;
    let core = Bare::connect(&server.url).await?;
    let stored = Stored::connect(&server.url).await?;
    let nats = json!({ "backend": "nats", "url": server.url });
    let jetstream = json!({ "backend": "jetstream", "url": server.url });
    let parts = [
        (
            "memory",
            all("memory", &json!({}), &core, "nats-native", records, only).await,
        ),
        (
            "nats",
            all("nats", &nats, &core, "native", records, only).await,
        ),
        (
            "jetstream",
            all("jetstream", &jetstream, &stored, "native", records, only).await,
        ),
    ];
    all_went_well(parts)
}

async fn all(
    backend: &str,
    config: &Value,
    theirs: &impl Courier,
    baseline: &'static str,
    records: &mut Vec<Record>,
    only: Only<'_>,
) -> anyhow::Result<()> {
    for dialect in Dialect::ALL {
        for instances in [Instances::Fresh, Instances::Pooled] {
            let (kind, version) = (instances.suffix(), dialect.suffix());
            let name = format!("messages-{backend}{kind}{version}");
            if only.is(&name) {
                let ours = Pair::new(config, dialect, instances).await?;
                records.push(compare(name, &ours, theirs, baseline).await?);
            }
        }
    }
    Ok(())
}

/// Somebody who brings messages.
trait Courier {
    /// How long it takes until all have arrived that so many senders have sent at once.
    async fn bring(&self, senders: u32, each: u32) -> anyhow::Result<Duration>;
}

/// Alternating rounds after a first one of each that does not count.
async fn compare(
    name: String,
    ours: &impl Courier,
    theirs: &impl Courier,
    baseline: &'static str,
) -> anyhow::Result<Record> {
    say(&format!("capabilities: {name} …"));
    let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (our_rate, their_rate) = (rate(ours).await?, rate(theirs).await?);
        if round > 0 {
            our_rates.push(our_rate);
            their_rates.push(their_rate);
        }
    }
    let ours = median(&our_rates).context("no rounds")?;
    let theirs = median(&their_rates).context("no rounds")?;
    let record = Record::new("capabilities", name, ours, "messages/s");
    Ok(record.against(baseline, theirs))
}

/// Messages a second, over a round.
async fn rate(courier: &impl Courier) -> anyhow::Result<f64> {
    let mut time = Duration::ZERO;
    for _ in 0..WAVES {
        time += courier.bring(SENDERS, EACH).await?;
    }
    Ok(f64::from(WAVES * SENDERS * EACH) / time.as_secs_f64())
}

/// Waits until as many more have arrived as were sent.
async fn arrived(count: &mut watch::Receiver<u64>, until: u64) -> anyhow::Result<()> {
    let enough = count.wait_for(|count| *count >= until);
    let arrived = tokio::time::timeout(PATIENCE, enough).await;
    let arrived = arrived.map(|arrived| arrived.map(|count| *count));
    let there = match arrived {
        Ok(there) => there.context("nobody counts any more")?,
        Err(_) => *count.borrow(),
    };
    ensure!(
        there >= until,
        "{} messages are missing after {PATIENCE:?}",
        until - there
    );
    ensure!(there == until, "{} messages came twice", there - until);
    Ok(())
}

/// A workload that sends to itself.
struct Pair {
    driven: Driven,
    workers: Workers,
}

impl Pair {
    async fn new(backend: &Value, dialect: Dialect, instances: Instances) -> anyhow::Result<Self> {
        let drive = match dialect {
            Dialect::P2 => "messages",
            Dialect::P3 => "messages-async",
        };
        let mut config = backend.clone();
        if let Some(config) = config.as_object_mut() {
            config.insert("subscriptions".to_owned(), json!(SUBJECT));
        }
        let setup = Setup {
            guest: guests::messages(dialect),
            interfaces: vec![drive, "tally"],
            fields: instances.fields(),
            grant: json!({
                "namespace": "wasmcloud",
                "package": "messaging",
                "interfaces": ["types", "consumer", "handler"],
                "config": config,
            }),
            folder: servers::folder()?,
        };
        let workers = Workers::new()?;
        let driven = workers.run(Driven::start(setup)).await?;
        Ok(Self { driven, workers })
    }
}

impl Courier for Pair {
    async fn bring(&self, senders: u32, each: u32) -> anyhow::Result<Duration> {
        let driven = self.driven.clone();
        let round = async move {
            let mut handled = driven.handled();
            let until = *handled.borrow() + u64::from(senders) * u64::from(each);
            let begun = Instant::now();
            let senders = (0..senders).map(|_| {
                let driven = driven.clone();
                let send = async move {
                    let params = (SUBJECT.to_owned(), each);
                    driven.call::<_, ()>("publish", params).await
                };
                async { tokio::spawn(send).await? }
            });
            try_join_all(senders).await?;
            arrived(&mut handled, until).await?;
            Ok(begun.elapsed())
        };
        self.workers.run(round).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn brings(courier: &impl Courier) {
        for _ in 0..2 {
            assert!(courier.bring(3, 10).await.unwrap() > Duration::ZERO);
        }
    }

    #[tokio::test]
    async fn messages_arrive_in_both_dialects() {
        let server = servers::nats().await.unwrap();
        let nats = json!({ "backend": "nats", "url": server.url });
        let jetstream = json!({ "backend": "jetstream", "url": server.url });
        for config in [json!({}), nats, jetstream] {
            for dialect in Dialect::ALL {
                for instances in [Instances::Fresh, Instances::Pooled] {
                    brings(&Pair::new(&config, dialect, instances).await.unwrap()).await;
                }
            }
        }
    }

    #[tokio::test]
    async fn messages_arrive_through_bare_clients() {
        let server = servers::nats().await.unwrap();
        brings(&Bare::connect(&server.url).await.unwrap()).await;
        brings(&Stored::connect(&server.url).await.unwrap()).await;
    }
}
