//! The client of Redis that the host uses, with one connection for all callers, as there.

use std::time::Duration;

use anyhow::ensure;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd};

use super::{Action, Native, VALUE};
use crate::stopwatch::Call;

/// A server, by its URL.
#[derive(Clone)]
pub(super) struct Redis(pub(super) String);

impl Native for Redis {
    type Connected = MultiplexedConnection;

    async fn connect(self) -> anyhow::Result<MultiplexedConnection> {
        let patient = Some(Duration::from_secs(5));
        let config = AsyncConnectionConfig::new().set_response_timeout(patient);
        let client = Client::open(self.0)?;
        Ok(client
            .get_multiplexed_async_connection_with_config(&config)
            .await?)
    }

    async fn caller(
        mut connection: MultiplexedConnection,
        action: Action,
        key: String,
    ) -> anyhow::Result<impl Call> {
        if action == Action::Get {
            let set = Cmd::set(&key, &VALUE);
            set.exec_async(&mut connection).await?;
        }
        Ok(Caller {
            connection,
            action,
            key,
        })
    }
}

struct Caller {
    connection: MultiplexedConnection,
    action: Action,
    key: String,
}

impl Call for Caller {
    async fn call(&mut self) -> anyhow::Result<()> {
        match self.action {
            Action::Get => {
                let get = Cmd::get(&self.key);
                let value: Option<Vec<u8>> = get.query_async(&mut self.connection).await?;
                ensure!(value.is_some(), "the key is gone");
            }
            Action::Set => {
                let set = Cmd::set(&self.key, &VALUE);
                set.exec_async(&mut self.connection).await?;
            }
            Action::Increment => {
                let increment = Cmd::incr(&self.key, 1);
                let _: i64 = increment.query_async(&mut self.connection).await?;
            }
        }
        Ok(())
    }
}
