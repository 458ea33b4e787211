//! PostgreSQL: queries of one row by a guest, beside the client that the host uses, with as many connections and the statement
//! prepared on each of them, as there.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, Statement};

use super::loops::{Case, OVER_NETWORK, Side, Told, at_once};
use super::{Only, servers};
use crate::guests::{self, Dialect};
use crate::library::capabilities::{Driven, Setup};
use crate::record::Record;
use crate::stopwatch::{Call, in_a_row};
use crate::workers::Workers;

/// How many connections either side has.
const CONNECTIONS: usize = 10;
/// What the guests ask.
const SQL: &str = "SELECT $1::int8 AS number, 'one row'::text AS words";

/// All cases.
pub(super) async fn run(records: &mut Vec<Record>, only: Only<'_>) -> anyhow::Result<()> {
    if !only.has("postgres-query") {
        return Ok(());
    }
    let server = servers::postgres().await?;
    let theirs = Native::new(server.url.clone())?;
    for dialect in Dialect::ALL {
        let name = format!("postgres-query{}", dialect.suffix());
        if only.is(&name) {
            let config = json!({ "url": server.url, "pool_size": CONNECTIONS.to_string() });
            let ours = Asking::new(dialect, config).await?;
            let case = Case {
                name,
                baseline: "native",
                aims: OVER_NETWORK,
                server: Some(&server),
            };
            records.extend(case.measure(&ours, &theirs).await?);
        }
    }
    Ok(())
}

/// A workload that asks.
struct Asking {
    driven: Driven,
    workers: Workers,
}

impl Asking {
    async fn new(dialect: Dialect, config: Value) -> anyhow::Result<Self> {
        let drive = match dialect {
            Dialect::P2 => "sql",
            Dialect::P3 => "sql-async",
        };
        let setup = Setup {
            guest: guests::postgres(dialect),
            interfaces: vec![drive],
            fields: json!({}),
            grant: json!({
                "namespace": "wasmcloud",
                "package": "postgres",
                "interfaces": ["query"],
                "config": config,
            }),
            folder: servers::folder()?,
        };
        let workers = Workers::new()?;
        let driven = workers.run(Driven::start(setup)).await?;
        Ok(Self { driven, workers })
    }
}

impl Side for Asking {
    async fn calls(&self, callers: u32, calls: u32, each: bool) -> anyhow::Result<Told> {
        let caller = |_| {
            let driven = self.driven.clone();
            async move { driven.call("run", (calls, each)).await }
        };
        at_once(&self.workers, callers, caller).await
    }
}

/// Connections on threads of their own.
struct Native {
    url: String,
    connections: OnceCell<Vec<Connection>>,
    workers: Workers,
}

/// A connection, and the statement on it.
#[derive(Clone)]
struct Connection {
    client: Arc<Client>,
    statement: Statement,
}

impl Native {
    fn new(url: String) -> anyhow::Result<Self> {
        Ok(Self {
            url,
            connections: OnceCell::new(),
            workers: Workers::new()?,
        })
    }
}

async fn connect(url: String) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        // It ends with its client, and an error is told to whoever asks.
        tokio::spawn(connection);
        let statement = client.prepare(SQL).await?;
        connections.push(Connection {
            client: Arc::new(client),
            statement,
        });
    }
    Ok(connections)
}

impl Side for Native {
    async fn calls(&self, callers: u32, calls: u32, each: bool) -> anyhow::Result<Told> {
        let connect = || self.workers.run(connect(self.url.clone()));
        let connections = self.connections.get_or_try_init(connect).await?;
        let caller = |caller| {
            let mut all = connections.iter().cycle().skip(caller as usize);
            let connection = all.next().cloned();
            async move {
                let connection = connection.context("no connections")?;
                let asking = Query {
                    connection,
                    number: 0,
                };
                in_a_row(asking, calls, each).await
            }
        };
        at_once(&self.workers, callers, caller).await
    }
}

struct Query {
    connection: Connection,
    number: i64,
}

impl Call for Query {
    async fn call(&mut self) -> anyhow::Result<()> {
        self.number += 1;
        let Connection { client, statement } = &self.connection;
        let row = client.query_one(statement, &[&self.number]).await?;
        let (number, words): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
        ensure!(
            number == self.number && words == "one row",
            "another row came"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn guests_and_clients_ask() {
        let server = servers::postgres().await.unwrap();
        let theirs = Native::new(server.url.clone()).unwrap();
        assert_eq!(theirs.calls(12, 5, true).await.unwrap().times.len(), 60);
        for dialect in Dialect::ALL {
            let ours = Asking::new(dialect, json!({ "url": server.url }));
            let ours = ours.await.unwrap();
            assert_eq!(ours.calls(12, 5, true).await.unwrap().times.len(), 60);
        }
    }
}
