//! Components from registries: pulled into an empty cache beside another client, started from a full one beside a file, and shared by
//! many workloads.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use test_servers::{FaultyRegistry, Registry, skopeo};

use crate::library::images::Place;
use crate::record::{Record, target_dir};
use crate::stats::median;
use crate::{guests, library, say};

/// Pulls and starts of each kind.
const ROUNDS: usize = 9;
/// The size of the component that is pulled, in bytes.
const SIZE: usize = 20 << 20;
/// How many workloads there are over how many images.
const MANY: (usize, usize) = (1000, 10);

/// All cases.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let registry = Registry::start();
    let guest = Bytes::from(std::fs::read(guests::http_p2()?)?);
    pulls(records, &registry, &guest).await?;
    starts(records, &registry, &guest).await?;
    many(records, &registry, &guest).await
}

/// The component with more bytes in a section that nobody reads, different for each number.
fn padded(component: &Bytes, number: u64, bytes: usize) -> Bytes {
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut padding = Vec::with_capacity(bytes + 8);
    padding.extend_from_slice(&[3, b'p', b'a', b'd']);
    while padding.len() < bytes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        padding.extend_from_slice(&random.to_le_bytes());
    }
    let mut padded = component.to_vec();
    padded.push(0);
    let mut length = padding.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        padded.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    padded.extend(padding);
    padded.into()
}

/// A large component into an empty cache, beside `skopeo copy` into an empty folder.
async fn pulls(
    records: &mut Vec<Record>,
    registry: &Registry,
    guest: &Bytes,
) -> anyhow::Result<()> {
    let component = padded(guest, 0, SIZE);
    let place = Place {
        address: registry.address(),
        cache: None,
    };
    let reference = place.push("large", &component).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("oci: pull {round} of {ROUNDS} …"));
        let folder = folder()?;
        let cache = folder.path().join("images");
        let place = Place {
            address: registry.address(),
            cache: Some(&cache),
        };
        ours.push(millis(place.pull(&reference).await?));
        theirs.push(millis(copied(&reference, folder.path())?));
    }
    let (ours, theirs) = (
        median(&ours).context("no rounds")?,
        median(&theirs).context("no rounds")?,
    );
    let record = Record::new("oci", "cold-pull", ours, "ms").against("skopeo", theirs);
    records.push(record.aiming_at(Some("≤ 1.1 ×")));
    Ok(())
}

fn copied(reference: &str, folder: &Path) -> anyhow::Result<Duration> {
    let to = format!("dir:{}", folder.join("skopeo").display());
    let mut command = skopeo(folder);
    command.args([
        "copy",
        "--insecure-policy",
        "--quiet",
        "--src-tls-verify=false",
    ]);
    command.args([&format!("docker://{reference}"), &to]);
    let begun = Instant::now();
    let output = command.output().context("`skopeo` cannot be run")?;
    let time = begun.elapsed();
    ensure!(
        output.status.success(),
        "skopeo: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(time)
}

/// From a start request to the first response, with all caches full: an image beside a file.
async fn starts(
    records: &mut Vec<Record>,
    registry: &Registry,
    guest: &Bytes,
) -> anyhow::Result<()> {
    let component = padded(guest, 1, SIZE);
    let folder = folder()?;
    let file = folder.path().join("component.wasm");
    std::fs::write(&file, &component)?;
    let (compiled, images) = (folder.path().join("cache"), folder.path().join("images"));
    let place = Place {
        address: registry.address(),
        cache: Some(&images),
    };
    let reference = place.push("started", &component).await?;
    place.first_response(&reference, &compiled).await?;
    library::first_response(&file, &compiled).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("oci: start {round} of {ROUNDS} …"));
        ours.push(millis(place.first_response(&reference, &compiled).await?));
        theirs.push(millis(library::first_response(&file, &compiled).await?));
    }
    let (ours, theirs) = (
        median(&ours).context("no rounds")?,
        median(&theirs).context("no rounds")?,
    );
    let record = Record::new("oci", "cached-start", ours, "ms").against("local-file", theirs);
    records.push(record.aiming_at(Some("≤ 1.05 ×")));
    Ok(())
}

/// Many workloads over few images: what is downloaded, beside what the images have, and how often something is compiled.
async fn many(records: &mut Vec<Record>, registry: &Registry, guest: &Bytes) -> anyhow::Result<()> {
    say("oci: many workloads over few images …");
    let (workloads, images) = MANY;
    let way = FaultyRegistry::to(registry.port());
    let folder = folder()?;
    let (compiled, cache) = (folder.path().join("cache"), folder.path().join("images"));
    let place = Place {
        address: way.address(),
        cache: Some(&cache),
    };
    let (mut references, mut bytes) = (Vec::new(), 0);
    for number in 0..images {
        let component = padded(guest, 2 + number as u64, 1 << 20);
        bytes += component.len();
        references.push(place.push(&format!("many{number}"), &component).await?);
    }
    way.forget();
    let compiled = place.many(&references, workloads, &compiled).await?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let downloaded = Record::new("oci", "many-downloaded", mib(way.bytes("/blobs/")), "MiB");
    let downloaded = downloaded.against("images", mib(bytes as u64));
    records.push(downloaded.aiming_at(Some("1.0 ×")));
    let compiled = Record::new("oci", "many-compiled", compiled as f64, "artifacts");
    let compiled = compiled.against("images", references.len() as f64);
    records.push(compiled.aiming_at(Some("1.0 ×")));
    Ok(())
}

/// A folder on the disk that Cargo builds on; one for temporary files may be in memory.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let parent = target_dir()?.join("bench");
    std::fs::create_dir_all(&parent)?;
    let folder = tempfile::tempdir_in(&parent);
    folder.with_context(|| format!("no folder in {}", parent.display()))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
