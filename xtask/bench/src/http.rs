//! Requests a second and how long they take: a component served by the library with a fresh instance per request or with pooled
//! ones, beside hyper alone and, when a program is given, `wasmtime serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::manifest::Http;
use crate::process::{Address, Running, Server, free_address};
use crate::record::Record;
use crate::stats::median;
use crate::talk::{Question, Usage};
use crate::wrk::{self, Load, Target};
use crate::{guests, say};

/// Rounds of each server.
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(4);

/// What every server is asked for.
pub(crate) const PATH: &str = "/";

/// What the workload is called.
const NAME: &str = "bench";

/// The least part of the requests that must find a warm instance for a case to be one of pooled instances.
const LEAST_HITS: f64 = 0.9;

/// A component under load.
struct Case {
    name: &'static str,
    component: PathBuf,
    instances: Instances,
    /// Makes `wasmtime serve` do the same, where that is not what it does anyway.
    wasmtime_args: &'static [&'static str],
}

/// What becomes of an instance after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instances {
    /// It goes.
    Fresh,
    /// It serves the next one.
    Pooled,
    /// It serves several at once.
    Shared,
}

impl Instances {
    /// The fields of the component that say so: room for every connection either way.
    fn fields(self) -> Value {
        match self {
            Self::Fresh => json!({}),
            Self::Pooled => json!({ "poolSize": wrk::CONNECTIONS, "maxConcurrency": 1 }),
            Self::Shared => json!({ "poolSize": wrk::CONNECTIONS / 4, "maxConcurrency": 8 }),
        }
    }
}

