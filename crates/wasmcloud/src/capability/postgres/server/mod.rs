//! A database on a server of PostgreSQL.

mod connect;
mod fault;
mod long_rows;
mod pool;
mod prepared;
mod reading;
mod room;
mod session;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use tokio::time::{Instant, timeout};
use tokio_postgres::{Error, RowStream, Statement};

pub(super) use self::connect::Target;
use self::long_rows::LARGER;
#[cfg(test)]
pub(super) use self::long_rows::LongRows;
use self::pool::Lease;
pub(super) use self::pool::{Pool, Size};
use self::reading::Reading;
pub(super) use self::room::{Room, Share};
use super::convert::{Encoded, Locale, encode};
use super::gate::Gate;
use super::{Answer, Database, Fault, Value};

/// How much longer than the server we wait for what it should have given up by then.
const GRACE: Duration = Duration::from_secs(2);
const OPEN: &str = "it leaves a transaction open, which is rolled back: transactions end with the call; put all of it into one batch, up to COMMIT";

/// A database, with the statements that its workload has prepared.
pub(super) struct OnServer {
    pool: Arc<Pool>,
    /// By which those of this entry are told from the others of the workload.
    entry: u64,
}

/// A statement that runs.
struct Running {
    lease: Lease,
    statement: Statement,
    rows: std::pin::Pin<Box<RowStream>>,
    locale: Locale,
    clock: Clock,
    /// What the values of a row may take.
    space: usize,
    /// Where there is room for rows that take much.
    made: Gate,
}

/// How long a statement has run, and may.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    most: Duration,
}

impl Clock {
    /// What the server does until then; it should have given up before.
    async fn within<T>(&self, doing: impl Future<Output = T>) -> Result<T, Fault> {
        timeout(self.most + GRACE, doing)
            .await
            .map_err(|_| Fault::Timeout)
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.most
    }
}

/// What is left to do after a failure to begin.
enum Failed {
    /// Nothing was carried out: it may be begun again in another session.
    Again,
    Fault(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl OnServer {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        let entry = pool.share().prepared.open();
        Self { pool, entry }
    }

    fn clock(&self) -> Clock {
        Clock {
            began: Instant::now(),
            most: self.pool.target.statement,
        }
    }

    /// Begins a statement. In a session that turns out to be of no use, it is begun once more in another.
    async fn begin(&self, sql: &str, params: &[Value]) -> Result<Running, Fault> {
        match self.try_to_begin(sql, params).await {
            Ok(running) => return Ok(running),
            Err(Failed::Fault(fault)) => return Err(fault),
            Err(Failed::Again) => {}
        }
        let again = self.try_to_begin(sql, params).await;
        again.map_err(|failed| match failed {
            Failed::Fault(fault) => fault,
            Failed::Again => Fault::Unavailable("the connection to its server broke".to_owned()),
        })
    }

    async fn try_to_begin(&self, sql: &str, params: &[Value]) -> Result<Running, Failed> {
        let mut lease = self.pool.take().await?;
        let clock = self.clock();
        let (statement, cached) = self.statement(&mut lease, sql, &clock).await?;
        let locale = match clock.within(lease.session()?.locale(&statement)).await? {
            Ok(locale) => locale,
            Err(error) => return Err(self.failed(lease, &error, &clock).into()),
        };
        let params = match encoded(&statement, params, locale) {
            Ok(params) => params,
            Err(fault) => {
                lease.end();
                return Err(fault.into());
            }
        };
        let session = lease.session()?;
        session.sent(sql);
        match clock
            .within(session.client.query_raw(&statement, params))
            .await?
        {
            Ok(rows) => Ok(Running {
                lease,
                statement,
                rows: Box::pin(rows),
                locale,
                clock,
                space: self.pool.target.longest.saturating_mul(LARGER),
                made: self.pool.made(),
            }),
            Err(error) if cached && is_outdated(&error) => {
                session.forget(sql);
                lease.end();
                Err(Failed::Again)
            }
            Err(error) => Err(self.failed(lease, &error, &clock).into()),
        }
    }

    /// The statement, prepared in the session of the lease. Nothing has been carried out until then.
    async fn statement(
        &self,
        lease: &mut Lease,
        sql: &str,
        clock: &Clock,
    ) -> Result<(Statement, bool), Failed> {
        let reused = lease.reused;
        let session = lease.begin()?;
        let error = match clock.within(session.prepare(sql)).await? {
            Ok(prepared) => return Ok(prepared),
            Err(error) => error,
        };
        let fault = fault::of_statement(&error, &session.seen, clock.is_over());
        if fault::is_lost(&error) {
            lease.lose();
            if reused {
                // Its server was away: the others are as old.
                self.pool.distrust();
                return Err(Failed::Again);
            }
        }
        lease.end();
        Err(fault.into())
    }

    /// A statement has failed: what to say, with the session put where it belongs.
    fn failed(&self, mut lease: Lease, error: &Error, clock: &Clock) -> Fault {
        let Ok(session) = lease.session() else {
            return Fault::Unavailable("the connection to its server broke".to_owned());
        };
        let fault = fault::of_statement(error, &session.seen, clock.is_over());
        if fault::is_lost(error) {
            lease.lose();
        } else if error.as_db_error().is_some() {
            lease.end();
        }
        // Whatever else is wrong, the connection is not understood any more, and is closed.
        fault
    }
}

/// Whether a statement that was prepared before has to be prepared anew: what it is about has changed, or the session has lost it.
fn is_outdated(error: &Error) -> bool {
    let code = error.code().map(tokio_postgres::error::SqlState::code);
    matches!(code, Some("0A000" | "26000"))
}

fn encoded(statement: &Statement, params: &[Value], locale: Locale) -> Result<Vec<Encoded>, Fault> {
    let places = statement.params();
    if places.len() != params.len() {
        return Err(Fault::Params(format!(
            "the statement has {} parameters, and was given {}",
            places.len(),
            params.len()
        )));
    }
    let pairs = params.iter().zip(places).enumerate();
    let encoded = pairs.map(|(index, (value, ty))| {
        encode(value, ty, locale)
            .map_err(|wrong| Fault::Params(format!("parameter ${}: {wrong}", index + 1)))
    });
    encoded.collect()
}

#[async_trait]
impl Database for OnServer {
    fn trouble(&self) -> Option<String> {
        self.pool.reach().trouble()
    }

