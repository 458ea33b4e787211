//! What is too much, refused before any database sees it.

use async_trait::async_trait;
use futures::TryStreamExt as _;

use super::{Answer, Database, Fault, Rows, Value};

/// How many parameters the protocol has room for.
const PARAMS: usize = 32_767;

/// A database that takes no more than it should.
pub(super) struct Limited<D> {
    database: D,
    max_sql: usize,
}

impl<D> Limited<D> {
    pub(super) fn new(database: D, max_sql: usize) -> Self {
        Self { database, max_sql }
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
    async fn query(&self, sql: String, values: Vec<Value>) -> Result<Answer, Fault> {
        self.sql(&sql)?;
        params(&values)?;
        self.database.query(sql, values).await
    }

    async fn batch(&self, sql: String) -> Result<(), Fault> {
        self.sql(&sql)?;
        self.database.batch(sql).await
    }

    async fn prepare(&self, sql: String) -> Result<String, Fault> {
        self.sql(&sql)?;
        self.database.prepare(sql).await
    }

    async fn execute(&self, token: &str, values: Vec<Value>) -> Result<u64, Fault> {
        params(&values)?;
        self.database.execute(token, values).await
    }
}

/// All rows at once, as long as they are no more than so many bytes.
pub(super) async fn all(mut rows: Rows, most: usize) -> Result<Vec<Vec<Value>>, Fault> {
    let (mut all, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.try_next().await? {
        bytes = bytes.saturating_add(row.bytes);
        if bytes > most {
            return Err(Fault::Other(format!(
                "the rows have more than {most} bytes: ask for fewer with LIMIT, or use the interface that streams them"
            )));
        }
        all.push(row.values);
    }
    Ok(all)
}
