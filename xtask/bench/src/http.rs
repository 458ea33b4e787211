//! Requests a second and how long they take: a component served by the library with a fresh
//! instance per request, beside hyper alone and, when a program is given, `wasmtime serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::{Address, Running, Server, free_address};
use crate::record::Record;
use crate::stats::median;
use crate::wrk::{self, Load};
use crate::{guests, say};

/// Rounds of each server.
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(4);

/// What every server is asked for.
const PATH: &str = "/";

/// A component under load.
struct Case {
    name: &'static str,
    component: PathBuf,
    /// Makes `wasmtime serve` use a fresh instance per request, where that is not what it does anyway.
    wasmtime_args: &'static [&'static str],
}

/// All cases of this bench.
pub(crate) async fn run(wasmtime: Option<&Path>) -> anyhow::Result<Vec<Record>> {
    let cases = [
        Case {
            name: "p2-fresh",
            component: guests::http_p2()?,
            wasmtime_args: &[],
        },
        Case {
            name: "p3-fresh",
            component: guests::http_p3()?,
            wasmtime_args: &["--max-instance-reuse-count", "1"],
        },
    ];
    let mut records = Vec::new();
    for case in cases {
        let mut servers = vec![library(&case)?, bare_hyper()?];
        if let Some(wasmtime) = wasmtime {
            servers.push(wasmtime_serve(wasmtime, &case)?);
        }
        records.extend(compare(case.name, servers).await?);
    }
    Ok(records)
}

/// Loads the servers in turn, round by round; the first is compared with each of the others.
async fn compare(case: &'static str, servers: Vec<Server>) -> anyhow::Result<Vec<Record>> {
    let mut sides = Vec::new();
    for server in servers {
        sides.push((server.start().await?, Vec::new()));
    }
    for (server, _) in &sides {
        wrk::run(&server.url, WARM_UP).await?;
    }
    for round in 1..=ROUNDS {
        for (server, loads) in &mut sides {
            say(&format!(
                "http: {case}, round {round} of {ROUNDS}: {} …",
                server.name
            ));
            loads.push(wrk::run(&server.url, ROUND).await?);
        }
    }
    records(case, &sides)
}

fn records(case: &'static str, sides: &[(Running, Vec<Load>)]) -> anyhow::Result<Vec<Record>> {
    let ((_, ours), baselines) = sides.split_first().context("no server was measured")?;
    let ours = middle(ours).context("no rounds")?;
    let mut record = Record::new("http", case, ours.requests_per_second, "requests/s");
    record.p50_ms = Some(ours.p50_ms);
    record.p99_ms = Some(ours.p99_ms);
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
fn middle(loads: &[Load]) -> Option<Load> {
    let column = |get: fn(&Load) -> f64| median(&loads.iter().map(get).collect::<Vec<_>>());
    Some(Load {
        requests_per_second: column(|load| load.requests_per_second)?,
        p50_ms: column(|load| load.p50_ms)?,
        p99_ms: column(|load| load.p99_ms)?,
    })
}

/// The library in a process of its own, which is this program in another role.
fn library(case: &Case) -> anyhow::Result<Server> {
    let mut command = myself()?;
    command.arg("library").arg(&case.component);
    Ok(Server {
        name: "wasmcloud",
        command,
        address: Address::Announced,
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
