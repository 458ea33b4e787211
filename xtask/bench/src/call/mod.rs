//! What a call from one component to another costs: through a fused workload and through isolated links, beside bare Wasmtime
//! with the same settings.

mod bare;

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::guests::{self, Guests};
use crate::manifest::Link;
use crate::record::Record;
use crate::stats::median;
use crate::{library, say};
pub(crate) use bare::{Calls, Composed, Instances};

/// Rounds of each side.
const ROUNDS: usize = 9;

/// The least part of the calls that must find a warm instance for a case to be one of pooled instances.
const LEAST_HITS: f64 = 0.9;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `add(u32, u32)`.
    Add,
    /// `greet(string) -> string`.
    Greet,
}

/// Something that makes calls.
pub(crate) trait Caller {
    /// Makes `n` calls. Where they compute something, returns the sum of the results, or of their lengths.
    async fn run(&mut self, kind: Kind, n: u32) -> anyhow::Result<Option<u32>>;
}

/// Calls that are measured.
pub(crate) struct Case {
    /// The group that it belongs to.
    pub(crate) bench: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// How many a round times.
    pub(crate) calls: u32,
    pub(crate) unit: Unit,
}

/// What the time of a call is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
}

const FUSED: [Case; 2] = [
    Case {
        bench: "call",
        name: "fused-u32",
        kind: Kind::Add,
        calls: 20_000_000,
        unit: Unit::Nanoseconds,
    },
    Case {
        bench: "call",
        name: "fused-string",
        kind: Kind::Greet,
        calls: 2_000_000,
        unit: Unit::Nanoseconds,
    },
];

const POOLED: Case = Case {
    bench: "call",
    name: "isolated-pooled",
    kind: Kind::Add,
    calls: 100_000,
    unit: Unit::Microseconds,
};

const FRESH: Case = Case {
    bench: "call",
    name: "isolated-fresh",
    kind: Kind::Add,
    calls: 10_000,
    unit: Unit::Microseconds,
};

/// All cases of this bench. A part that fails does not take the figures of the others with it.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let guests = guests::calc();
    let parts = [
        ("fused", fused(&guests, records).await),
        (POOLED.name, pooled(&guests, records).await),
        (FRESH.name, fresh(&guests, records).await),
    ];
    all_went_well(parts)
}

/// An error that names each part that failed.
pub(crate) fn all_went_well<const N: usize>(
    parts: [(&str, anyhow::Result<()>); N],
) -> anyhow::Result<()> {
    let failed = parts.into_iter();
    let failed = failed.filter_map(|(name, part)| Some(format!("{name}: {:#}", part.err()?)));
    let failed: Vec<String> = failed.collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

async fn fused(guests: &Guests, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let bare = Composed::new(&library::engine_config(), guests).await;
    let mut bare = bare.context("the baseline")?;
    let mut ours = library::caller(guests, Link::Fused).await?;
    for case in FUSED {
        records.push(case.measure(&mut ours, &mut bare).await?);
    }
    Ok(())
}

/// Beside calls of an instance that is there, from the host.
async fn pooled(guests: &Guests, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let bare = Calls::new(&library::engine_config(), guests).await;
    let mut bare = bare.context("the baseline")?;
    let mut ours = library::caller(guests, Link::IsolatedPooled).await?;
    let mut record = POOLED.measure(&mut ours, &mut bare).await?;
    record.pool_hits = Some(enough_hits(ours.hit_rate().await?)?);
    records.push(record);
    Ok(())
}

/// The part of the calls that found a warm instance; an error where that is too few to speak of a pool.
pub(crate) fn enough_hits(rate: f64) -> anyhow::Result<f64> {
    ensure!(
        rate >= LEAST_HITS,
        "the pool does not work: {:.0} % of the calls found a warm instance",
        rate * 100.0
    );
    Ok(rate)
}

/// Beside making an instance, without a call.
async fn fresh(guests: &Guests, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let bare = Instances::new(&library::engine_config(), guests);
    let mut bare = bare.context("the baseline")?;
    let mut ours = library::caller(guests, Link::IsolatedFresh).await?;
    records.push(FRESH.measure(&mut ours, &mut bare).await?);
    Ok(())
}

impl Case {
    /// The time of a call on either side, in alternating rounds after a first one of each that does not count.
    pub(crate) async fn measure(
        &self,
        ours: &mut impl Caller,
        theirs: &mut impl Caller,
    ) -> anyhow::Result<Record> {
        say(&format!("{}: {} …", self.bench, self.name));
        let (our_warm_up, their_warm_up) = (self.time(ours).await?, self.time(theirs).await?);
        if let (Some(our_sum), Some(their_sum)) = (our_warm_up.1, their_warm_up.1) {
            ensure!(
                our_sum == their_sum,
                "the two sides disagree on the result of {}",
                self.name
            );
        }
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_times.push(self.time(ours).await?.0);
            their_times.push(self.time(theirs).await?.0);
        }
        let ours = median(&our_times).context("no rounds")?;
        let theirs = median(&their_times).context("no rounds")?;
        let record = Record::new(self.bench, self.name, ours, self.unit.name());
        Ok(record.against("bare-wasmtime", theirs))
    }

    /// One round: the time of a call, and what was computed.
    async fn time(&self, side: &mut impl Caller) -> anyhow::Result<(f64, Option<u32>)> {
        let start = Instant::now();
        let result = side.run(self.kind, self.calls).await?;
        let seconds = start.elapsed().as_secs_f64();
        Ok((
            seconds * self.unit.in_a_second() / f64::from(self.calls),
            result,
        ))
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
        }
    }

    fn in_a_second(self) -> f64 {
        match self {
            Self::Nanoseconds => 1e9,
            Self::Microseconds => 1e6,
        }
    }
}
