//! What a database must do, as the contract of [`Database`] says, against a real server.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod faults;
mod full;
mod hostile;
mod long_rows;
mod sessions;
mod trust;
mod values;

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use test_servers::Postgres;

use super::limited::Limited;
use super::server::{LongRows, OnServer, Pool, Room, Share, Size, Target};
use super::tls::Tls;
use super::value::Value;
use super::{Database, Fault, PostgresOptions, ServerUrl};
use crate::net::dial::{Dial, NamedBy};
use crate::net::resolve::SystemResolver;
use crate::net::trust::Authorities;
use crate::policy::{EgressOptions, EgressPolicy};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a database is reached, where a test wants it otherwise.
struct How {
    connections: usize,
    wait: Duration,
    idle: Duration,
    statement: Duration,
    options: PostgresOptions,
    /// Files with authorities that the host trusts.
    authorities: Vec<std::path::PathBuf>,
    room: Arc<Room>,
    share: Arc<Share>,
    dial: Dial,
}

impl Default for How {
    fn default() -> Self {
        let options = PostgresOptions::default();
        Self {
            connections: 2,
            wait: PATIENCE,
            idle: PATIENCE,
            statement: PATIENCE,
            room: room(100),
            share: share(100),
            options,
            authorities: Vec::new(),
            dial: dial(&["127.0.0.0/8"]),
        }
    }
}

/// The places of a host.
fn room(places: usize) -> Arc<Room> {
    let options = PostgresOptions::default();
    Arc::new(Room::new(places, options.max_row))
}

/// Those of a workload, with what else its entries have together.
fn share(places: usize) -> Arc<Share> {
    let options = PostgresOptions::default();
    Arc::new(Share::new(places, LongRows::new(options.max_row)))
}

/// Anywhere that is allowed.
fn dial(allow: &[&str]) -> Dial {
    let options = EgressOptions {
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ..EgressOptions::default()
    };
    Dial::new(
        EgressPolicy::new(options),
        Arc::new(SystemResolver::default()),
    )
}

fn open(url: &str, how: How) -> Limited<OnServer> {
    let target = Target {
        url: url.parse::<ServerUrl>().unwrap(),
        by: NamedBy::Workload,
        dial: how.dial,
        tls: Arc::new(Tls::load(&Authorities::load(&how.authorities).unwrap())),
        statement: how.statement,
        longest: how.options.max_row,
    };
    let size = Size {
        connections: how.connections,
        wait: how.wait,
        idle: how.idle,
    };
    let about = "tests/conformance".to_owned();
    let pool = Pool::new(target, size, &how.room, &how.share, about);
    Limited::new(OnServer::new(pool), &how.options, size.wait)
}

async fn rows(
    database: &impl Database,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Vec<Value>>, Fault> {
    let answer = database.query(sql.to_owned(), params.to_vec()).await?;
    answer.rows.map_ok(|row| row.values).try_collect().await
}

/// The only value of the only row.
async fn one(database: &impl Database, sql: &str, params: &[Value]) -> Result<Value, Fault> {
    let mut rows = rows(database, sql, params).await?;
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}");
    Ok(rows[0].remove(0))
}

async fn batch(database: &impl Database, sql: &str) -> Result<(), Fault> {
    database.batch(sql.to_owned()).await
}

/// The SQLSTATE that it failed with.
fn code<T: std::fmt::Debug>(failed: Result<T, Fault>) -> String {
    match failed {
        Err(Fault::Failed(refusal)) => refusal.code,
        other => panic!("it is no failure of the database: {other:?}"),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
