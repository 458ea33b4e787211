//! Calls in loops: by one caller, for the time of a call, and by many at once, for calls a second.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::servers::Served;
use crate::record::Record;
use crate::say;
use crate::stats::{median, percentile};
use crate::workers::Workers;
use crate::wrk::Load;

/// Rounds of each side.
const ROUNDS: usize = 5;
/// How long a round should take, and how many calls it has at least and at most.
const ROUND: Duration = Duration::from_millis(300);
const CALLS: (f64, f64) = (20.0, 500_000.0);
/// How many calls are made to see how long they take.
const PROBE: u32 = 50;

/// What many callers are.
pub(super) const MANY: u32 = 32;

/// Somebody who makes calls.
pub(super) trait Side {
    /// So many callers at once, who each make so many calls one after another.
    async fn calls(&self, callers: u32, calls: u32, each: bool) -> anyhow::Result<Told>;
}

/// What calls took.
#[derive(Debug)]
pub(super) struct Told {
    /// From the beginning of the first to the end of the last, and whatever it takes to begin.
    pub(super) elapsed: Duration,
    /// The nanoseconds of each call, or of all calls of each caller.
    pub(super) times: Vec<u64>,
}

/// Runs callers at once on some threads.
pub(super) async fn at_once<F>(
    workers: &Workers,
    callers: u32,
    caller: impl Fn(u32) -> F,
) -> anyhow::Result<Told>
where
    F: Future<Output = anyhow::Result<Vec<u64>>> + Send + 'static,
{
    let callers: Vec<F> = (0..callers).map(caller).collect();
    let all = async move {
        let begun = Instant::now();
        let mut running: JoinSet<_> = callers.into_iter().collect();
        let mut times = Vec::new();
        while let Some(ended) = running.join_next().await {
            times.extend(ended??);
        }
        let elapsed = begun.elapsed();
        Ok(Told { elapsed, times })
    };
    workers.run(all).await
}

/// What is aimed at for one caller and for many.
pub(super) type Aims = [Option<&'static str>; 2];

/// What the host may add to a client of a network: a fifth.
pub(super) const OVER_NETWORK: Aims = [Some("≤ 1.2 ×"), Some("≥ 0.83 ×")];

/// A case: its name, and what the other side is called.
pub(super) struct Case<'a> {
    pub(super) name: String,
    pub(super) baseline: &'static str,
    pub(super) aims: Aims,
    /// The server that both sides ask, if any.
    pub(super) server: Option<&'a Served>,
}

impl Case<'_> {
    /// The time of a call for one caller, and calls a second for many.
    pub(super) async fn measure(
        &self,
        ours: &impl Side,
        theirs: &impl Side,
    ) -> anyhow::Result<[Record; 2]> {
        say(&format!("capabilities: {} …", self.name));
        let apart = self.server.map(Served::apart).transpose()?;
        let one = self.compare(1, ours, theirs).await?;
        drop(apart);
        let many = self.compare(MANY, ours, theirs).await?;
        let one = one.record(
            self.name.clone(),
            "µs",
            Figures::microseconds,
            self.baseline,
        )?;
        let name = format!("{}-many", self.name);
        let many = many.record(name, "calls/s", Figures::per_second, self.baseline)?;
        let [time, rate] = self.aims;
        Ok([one.aiming_at(time), many.aiming_at(rate)])
    }

    /// Alternating rounds of both sides after a first one of each that does not count.
    async fn compare(
        &self,
        callers: u32,
        ours: &impl Side,
        theirs: &impl Side,
    ) -> anyhow::Result<Compared> {
        let fits = |probed: &Told| {
            let each = probed.elapsed.as_secs_f64() / f64::from(PROBE);
            ROUND.as_secs_f64() / each.max(1e-9)
        };
        let (probed, other) = (
            ours.calls(callers, PROBE, false).await?,
            theirs.calls(callers, PROBE, false).await?,
        );
        // The quicker side would be over at once with as many calls as the slower one has time for.
        let calls = f64::midpoint(fits(&probed), fits(&other));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within bounds"
        )]
        let calls = calls.clamp(CALLS.0, CALLS.1) as u32;
        let mut compared = Compared::default();
        for round in 0..=ROUNDS {
            let (us, them) = (
                Round::of(ours, callers, calls).await?,
                Round::of(theirs, callers, calls).await?,
            );
            if round > 0 {
                compared.ours.add(us);
                compared.theirs.add(them);
            }
        }
        Ok(compared)
    }
}

