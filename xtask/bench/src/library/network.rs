//! The library's side of the `network` and `connections` benches: a service that listens, and a component that connects to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::sync::mpsc;
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::capability::direct::Direct;
use wasmcloud::capability::sockets::SocketOptions;
use wasmcloud::capability::sockets::network::NetworkBudget;
use wasmcloud::engine::config::{Allocation, Flavour, config};
use wasmcloud::host::Host as _;
use wasmcloud::plugin::{GuestLine, GuestOutput};
use wasmcloud::workload::WorkloadId;
use wasmtime::Config;

use super::request;
use crate::guests::{self, Dialect, Network};
use crate::network::{Side, Talk};
use crate::talk::Held;
use crate::workers::Workers;
use crate::{manifest, system};

/// Where servers listen, inside their workload.
const PORT: u16 = 7070;

/// How long guests may take to open all connections.
const PATIENCE: Duration = Duration::from_secs(60);

/// The interface through which a client is told what to do.
pub(crate) fn interface(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::P2 => "bench:network/drive@0.1.0",
        Dialect::P3 => "bench:network/drive-async@0.1.0",
    }
}

/// The settings that the library compiles such guests with.
pub(crate) fn engine_config(dialect: Dialect) -> Config {
    let flavour = match dialect {
        Dialect::P2 => Flavour::Plain,
        Dialect::P3 => Flavour::Concurrent,
    };
    config(flavour, Allocation::for_machine())
}

/// A workload whose client can be called.
#[derive(Clone)]
struct Echo {
    direct: Direct,
    id: WorkloadId,
    _host: Arc<Assembled>,
}

/// A workload on threads of its own.
pub(crate) struct Inside {
    echo: Echo,
    workers: Workers,
}

impl Inside {
    pub(crate) async fn new(guests: &Network) -> anyhow::Result<Self> {
        let workers = Workers::new()?;
        let manifest = manifest::network("echo", guests, &json!({ "PORT": PORT.to_string() }));
        let direct = Direct::new(interface(guests.dialect).parse()?);
        let config = HostConfig {
            plugins: vec![Arc::new(direct.clone())],
            ..HostConfig::default()
        };
        let start = async move {
            let host = Arc::new(assemble(config).await?);
            let id = host.host.start(request(&manifest)?).await?.id;
            Ok(Echo {
                direct,
                id,
                _host: host,
            })
        };
        Ok(Self {
            echo: workers.run(start).await?,
            workers,
        })
    }
}

impl Echo {
    async fn call(&self, talk: Talk) -> anyhow::Result<u64> {
        let function = talk.function();
        let (told,): (Result<u64, String>,) = match talk {
            Talk::PingPong(rounds) => self.direct.call(&self.id, function, (PORT, rounds)).await?,
            Talk::Bulk(bytes) => self.direct.call(&self.id, function, (PORT, bytes)).await?,
        };
        told.map_err(anyhow::Error::msg)
    }
}

impl Side for Inside {
    async fn talk(&self, talk: Talk) -> anyhow::Result<u64> {
        let echo = self.echo.clone();
        self.workers.run(async move { echo.call(talk).await }).await
    }
}

/// Hands on what guests say.
struct Said(mpsc::UnboundedSender<String>);

impl GuestOutput for Said {
    fn line(&self, line: GuestLine<'_>) {
        // Nobody listens any more when the figures are there.
        let _ = self.0.send(line.text.to_owned());
    }
}

/// The role of a host with a workload that has so many connections open, and may not have more: says what they cost, and ends.
pub(crate) async fn hold(count: u16) -> anyhow::Result<Held> {
    let guests = guests::network(Dialect::P2);
    let direct = Direct::new(interface(Dialect::P2).parse()?);
    let (said, lines) = mpsc::unbounded_channel();
    let config = HostConfig {
        plugins: vec![Arc::new(direct.clone())],
        output: Arc::new(Said(said)),
        sockets: SocketOptions {
            network: NetworkBudget {
                connections: count.into(),
                ..NetworkBudget::default()
            },
            ..SocketOptions::default()
        },
        ..HostConfig::default()
    };
    let host = Arc::new(assemble(config).await?);
    // Whatever a host takes for itself, it takes for the first connection.
    let environment = json!({ "PORT": PORT.to_string() });
    let first = manifest::network("first", &guests, &environment);
    let id = host.host.start(request(&first)?).await?.id;
    let echo = Echo {
        direct: direct.clone(),
        id,
        _host: Arc::clone(&host),
    };
    echo.call(Talk::PingPong(1000)).await?;

    let environment = json!({ "PORT": PORT.to_string(), "HOLD": count.to_string() });
    let holding = manifest::network("holding", &guests, &environment);
    let id = host.host.start(request(&holding)?).await?.id;
    let before = system::private_dirty(std::process::id())?;
    let call = tokio::spawn(async move {
        let held: Result<(Result<(), String>,), _> =
            direct.call(&id, "hold", (PORT, u32::from(count))).await;
        anyhow::Ok(held?.0.map_err(anyhow::Error::msg)?)
    });
    let guests = tokio::select! {
        pages = tokio::time::timeout(PATIENCE, pages(lines)) => pages.context("the connections are not open yet")??,
        ended = call => bail!("the client has ended: {:?}", ended?),
    };
    let after = system::private_dirty(std::process::id())?;
    Ok(Held {
        all: after - before,
        guests: f64::from(guests) * 64.0,
    })
}

/// How many pages of 64 KiB the memories of both guests grew by, which each says when all connections are open.
async fn pages(mut lines: mpsc::UnboundedReceiver<String>) -> anyhow::Result<u32> {
    let mut pages = 0;
    for _ in 0..2 {
        let line = lines.recv().await.context("the host is gone")?;
        pages += grown(&line).with_context(|| format!("a guest said {line}"))?;
    }
    Ok(pages)
}

/// From `opened 10000 17 40`, or `held 10000 17 40`.
fn grown(line: &str) -> Option<u32> {
    let mut words = line.split(' ').skip(2);
    let (before, after): (u32, u32) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    after.checked_sub(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_say_how_much_they_grew() {
        assert_eq!(grown("held 10000 17 40"), Some(23));
        assert_eq!(grown("a connection failed"), None);
    }

    #[tokio::test]
    async fn connections_are_held() {
        let held = hold(50).await.unwrap();
        assert!(held.all > held.guests, "{held:?}");
    }
}
