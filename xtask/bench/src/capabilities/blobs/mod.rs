//! Blobs: streams of a guest into the host and out of it, beside programs and clients that move as many bytes.

mod files;
mod nats;
mod peak;
mod s3;

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use self::files::Files;
use self::nats::Nats;
pub(crate) use self::peak::peak;
use self::s3::Bucket;
use super::Only;
use super::servers::{self, S3};
use crate::call::all_went_well;
use crate::guests::{self, Dialect};
use crate::library::capabilities::{Driven, Setup};
use crate::record::Record;
use crate::say;
use crate::stats::median;
use crate::workers::Workers;

/// Rounds of each side.
const ROUNDS: usize = 5;
/// How large the blobs are that rates are told of.
const BYTES: u64 = 256 << 20;

/// What the cases are called that tell how much memory a blob takes.
const PEAK: &str = "blob-1gib-memory";

/// Which way the bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Write,
    Read,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// A backend: the `config` of an entry that leads there.
struct Backend {
    name: &'static str,
    config: Value,
    /// Whether it keeps a blob outside the memory of the host.
    outside: bool,
}

/// All cases of each backend: another one is a line in here, and who moves its bytes natively.
pub(super) async fn run(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    let parts = [
        ("memory", memory(records, only).await),
        ("filesystem", filesystem(records, only).await),
        ("nats", nats(records, only).await),
        ("s3", s3(records, only).await),
    ];
    all_went_well(parts)
}

async fn memory(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    let backend = Backend {
        name: "memory",
        config: json!({ "backend": "in-memory" }),
        outside: false,
    };
    backend.measure(None::<&Files>, records, only).await
}

async fn filesystem(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    let backend = Backend {
        name: "filesystem",
        config: json!({ "backend": "filesystem" }),
        outside: true,
    };
    let theirs = Files::new()?;
    backend.measure(Some(&theirs), records, only).await
}

async fn nats(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    if !wants("nats", only) {
        return Ok(());
    }
    let server = servers::nats().await?;
    let backend = Backend {
        name: "nats",
        config: json!({ "backend": "nats", "url": server.url }),
        outside: true,
    };
    let theirs = Nats::connect(&server.url).await?;
    backend.measure(Some(&theirs), records, only).await
}

async fn s3(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    if !wants("s3", only) {
        return Ok(());
    }
    let server = servers::s3().await?;
    let backend = Backend {
        name: "s3",
        config: bucket(&server),
        outside: true,
    };
    let theirs = Bucket::new(&server)?;
    backend.measure(Some(&theirs), records, only).await
}

/// The `config` that leads to the bucket of a server.
fn bucket(server: &S3) -> Value {
    json!({
        "backend": "s3",
        "endpoint": server.endpoint(),
        "bucket": S3::BUCKET,
        "access-key-id": S3::KEY_ID,
        "secret-access-key": S3::SECRET,
    })
}

/// Whether any case of a backend is wanted.
fn wants(backend: &str, only: Only<'_>) -> bool {
    only.has(&format!("blob-{backend}")) || only.has(&format!("{PEAK}-{backend}"))
}

/// Somebody who moves bytes.
trait Mover {
    /// What its figures are compared by.
    fn name(&self, way: Way) -> &'static str;

    /// Writes a blob, or reads what was written last; gives the seconds that it took.
    async fn flow(&self, way: Way, bytes: u64) -> anyhow::Result<f64>;
}

impl Backend {
    /// Rates in both dialects, and the memory that it takes.
    async fn measure(
        &self,
        theirs: Option<&impl Mover>,
        records: &mut Vec<Record>,
        only: Only<'_>,
    ) -> anyhow::Result<()> {
        for dialect in Dialect::ALL {
            if only.has(&format!("blob-{}", self.name)) {
                let ours = Flow::new(dialect, self.config.clone()).await?;
                for way in [Way::Write, Way::Read] {
                    let (backend, way_name) = (self.name, way.name());
                    let name = format!("blob-{backend}-{way_name}{}", dialect.suffix());
                    if only.is(&name) {
                        records.push(compare(name, way, &ours, theirs).await?);
                    }
                }
            }
            let name = format!("{PEAK}-{}{}", self.name, dialect.suffix());
            if self.outside && only.is(&name) {
                records.push(peak::measure(name, dialect, &self.config).await?);
            }
        }
        Ok(())
    }
}

