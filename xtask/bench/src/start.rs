//! From a start request to the first response: with an empty compile cache, and with a full one. Beside
//! it, what bare Wasmtime needs to compile the same component, or to load what it compiled before.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::record::Record;
use crate::stats::median;
use crate::{guests, library, say};

/// Starts of each kind.
const ROUNDS: usize = 7;

/// All cases of this bench. Every cold start fills a cache that the warm start after it finds.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let component = guests::http_p2()?;
    let (mut cold, mut warm) = (Side::default(), Side::default());
    for round in 1..=ROUNDS {
        say(&format!("start: round {round} of {ROUNDS} …"));
        let folder = tempfile::tempdir().context("no temporary folder for the compile cache")?;
        let (cache, compiled) = (folder.path().join("cache"), folder.path().join("compiled"));
        cold.add(
            library::first_response(&component, &cache).await?,
            compile(&component, &compiled)?,
        );
        warm.add(
            library::first_response(&component, &cache).await?,
            load(&compiled)?,
        );
    }
    records.extend([cold.record("cold")?, warm.record("warm")?]);
    Ok(())
}

/// Milliseconds of the library and of the baseline.
#[derive(Default)]
struct Side {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Side {
    fn add(&mut self, ours: Duration, theirs: Duration) {
        self.ours.push(ours.as_secs_f64() * 1e3);
        self.theirs.push(theirs.as_secs_f64() * 1e3);
    }

    fn record(&self, case: &'static str) -> anyhow::Result<Record> {
        let ours = median(&self.ours).context("no rounds")?;
        let theirs = median(&self.theirs).context("no rounds")?;
        Ok(Record::new("start", case, ours, "ms").against("bare-wasmtime", theirs))
    }
}

/// A new engine, and the component compiled and written to a file.
fn compile(component: &Path, compiled: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let engine = Engine::new(&library::engine_config())?;
    let component = Component::new(&engine, std::fs::read(component)?)?;
    std::fs::write(compiled, component.serialize()?)?;
    Ok(begun.elapsed())
}

/// A new engine, and the compiled component read from its file.
fn load(compiled: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let engine = Engine::new(&library::engine_config())?;
    let compiled = std::fs::read(compiled)?;
    #[expect(
        unsafe_code,
        reason = "the baseline loads compiled code, as the library does"
    )]
    // SAFETY: the bytes were serialized by an equal engine a moment ago, in a folder of this process.
    let component = unsafe { Component::deserialize(&engine, compiled)? };
    drop(component);
    Ok(begun.elapsed())
}
