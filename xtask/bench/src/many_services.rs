//! What a service costs that does nothing but wait, beside many others.

use std::time::Duration;

use anyhow::Context as _;

use crate::density::idle;
use crate::http::library_of;
use crate::record::Record;
use crate::talk::{Copies, Question};
use crate::{guests, manifest, say, system};

/// How many services are measured, after how many that are not: those take what the host needs for itself.
const SERVICES: usize = 1_000;
const WARM_UP: usize = 24;

/// How many instances the host has room for: one for each service, and some. By default there are a thousand.
const INSTANCES: u32 = 1_100;

const IDLE: Duration = Duration::from_secs(5);

/// All cases of this bench: a host with one workload, which is a service, beside one that gets more and more.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let manifest = manifest::service("waiting", &guests::waiting());
    let server = || library_of(std::slice::from_ref(&manifest), Some(INSTANCES));
    let alone = server()?.start().await?;
    let mut crowd = server()?.start().await?;
    let _: Copies = crowd.ask(&Question::Copies(WARM_UP)).await?;
    say(&format!("many-services: {SERVICES} …"));
    let before = system::private_dirty(crowd.pid()?)?;
    let copies: Copies = crowd.ask(&Question::Copies(WARM_UP + SERVICES)).await?;
    let grown = system::private_dirty(crowd.pid()?)? - before;
    let started = f64::from(u32::try_from(copies.started).context("too many")?);
    let record = |case: &str, value, unit| Record::new("many-services", case, value, unit);
    records.push(record("memory", grown / started, "KiB"));
    records.push(record("start", copies.milliseconds / started, "ms"));
    records.push(idle("many-services", "idle-cpu".to_owned(), IDLE, &alone, &crowd).await?);
    Ok(())
}
