//! What is too much, refused before any database sees it.

use std::time::Duration;

use async_trait::async_trait;

use super::gate::Gate;
use super::{Answer, Database, Fault, PostgresOptions, Value, weight};
use crate::capability::in_flight::InFlight;

/// How many parameters the protocol has room for.
const PARAMS: usize = 32_767;

/// A database that takes no more than it should.
pub(super) struct Limited<D> {
    database: D,
    max_sql: usize,
    /// For calls: while they wait for a connection, their bytes are in the host.
    gate: Gate,
}

impl<D> Limited<D> {
    pub(super) fn new(database: D, options: &PostgresOptions, wait: Duration) -> Self {
        Self {
            database,
            max_sql: options.max_sql,
            gate: Gate::new(InFlight::new(options.max_in_flight), wait),
        }
    }

    fn sql(&self, sql: &str) -> Result<(), Fault> {
        if sql.len() > self.max_sql {
            return Err(Fault::Query(format!(
                "the SQL has {} bytes, of at most {}",
                sql.len(),
                self.max_sql
            )));
        }
        match sql.contains('\0') {
            true => Err(Fault::Query("there is a zero in the SQL".to_owned())),
            false => Ok(()),
        }
    }
}

fn params(params: &[Value]) -> Result<(), Fault> {
    match params.len() {
        0..=PARAMS => Ok(()),
        found => Err(Fault::Params(format!(
            "there are {found} parameters, of at most {PARAMS}"
        ))),
    }
}

#[async_trait]
impl<D: Database> Database for Limited<D> {
    fn trouble(&self) -> Option<String> {
        self.database.trouble()
    }

    async fn query(&self, sql: String, values: Vec<Value>) -> Result<Answer, Fault> {
        self.sql(&sql)?;
        params(&values)?;
        let _held = self.gate.admit(sql.len() + weight::of(&values)).await?;
        self.database.query(sql, values).await
    }

    async fn batch(&self, sql: String) -> Result<(), Fault> {
        self.sql(&sql)?;
        let _held = self.gate.admit(sql.len()).await?;
        self.database.batch(sql).await
    }

    async fn prepare(&self, sql: String) -> Result<String, Fault> {
        self.sql(&sql)?;
        let _held = self.gate.admit(sql.len()).await?;
        self.database.prepare(sql).await
    }

    async fn execute(&self, token: &str, values: Vec<Value>) -> Result<u64, Fault> {
        params(&values)?;
        let _held = self.gate.admit(weight::of(&values)).await?;
        self.database.execute(token, values).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a failed unwrap is a failed test"
    )]
    use std::sync::Arc;

    use futures::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    /// A database whose connections are all taken: each call waits for a turn.
    struct Busy(Arc<Semaphore>);

    #[async_trait]
    impl Database for Busy {
        async fn query(&self, _: String, _: Vec<Value>) -> Result<Answer, Fault> {
            Err(Fault::Unknown)
        }

        async fn batch(&self, _: String) -> Result<(), Fault> {
            self.0.acquire().await.unwrap().forget();
            Ok(())
        }

        async fn prepare(&self, _: String) -> Result<String, Fault> {
            Err(Fault::Unknown)
        }

        async fn execute(&self, _: &str, _: Vec<Value>) -> Result<u64, Fault> {
            self.0.acquire().await.unwrap().forget();
            Ok(1)
        }
    }

    fn busy(wait: Duration) -> (Limited<Busy>, Arc<Semaphore>) {
        let turns = Arc::new(Semaphore::new(0));
        let options = PostgresOptions {
            max_in_flight: 10_000,
            ..PostgresOptions::default()
        };
        (
            Limited::new(Busy(Arc::clone(&turns)), &options, wait),
            turns,
        )
    }

    fn large() -> Vec<Value> {
        vec![Value::Bytea(vec![0; 8_000])]
    }

    #[tokio::test]
    async fn parameters_that_wait_for_a_connection_do_not_pile_up() {
        let (database, turns) = busy(Duration::from_secs(24 * 3600));
        let mut calls: Vec<_> = (0..100)
            .map(|_| Box::pin(database.execute("token", large())))
            .collect();
        let mut refused = 0;
        calls.retain_mut(|call| match call.now_or_never() {
            Some(Err(Fault::Other(told))) => {
                assert!(told.contains("are waiting already"), "{told}");
                refused += 1;
                false
            }
            Some(other) => panic!("nobody has a turn: {other:?}"),
            None => true,
        });
        assert_eq!(
            (calls.len(), refused),
            (4, 96),
            "four times as much as may go"
        );
        // Those that wait are served.
        turns.add_permits(5);
        for call in calls {
            assert_eq!(call.await, Ok(1));
        }
        assert_eq!(database.execute("token", large()).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_others_waits_no_longer_than_for_a_connection() {
        let (database, _turns) = busy(Duration::from_secs(5));
        let mut first = Box::pin(database.execute("token", large()));
        assert!((&mut first).now_or_never().is_none());
        let sql = " ".repeat(9_000);
        assert_eq!(database.batch(sql).await, Err(Fault::Timeout));
    }
}
