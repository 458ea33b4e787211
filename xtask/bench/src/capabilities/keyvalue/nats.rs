//! The client of NATS that the host uses, with a bucket of JetStream of its own.

use std::time::Duration;

use anyhow::ensure;
use async_nats::jetstream;
use async_nats::jetstream::kv::{Store, UpdateErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy};

use super::{Action, Native, VALUE};
use crate::stopwatch::Call;

const BUCKET: &str = "native";
/// How often a counter is tried that somebody else has counted meanwhile.
const TRIES: usize = 100;

/// A server, by its URL.
#[derive(Clone)]
pub(super) struct Nats(pub(super) String);

impl Native for Nats {
    type Connected = Store;

    async fn connect(self) -> anyhow::Result<Store> {
        let client = async_nats::connect(self.0).await?;
        let context = jetstream::ContextBuilder::new().timeout(Duration::from_secs(5));
        let context = context.build(client);
        // The call that makes a bucket first asks about the account, which servers of 2.9 answer in a way that the client does not
        // understand.
        let stream = Config {
            name: format!("KV_{BUCKET}"),
            subjects: vec![format!("$KV.{BUCKET}.>")],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            allow_direct: true,
            deny_delete: true,
            ..Config::default()
        };
        context.create_stream(stream).await?;
        Ok(context.get_key_value(BUCKET).await?)
    }

    async fn caller(store: Store, action: Action, key: String) -> anyhow::Result<impl Call> {
        if action == Action::Get {
            store.put(&key, VALUE[..].into()).await?;
        }
        Ok(Caller { store, action, key })
    }
}

struct Caller {
    store: Store,
    action: Action,
    key: String,
}

impl Call for Caller {
    async fn call(&mut self) -> anyhow::Result<()> {
        match self.action {
            Action::Get => {
                let value = self.store.get(&self.key).await?;
                ensure!(value.is_some(), "the key is gone");
            }
            Action::Set => {
                self.store.put(&self.key, VALUE[..].into()).await?;
            }
            Action::Increment => self.increment().await?,
        }
        Ok(())
    }
}

impl Caller {
    /// There is no such call: one reads, and writes if nobody else has.
    async fn increment(&self) -> anyhow::Result<()> {
        for _ in 0..TRIES {
            let (count, revision) = match self.store.entry(&self.key).await? {
                Some(entry) => {
                    let count = std::str::from_utf8(&entry.value)?.parse::<i64>()?;
                    (count, entry.revision)
                }
                None => (0, 0),
            };
            let count = (count + 1).to_string();
            match self.store.update(&self.key, count.into(), revision).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("somebody else was always quicker")
    }
}
