//! The client of NATS that the host uses, with an object store of its own.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use async_nats::jetstream::object_store::{Config, ObjectStore};
use tokio::io::{AsyncReadExt as _, repeat};

use super::{Mover, Way};
use crate::workers::Workers;

const NAME: &str = "blob";

/// A store, and the threads that use it.
pub(super) struct Nats {
    store: ObjectStore,
    workers: Workers,
}

impl Nats {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        let (workers, url) = (Workers::new()?, url.to_owned());
        let connect = async move {
            let client = async_nats::connect(url).await?;
            let config = Config {
                bucket: "native".to_owned(),
                ..Config::default()
            };
            let store = jetstream::new(client).create_object_store(config).await;
            store.context("there is no object store on NATS")
        };
        Ok(Self {
            store: workers.run(connect).await?,
            workers,
        })
    }
}

impl Mover for Nats {
    fn name(&self, _: Way) -> &'static str {
        "native"
    }

    async fn flow(&self, way: Way, bytes: u64) -> anyhow::Result<f64> {
        let store = self.store.clone();
        let flow = async move {
            let begun = Instant::now();
            match way {
                Way::Write => {
                    store.put(NAME, &mut repeat(7).take(bytes)).await?;
                }
                Way::Read => {
                    let mut object = store.get(NAME).await?;
                    let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
                    loop {
                        match object.read(&mut buffer).await? {
                            0 => break,
                            length => read += length as u64,
                        }
                    }
                    ensure!(read == bytes, "{read} bytes came, not {bytes}");
                }
            }
            Ok(begun.elapsed().as_secs_f64())
        };
        self.workers.run(flow).await
    }
}