/// Both figures of a round. The clock is looked at during calls for the second only.
struct Round {
    callers: u32,
    calls: u32,
    told: Told,
    times: Vec<u64>,
}

impl Round {
    async fn of(side: &impl Side, callers: u32, calls: u32) -> anyhow::Result<Self> {
        Ok(Self {
            callers,
            calls,
            told: side.calls(callers, calls, false).await?,
            times: side.calls(callers, calls, true).await?.times,
        })
    }
}

#[derive(Default)]
struct Compared {
    ours: Figures,
    theirs: Figures,
}

/// What one side did.
#[derive(Default)]
struct Figures {
    /// Microseconds of a call, round by round, as the callers tell it.
    microseconds: Vec<f64>,
    /// Calls a second, round by round.
    per_second: Vec<f64>,
    /// Nanoseconds of all calls of all rounds.
    times: Vec<u64>,
}

impl Figures {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure needs no more digits than a float has"
    )]
    fn add(&mut self, round: Round) {
        let calls = f64::from(round.calls) * f64::from(round.callers);
        let spent: u64 = round.told.times.iter().sum();
        self.microseconds.push(spent as f64 / 1e3 / calls);
        let elapsed = round.told.elapsed.as_secs_f64();
        self.per_second.push(calls / elapsed.max(1e-9));
        self.times.extend(round.times);
    }

    /// How long single calls took.
    fn load(&mut self) -> anyhow::Result<Load> {
        self.times.sort_unstable();
        let milliseconds = |part| percentile(&self.times, part).map(|it| it / 1e6);
        Ok(Load {
            requests_per_second: median(&self.per_second).context("no rounds")?,
            p50_ms: milliseconds(0.50).context("no calls")?,
            p99_ms: milliseconds(0.99).context("no calls")?,
        })
    }

    fn microseconds(&self) -> &[f64] {
        &self.microseconds
    }

    fn per_second(&self) -> &[f64] {
        &self.per_second
    }
}

impl Compared {
    fn record(
        mut self,
        name: String,
        unit: &'static str,
        figure: fn(&Figures) -> &[f64],
        baseline: &'static str,
    ) -> anyhow::Result<Record> {
        let ours = median(figure(&self.ours)).context("no rounds")?;
        let theirs = median(figure(&self.theirs)).context("no rounds")?;
        let (load, their_load) = (self.ours.load()?, self.theirs.load()?);
        let record = Record::new("capabilities", name, ours, unit).with(&load);
        let record = record.against(baseline, theirs);
        Ok(record.with_baseline(&their_load))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as long as it says.
    struct Fixed(u64);

    impl Side for Fixed {
        async fn calls(&self, callers: u32, calls: u32, each: bool) -> anyhow::Result<Told> {
            let count = if each { callers * calls } else { callers };
            let time = if each {
                self.0
            } else {
                self.0 * u64::from(calls)
            };
            Ok(Told {
                elapsed: Duration::from_nanos(self.0) * calls,
                times: vec![time; count as usize],
            })
        }
    }

    #[tokio::test]
    async fn one_caller_has_a_time_and_many_have_a_rate() {
        let case = Case {
            name: "sample".to_owned(),
            baseline: "other",
            aims: [Some("≤ 1.2 ×"), None],
            server: None,
        };
        let sides = (Fixed(3_000_000), Fixed(2_000_000));
        let [one, many] = case.measure(&sides.0, &sides.1).await.unwrap();
        assert!((one.value - 3000.0).abs() < 1e-6, "{one:?}");
        assert!((one.ratio.unwrap() - 1.5).abs() < 1e-6, "{one:?}");
        assert_eq!((one.p99_ms, one.aim), (Some(3.0), Some("≤ 1.2 ×")));
        assert_eq!(one.baseline_p99_ms, Some(2.0));
        assert_eq!((&*many.case, many.aim), ("sample-many", None));
        let rate = f64::from(MANY) / 0.003;
        assert!((many.value - rate).abs() < 1.0, "{many:?}");
    }
}
