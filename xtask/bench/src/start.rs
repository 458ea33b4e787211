//! From a start request to the first response: with an empty compile cache, and with a full one.

use anyhow::Context as _;

use crate::record::Record;
use crate::stats::median;
use crate::{guests, library, say};

/// Starts of each kind.
const ROUNDS: usize = 5;

/// All cases of this bench. Every cold start fills a cache that the warm start after it finds.
pub(crate) async fn run() -> anyhow::Result<Vec<Record>> {
    let component = guests::http_p2()?;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("start: round {round} of {ROUNDS} …"));
        let cache = tempfile::tempdir().context("no temporary folder for the compile cache")?;
        for times in [&mut cold, &mut warm] {
            let elapsed = library::first_response(&component, cache.path()).await?;
            times.push(elapsed.as_secs_f64() * 1e3);
        }
    }
    let record = |case, times: &[f64]| Some(Record::new("start", case, median(times)?, "ms"));
    let records = [record("cold", &cold), record("warm", &warm)];
    records
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .context("no rounds")
}