    async fn query(&self, sql: String, params: Vec<Value>) -> Result<Answer, Fault> {
        let running = self.begin(&sql, &params).await?;
        let columns = running.statement.columns().iter();
        let columns = columns.map(|column| column.name().to_owned()).collect();
        let rows = Reading::begin(running).await?;
        Ok(Answer {
            columns,
            rows: rows.into_rows(),
        })
    }

    async fn batch(&self, sql: String) -> Result<(), Fault> {
        let mut lease = self.pool.take().await?;
        let clock = self.clock();
        let session = lease.begin()?;
        session.sent(&sql);
        if let Err(error) = clock.within(session.client.batch_execute(&sql)).await? {
            session.broke_off();
            return Err(self.failed(lease, &error, &clock));
        }
        let open = session.seen.in_transaction();
        lease.end();
        match open {
            true => Err(Fault::Query(OPEN.to_owned())),
            false => Ok(()),
        }
    }

    async fn prepare(&self, sql: String) -> Result<String, Fault> {
        let mut again = false;
        loop {
            let mut lease = self.pool.take().await?;
            let clock = self.clock();
            match self.statement(&mut lease, &sql, &clock).await {
                Ok(_) => lease.end(),
                Err(Failed::Again) if !again => {
                    again = true;
                    continue;
                }
                Err(Failed::Again) => {
                    return Err(Fault::Unavailable(
                        "the connection to its server broke".to_owned(),
                    ));
                }
                Err(Failed::Fault(fault)) => return Err(fault),
            }
            return Ok(self.pool.share().prepared.token(self.entry, &sql));
        }
    }

    async fn execute(&self, token: &str, params: Vec<Value>) -> Result<u64, Fault> {
        let sql = self.pool.share().prepared.sql(self.entry, token);
        let sql = sql.ok_or(Fault::Unknown)?;
        let mut running = self.begin(&sql, &params).await?;
        loop {
            match running.clock.within(running.rows.try_next()).await? {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Err(self.failed(running.lease, &error, &running.clock)),
            }
        }
        let open = running.lease.session()?.seen.in_transaction();
        running.lease.end();
        match open {
            true => Err(Fault::Query(OPEN.to_owned())),
            false => Ok(running.rows.rows_affected().unwrap_or(0)),
        }
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        self.pool.share().prepared.close(self.entry);
        self.pool.close();
    }
}