/// All cases of this bench. One that fails does not take the figures of the others with it.
pub(crate) async fn run(records: &mut Vec<Record>, wasmtime: Option<&Path>) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for case in cases()? {
        match measure(&case, wasmtime).await {
            Ok(found) => records.extend(found),
            Err(error) => failed.push(format!("{}: {error:#}", case.name)),
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

fn cases() -> anyhow::Result<[Case; 5]> {
    let (p2, p3) = (guests::http_p2()?, guests::http_p3()?);
    let case = |name, component: &PathBuf, instances, wasmtime_args| Case {
        name,
        component: component.clone(),
        instances,
        wasmtime_args,
    };
    // `wasmtime serve` uses instances of WASI 0.3 again unless it is told not to, and none of WASI 0.2.
    let fresh: &[&str] = &["--max-instance-reuse-count", "1"];
    Ok([
        case("p2-fresh", &p2, Instances::Fresh, &[]),
        case("p2-pooled", &p2, Instances::Pooled, &[]),
        case("p3-fresh", &p3, Instances::Fresh, fresh),
        case("p3-pooled", &p3, Instances::Pooled, &[]),
        case("p3-shared", &p3, Instances::Shared, &[]),
    ])
}

async fn measure(case: &Case, wasmtime: Option<&Path>) -> anyhow::Result<Vec<Record>> {
    let manifest = Http {
        name: NAME,
        image: &case.component,
        fields: case.instances.fields(),
        host: None,
    };
    let mut servers = vec![library(&[manifest.manifest()])?, bare_hyper()?];
    if let Some(wasmtime) = wasmtime {
        servers.push(wasmtime_serve(wasmtime, case)?);
    }
    compare(case, servers).await
}

/// Loads the servers in turn, round by round; the first is compared with each of the others.
async fn compare(case: &Case, servers: Vec<Server>) -> anyhow::Result<Vec<Record>> {
    let mut sides = Vec::new();
    for server in servers {
        sides.push((server.start().await?, Vec::new()));
    }
    for (server, _) in &sides {
        wrk::run(Target::new(&server.url), WARM_UP).await?;
    }
    for round in 1..=ROUNDS {
        for (server, loads) in &mut sides {
            say(&format!(
                "http: {}, round {round} of {ROUNDS}: {} …",
                case.name, server.name
            ));
            loads.push(wrk::run(Target::new(&server.url), ROUND).await?);
        }
    }
    let pool_hits = match sides.first_mut() {
        Some((ours, _)) if case.instances != Instances::Fresh => Some(hits(ours).await?),
        _ => None,
    };
    records(case.name, &sides, pool_hits)
}

/// The part of all requests that found a warm instance; an error where that is too few to speak of a pool.
async fn hits(server: &mut Running) -> anyhow::Result<f64> {
    let usage: Usage = server.ask(&Question::Usage(NAME.to_owned())).await?;
    let rate = usage.hit_rate().context("no request reached the pool")?;
    ensure!(
        rate >= LEAST_HITS,
        "the pool does not work: of {} requests, {} found a warm instance",
        usage.hits + usage.misses,
        usage.hits
    );
    Ok(rate)
}

fn records(
    case: &'static str,
    sides: &[(Running, Vec<Load>)],
    pool_hits: Option<f64>,
) -> anyhow::Result<Vec<Record>> {
    let ((_, ours), baselines) = sides.split_first().context("no server was measured")?;
    let ours = middle(ours).context("no rounds")?;
    let mut record = Record::new("http", case, ours.requests_per_second, "requests/s").with(&ours);
    record.pool_hits = pool_hits;
    let mut records = Vec::new();
    for (server, loads) in baselines {
        let baseline = middle(loads).context("no rounds")?;
        records.push(
            record
                .clone()
                .against(server.name, baseline.requests_per_second),
        );
    }
    Ok(records)
}

/// The median of every column by itself.
pub(crate) fn middle(loads: &[Load]) -> Option<Load> {
    let column = |get: fn(&Load) -> f64| median(&loads.iter().map(get).collect::<Vec<_>>());
    Some(Load {
        requests_per_second: column(|load| load.requests_per_second)?,
        p50_ms: column(|load| load.p50_ms)?,
        p99_ms: column(|load| load.p99_ms)?,
    })
}

/// A host of the library that serves some workloads, in a process of its own.
pub(crate) fn library(manifests: &[Value]) -> anyhow::Result<Server> {
    library_of(manifests, None)
}

/// The same with room for so many instances, where that is not what it has anyway.
pub(crate) fn library_of(manifests: &[Value], instances: Option<u32>) -> anyhow::Result<Server> {
    let mut command = myself()?;
    command
        .arg("library")
        .args(manifests.iter().map(Value::to_string));
    if let Some(instances) = instances {
        command.arg("--instances").arg(instances.to_string());
    }
    Ok(Server {
        name: "wasmcloud",
        command,
        address: Address::Talking,
        path: PATH,
    })
}

fn bare_hyper() -> anyhow::Result<Server> {
    let mut command = myself()?;
    command.arg("bare-hyper");
    Ok(Server {
        name: "bare-hyper",
        command,
        address: Address::Announced,
        path: PATH,
    })
}

fn wasmtime_serve(wasmtime: &Path, case: &Case) -> anyhow::Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(wasmtime);
    command.args(["serve", "-S", "cli", "--addr", &address.to_string()]);
    command.args(case.wasmtime_args).arg(&case.component);
    Ok(Server {
        name: "wasmtime-serve",
        command,
        address: Address::Chosen(address),
        path: PATH,
    })
}

/// One request and the whole answer, for a server in this process.
pub(crate) async fn get(address: SocketAddr) -> anyhow::Result<()> {
    let mut client = TcpStream::connect(address).await?;
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await?;
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

fn myself() -> anyhow::Result<Command> {
    Ok(Command::new(
        std::env::current_exe().context("this program cannot find itself")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_have_room_for_every_connection() {
        let most = |instances: Instances| {
            let fields = instances.fields();
            let number = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap();
            number("poolSize") * number("maxConcurrency")
        };
        assert_eq!(most(Instances::Pooled), 32);
        // A place is free again when the body was read, which is after the next request came.
        assert_eq!(most(Instances::Shared), 64);
    }

    #[test]
    fn each_column_has_its_own_median() {
        let load = |rate, p50, p99| Load {
            requests_per_second: rate,
            p50_ms: p50,
            p99_ms: p99,
        };
        let loads = [
            load(10.0, 3.0, 9.0),
            load(30.0, 1.0, 7.0),
            load(20.0, 2.0, 80.0),
        ];
        assert_eq!(middle(&loads), Some(load(20.0, 2.0, 9.0)));
        assert_eq!(middle(&[]), None);
    }
}
