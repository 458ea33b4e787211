//! The network inside a workload: an echo server and its client, beside the same two programs over the operating system's loopback.

mod bare;

use anyhow::{Context as _, bail};

use crate::guests::{self, Dialect};
use crate::library::network::Inside;
use crate::record::Record;
use crate::say;
use crate::stats::median;
use bare::Loopback;

/// Rounds of each side.
const ROUNDS: usize = 7;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// 64 bytes there and back, so many times.
    PingPong(u32),
    /// So many bytes there, in pieces of 64 KiB.
    Bulk(u64),
}

/// Two programs that can talk. The client takes the time itself.
pub(crate) trait Side {
    /// Has them talk once, and gives the nanoseconds that it took.
    async fn talk(&self, talk: Talk) -> anyhow::Result<u64>;
}

struct Case {
    name: &'static str,
    dialect: Dialect,
    talk: Talk,
}

const PING_PONG: Talk = Talk::PingPong(30_000);
const BULK: Talk = Talk::Bulk(1 << 30);

const CASES: [Case; 4] = [
    Case {
        name: "ping-pong",
        dialect: Dialect::P2,
        talk: PING_PONG,
    },
    Case {
        name: "bulk",
        dialect: Dialect::P2,
        talk: BULK,
    },
    Case {
        name: "ping-pong-p3",
        dialect: Dialect::P3,
        talk: PING_PONG,
    },
    Case {
        name: "bulk-p3",
        dialect: Dialect::P3,
        talk: BULK,
    },
];

/// All cases of this bench. One that fails does not take the figures of the others with it.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for dialect in [Dialect::P2, Dialect::P3] {
        if let Err(error) = measure(dialect, records).await {
            failed.push(format!("{dialect:?}: {error:#}"));
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

async fn measure(dialect: Dialect, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let guests = guests::network(dialect);
    let bare = Loopback::new(&guests).await.context("the baseline")?;
    let ours = Inside::new(&guests).await?;
    for case in CASES.iter().filter(|case| case.dialect == dialect) {
        records.push(case.measure(&ours, &bare).await?);
    }
    Ok(())
}

impl Case {
    /// The figure of either side, in alternating rounds after a first one of each that does not count.
    async fn measure(&self, ours: &impl Side, theirs: &impl Side) -> anyhow::Result<Record> {
        say(&format!("network: {} …", self.name));
        let (mut our_figures, mut their_figures) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (our_time, their_time) =
                (ours.talk(self.talk).await?, theirs.talk(self.talk).await?);
            if round > 0 {
                our_figures.push(self.talk.figure(our_time));
                their_figures.push(self.talk.figure(their_time));
            }
        }
        let ours = median(&our_figures).context("no rounds")?;
        let theirs = median(&their_figures).context("no rounds")?;
        let record = Record::new("network", self.name, ours, self.talk.unit());
        Ok(record.against("os-loopback", theirs))
    }
}

impl Talk {
    /// The function of the client.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::PingPong(_) => "ping-pong",
            Self::Bulk(_) => "bulk",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::PingPong(_) => "µs",
            Self::Bulk(_) => "MiB/s",
        }
    }

    /// The time of a round trip, or the rate.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure needs no more digits than a float has"
    )]
    fn figure(self, nanoseconds: u64) -> f64 {
        let nanoseconds = nanoseconds as f64;
        match self {
            Self::PingPong(rounds) => nanoseconds / 1e3 / f64::from(rounds),
            Self::Bulk(bytes) => bytes as f64 / f64::from(1 << 20) / (nanoseconds / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_microseconds_a_round_and_mebibytes_a_second() {
        assert!((Talk::PingPong(1000).figure(5_000_000) - 5.0).abs() < 1e-9);
        assert!((Talk::Bulk(1 << 30).figure(500_000_000) - 2048.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn both_sides_talk_in_both_dialects() {
        for dialect in [Dialect::P2, Dialect::P3] {
            let guests = guests::network(dialect);
            let (bare, ours) = (Loopback::new(&guests).await, Inside::new(&guests).await);
            let (bare, ours) = (bare.unwrap(), ours.unwrap());
            for talk in [Talk::PingPong(10), Talk::Bulk(100_000)] {
                assert!(bare.talk(talk).await.unwrap() > 0, "{dialect:?}");
                assert!(ours.talk(talk).await.unwrap() > 0, "{dialect:?}");
            }
        }
    }
}
