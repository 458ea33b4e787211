//! Keys and values: a guest that calls the host in a loop, beside the same client called natively.

mod empty;
mod nats;
mod redb;
mod redis;

use anyhow::Context as _;
use serde_json::{Value, json};
use wasmtime::component::{ComponentType, Lift, Lower};

use self::empty::Empty;
use self::nats::Nats;
use self::redb::Redb;
use self::redis::Redis;
use super::loops::{Aims, Case, OVER_NETWORK, Side, Told, at_once};
use super::{Only, servers};
use crate::call::all_went_well;
use crate::guests::{self, Dialect};
use crate::library::capabilities::{Driven, Setup};
use crate::record::Record;
use crate::stopwatch::{Call, in_a_row};
use crate::workers::Workers;

/// What is kept, as in the guests.
const VALUE: [u8; 100] = [b'v'; 100];

/// What it may add to a call that finds everything in memory.
const IN_MEMORY: Aims = [Some("≤ 1 µs more"), None];

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum Action {
    #[component(name = "get")]
    Get,
    #[component(name = "set")]
    Set,
    #[component(name = "increment")]
    Increment,
}

impl Action {
    const ALL: [Self; 3] = [Self::Get, Self::Set, Self::Increment];

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Increment => "increment",
        }
    }

    /// The key of a caller: what is counted cannot be what is read.
    fn key(self, caller: u32) -> String {
        format!("{}-{caller}", self.name())
    }
}

/// All cases of each backend: another one is a line in here, and its native client.
pub(super) async fn run(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    let parts = [
        ("memory", memory(records, only).await),
        ("redb", redb(records, only).await),
        ("redis", redis(records, only).await),
        ("nats", nats(records, only).await),
    ];
    all_went_well(parts)
}

async fn memory(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    for dialect in Dialect::ALL {
        if only.has("memory") {
            let place = Place::new("memory", json!({ "backend": "memory" }), dialect).await?;
            let theirs = Empty::new(dialect).context("the baseline")?;
            let (baseline, aims) = ("empty-call", IN_MEMORY);
            let beside = Beside {
                baseline,
                aims,
                server: None,
                only,
            };
            place.measure(&theirs, beside, records).await?;
        }
    }
    Ok(())
}

async fn redb(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    if !only.has("redb") {
        return Ok(());
    }
    let theirs = Clients::new(Redb::open()?)?;
    let config = json!({ "backend": "redb" });
    let beside = Beside {
        baseline: "native",
        aims: [None, None],
        server: None,
        only,
    };
    both_dialects("redb", &config, &theirs, beside, records).await
}

async fn redis(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    if !only.has("redis") {
        return Ok(());
    }
    let server = servers::redis().await?;
    let theirs = Clients::new(Redis(server.url.clone()))?;
    let config = json!({ "backend": "redis", "url": server.url });
    let beside = Beside::over_network(&server, only);
    both_dialects("redis", &config, &theirs, beside, records).await
}

async fn nats(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    if !only.has("nats") {
        return Ok(());
    }
    let server = servers::nats().await?;
    let theirs = Clients::new(Nats(server.url.clone()))?;
    let config = json!({ "backend": "nats", "url": server.url });
    let beside = Beside::over_network(&server, only);
    both_dialects("nats", &config, &theirs, beside, records).await
}

async fn both_dialects(
    backend: &'static str,
    config: &Value,
    theirs: &Clients<impl Native>,
    beside: Beside<'_>,
    records: &mut Vec<Record>,
) -> anyhow::Result<()> {
    for dialect in Dialect::ALL {
        let place = Place::new(backend, config.clone(), dialect).await?;
        place.measure(theirs, beside, records).await?;
    }
    Ok(())
}

/// What a backend is measured beside.
#[derive(Clone, Copy)]
struct Beside<'a> {
    baseline: &'static str,
    aims: Aims,
    server: Option<&'a servers::Served>,
    only: Only<'a>,
}

impl<'a> Beside<'a> {
    fn over_network(server: &'a servers::Served, only: Only<'a>) -> Self {
        Self {
            baseline: "native",
            aims: OVER_NETWORK,
            server: Some(server),
            only,
        }
    }
}

/// Somebody who keeps things in a place.
trait Keeper {
    async fn keep(
        &self,
        action: Action,
        callers: u32,
        calls: u32,
        each: bool,
    ) -> anyhow::Result<Told>;
}

/// A workload that keeps things in one backend.
struct Place {
    backend: &'static str,
    dialect: Dialect,
    driven: Driven,
    workers: Workers,
}

