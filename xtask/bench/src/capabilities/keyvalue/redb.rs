//! The database that the host keeps in its data folder, called directly: each change is a transaction that is on the disk at its end.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tempfile::TempDir;

use super::{Action, Native, VALUE};
use crate::capabilities::servers;
use crate::stopwatch::Call;

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bench");

/// A database in a folder that goes with it.
#[derive(Clone)]
pub(super) struct Redb {
    database: Arc<Database>,
    _folder: Arc<TempDir>,
}

impl Redb {
    pub(super) fn open() -> anyhow::Result<Self> {
        let folder = servers::folder()?;
        let database = Database::create(folder.path().join("native.redb"))?;
        Ok(Self {
            database: Arc::new(database),
            _folder: folder,
        })
    }

    fn get(&self, key: &str) -> anyhow::Result<()> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let value = table.get(key)?.context("the key is gone")?;
        ensure!(value.value().len() == VALUE.len(), "another value is there");
        Ok(())
    }

    fn set(&self, key: &str) -> anyhow::Result<()> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(TABLE)?.insert(key, &VALUE[..])?;
        Ok(transaction.commit()?)
    }

    fn increment(&self, key: &str) -> anyhow::Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            let count = match table.get(key)? {
                Some(count) => std::str::from_utf8(count.value())?.parse::<i64>()?,
                None => 0,
            };
            table.insert(key, (count + 1).to_string().as_bytes())?;
        }
        Ok(transaction.commit()?)
    }
}

impl Native for Redb {
    type Connected = Self;

    async fn connect(self) -> anyhow::Result<Self> {
        Ok(self)
    }

    async fn caller(database: Self, action: Action, key: String) -> anyhow::Result<impl Call> {
        if action == Action::Get {
            let (database, key) = (database.clone(), key.clone());
            tokio::task::spawn_blocking(move || database.set(&key)).await??;
        }
        Ok(Caller {
            database,
            action,
            key,
        })
    }
}

struct Caller {
    database: Redb,
    action: Action,
    key: String,
}

impl Call for Caller {
    async fn call(&mut self) -> anyhow::Result<()> {
        // As it blocks, others are given another thread meanwhile.
        #[expect(
            clippy::disallowed_methods,
            reason = "a program that has the database to itself would do so; the bench has a runtime of several threads"
        )]
        tokio::task::block_in_place(|| match self.action {
            Action::Get => self.database.get(&self.key),
            Action::Set => self.database.set(&self.key),
            Action::Increment => self.database.increment(&self.key),
        })
    }
}