/// Alternating rounds after a first one of each that does not count.
async fn compare(
    name: String,
    way: Way,
    ours: &Flow,
    theirs: Option<&impl Mover>,
) -> anyhow::Result<Record> {
    say(&format!("capabilities: {name} …"));
    if way == Way::Read {
        // The case that writes may not be wanted.
        ours.flow(Way::Write, BYTES).await?;
        if let Some(theirs) = theirs {
            theirs.flow(Way::Write, BYTES).await?;
        }
    }
    let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let our_rate = rate(ours.flow(way, BYTES).await?);
        let their_rate = match theirs {
            Some(theirs) => Some(rate(theirs.flow(way, BYTES).await?)),
            None => None,
        };
        if round > 0 {
            our_rates.push(our_rate);
            their_rates.extend(their_rate);
        }
    }
    let rate = median(&our_rates).context("no rounds")?;
    let record = Record::new("capabilities", name, rate, "MiB/s");
    let theirs = theirs
        .map(|theirs| theirs.name(way))
        .zip(median(&their_rates));
    Ok(match theirs {
        Some((baseline, rate)) => record.against(baseline, rate),
        None => record,
    })
}

/// MiB a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure needs no more digits than a float has"
)]
fn rate(seconds: f64) -> f64 {
    BYTES as f64 / f64::from(1 << 20) / seconds.max(1e-9)
}

/// A workload through which blobs flow.
struct Flow {
    driven: Driven,
    workers: Workers,
}

impl Flow {
    async fn new(dialect: Dialect, config: Value) -> anyhow::Result<Self> {
        let workers = Workers::new()?;
        let driven = workers.run(start(dialect, config)).await?;
        Ok(Self { driven, workers })
    }
}

impl Mover for Flow {
    fn name(&self, _: Way) -> &'static str {
        "wasmcloud"
    }

    async fn flow(&self, way: Way, bytes: u64) -> anyhow::Result<f64> {
        let driven = self.driven.clone();
        let call = async move {
            let params = ("blob".to_owned(), bytes);
            driven.call::<_, u64>(way.name(), params).await
        };
        let nanoseconds = self.workers.run(call).await?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a figure needs no more digits than a float has"
        )]
        let seconds = nanoseconds as f64 / 1e9;
        Ok(seconds)
    }
}

/// The guest, with a store for blobs.
async fn start(dialect: Dialect, config: Value) -> anyhow::Result<Driven> {
    let (namespace, drive) = match dialect {
        Dialect::P2 => ("wasi", "blobs"),
        Dialect::P3 => ("wasmcloud", "blobs-async"),
    };
    let setup = Setup {
        guest: guests::blobs(dialect),
        interfaces: vec![drive],
        fields: json!({}),
        grant: json!({
            "namespace": namespace,
            "package": "blobstore",
            "interfaces": ["blobstore"],
            "config": config,
        }),
        folder: Arc::clone(&servers::folder()?),
    };
    Driven::start(setup).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn moves(mover: &impl Mover) {
        for bytes in [0, 1 << 20, 100] {
            for way in [Way::Write, Way::Read] {
                assert!(mover.flow(way, bytes).await.unwrap() > 0.0, "{way:?}");
            }
        }
    }

    #[tokio::test]
    async fn blobs_flow_through_guests_in_both_dialects() {
        let (nats, s3) = (servers::nats().await, servers::s3().await);
        let (nats, s3) = (nats.unwrap(), s3.unwrap());
        for config in [
            json!({ "backend": "in-memory" }),
            json!({ "backend": "filesystem" }),
            json!({ "backend": "nats", "url": nats.url }),
            bucket(&s3),
        ] {
            for dialect in Dialect::ALL {
                moves(&Flow::new(dialect, config.clone()).await.unwrap()).await;
            }
        }
    }

    #[tokio::test]
    async fn a_blob_of_another_size_than_expected_is_an_error() {
        let config = json!({ "backend": "in-memory" });
        let flow = Flow::new(Dialect::P2, config).await.unwrap();
        flow.flow(Way::Write, 5).await.unwrap();
        assert!(flow.flow(Way::Read, 6).await.is_err());
    }

    #[tokio::test]
    async fn programs_move_bytes() {
        moves(&Files::new().unwrap()).await;
    }

    #[tokio::test]
    async fn clients_of_servers_move_bytes() {
        let server = servers::nats().await.unwrap();
        moves(&Nats::connect(&server.url).await.unwrap()).await;
        let server = servers::s3().await.unwrap();
        moves(&Bucket::new(&server).unwrap()).await;
    }
}