impl Place {
    async fn new(backend: &'static str, config: Value, dialect: Dialect) -> anyhow::Result<Self> {
        let (namespace, drive) = match dialect {
            Dialect::P2 => ("wasi", "keyvalue"),
            Dialect::P3 => ("wasmcloud", "keyvalue-async"),
        };
        let setup = Setup {
            guest: guests::keyvalue(dialect),
            interfaces: vec![drive],
            fields: json!({}),
            grant: json!({
                "namespace": namespace,
                "package": "keyvalue",
                "interfaces": ["store", "atomics"],
                "config": config,
            }),
            folder: servers::folder()?,
        };
        let workers = Workers::new()?;
        Ok(Self {
            backend,
            dialect,
            driven: workers.run(Driven::start(setup)).await?,
            workers,
        })
    }

    /// All actions beside somebody else.
    async fn measure(
        &self,
        theirs: &impl Keeper,
        beside: Beside<'_>,
        records: &mut Vec<Record>,
    ) -> anyhow::Result<()> {
        for action in Action::ALL {
            let name = format!("{}-{}", self.backend, action.name());
            let name = name + self.dialect.suffix();
            if beside.only.is(&name) {
                let case = Case {
                    name,
                    baseline: beside.baseline,
                    aims: beside.aims,
                    server: beside.server,
                };
                let (ours, theirs) = (Doing(self, action), Doing(theirs, action));
                records.extend(case.measure(&ours, &theirs).await?);
            }
        }
        Ok(())
    }
}

impl Keeper for Place {
    async fn keep(
        &self,
        action: Action,
        callers: u32,
        calls: u32,
        each: bool,
    ) -> anyhow::Result<Told> {
        let caller = |caller| {
            let driven = self.driven.clone();
            let params = (action, action.key(caller), calls, each);
            async move { driven.call("run", params).await }
        };
        at_once(&self.workers, callers, caller).await
    }
}

/// A client without a host.
trait Native: Clone + Send + Sync + 'static {
    type Connected: Clone + Send + Sync + 'static;

    /// Connects, in the threads where it will be used.
    fn connect(self) -> impl Future<Output = anyhow::Result<Self::Connected>> + Send;

    /// What does something to a key again and again. A key that is read is there by then.
    fn caller(
        connected: Self::Connected,
        action: Action,
        key: String,
    ) -> impl Future<Output = anyhow::Result<impl Call>> + Send;
}

/// Such a client on threads of its own.
struct Clients<N: Native> {
    native: N,
    connected: tokio::sync::OnceCell<N::Connected>,
    workers: Workers,
}

impl<N: Native> Clients<N> {
    fn new(native: N) -> anyhow::Result<Self> {
        Ok(Self {
            native,
            connected: tokio::sync::OnceCell::new(),
            workers: Workers::new()?,
        })
    }
}

impl<N: Native> Keeper for Clients<N> {
    async fn keep(
        &self,
        action: Action,
        callers: u32,
        calls: u32,
        each: bool,
    ) -> anyhow::Result<Told> {
        let connect = || self.workers.run(self.native.clone().connect());
        let connected = self.connected.get_or_try_init(connect).await?;
        let caller = |caller| {
            let (connected, key) = (connected.clone(), action.key(caller));
            async move {
                let call = N::caller(connected, action, key).await?;
                in_a_row(call, calls, each).await
            }
        };
        at_once(&self.workers, callers, caller).await
    }
}

/// Somebody who does one thing.
struct Doing<'a, K>(&'a K, Action);

impl<K: Keeper> Side for Doing<'_, K> {
    async fn calls(&self, callers: u32, calls: u32, each: bool) -> anyhow::Result<Told> {
        self.0.keep(self.1, callers, calls, each).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn works(keeper: &impl Keeper) {
        for action in Action::ALL {
            for _ in 0..2 {
                let told = keeper.keep(action, 3, 5, true).await.unwrap();
                assert_eq!(told.times.len(), 15, "{action:?}");
            }
        }
    }

    #[tokio::test]
    async fn guests_keep_things_in_both_dialects() {
        let (redis, nats) = (servers::redis().await, servers::nats().await);
        let (redis, nats) = (redis.unwrap(), nats.unwrap());
        for config in [
            json!({ "backend": "memory" }),
            json!({ "backend": "redb" }),
            json!({ "backend": "redis", "url": redis.url }),
            json!({ "backend": "nats", "url": nats.url }),
        ] {
            for dialect in Dialect::ALL {
                works(&Place::new("any", config.clone(), dialect).await.unwrap()).await;
            }
        }
    }

    #[tokio::test]
    async fn calls_without_a_store_are_answered_in_both_dialects() {
        for dialect in Dialect::ALL {
            works(&Empty::new(dialect).unwrap()).await;
        }
    }

    #[tokio::test]
    async fn native_clients_do_the_same() {
        works(&Clients::new(Redb::open().unwrap()).unwrap()).await;
        let server = servers::redis().await.unwrap();
        works(&Clients::new(Redis(server.url.clone())).unwrap()).await;
        let server = servers::nats().await.unwrap();
        works(&Clients::new(Nats(server.url.clone())).unwrap()).await;
    }
}
