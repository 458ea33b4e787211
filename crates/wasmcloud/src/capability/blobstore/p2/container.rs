//! `wasi:blobstore/container`.

use futures::StreamExt as _;
use wasmtime::component::Resource;

use super::containers::{Host, HostContainer, HostStreamObjectNames};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::types::{ContainerMetadata, ObjectMetadata};
use super::{Told, told};
use crate::capability::blobstore::container::{Container, since_1970};
use crate::capability::blobstore::{BlobError, Names};
use crate::plugin::StoreData;

/// How many names one call gives, however many are wanted.
const MOST_NAMES: u64 = 10_000;

type Own = Resource<Container>;

fn held(store: &mut StoreData, container: &Own) -> wasmtime::Result<Container> {
    Ok(store.table().get(container)?.clone())
}

impl Host for StoreData {}

impl HostContainer for StoreData {
    async fn name(&mut self, own: Own) -> wasmtime::Result<Told<String>> {
        Ok(Ok(held(self, &own)?.name()))
    }

    async fn info(&mut self, own: Own) -> wasmtime::Result<Told<ContainerMetadata>> {
        let container = held(self, &own)?;
        let created = told(container.created().await);
        Ok(created.map(|created| ContainerMetadata {
            name: container.name(),
            created_at: since_1970(created).as_secs(),
        }))
    }

    async fn get_data(
        &mut self,
        own: Own,
        name: String,
        start: u64,
        end: u64,
    ) -> wasmtime::Result<Told<Resource<Incoming>>> {
        match held(self, &own)?.read(name, start, end).await {
            Ok(reading) => Ok(Ok(self.table().push(Incoming::new(reading))?)),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn write_data(
        &mut self,
        own: Own,
        name: String,
        data: Resource<Outgoing>,
    ) -> wasmtime::Result<Told<()>> {
        let container = held(self, &own)?;
        if !self.table().get(&data)?.is_free() {
            return Ok(Err(
                "the value is being written to an object already".to_owned()
            ));
        }
        match container.write(name).await {
            Ok(writing) => {
                self.table().get_mut(&data)?.lead_to(writing);
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn list_objects(&mut self, own: Own) -> wasmtime::Result<Told<Resource<ObjectNames>>> {
        match held(self, &own)?.list().await {
            Ok(names) => Ok(Ok(self.table().push(ObjectNames::new(names))?)),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn delete_object(&mut self, own: Own, name: String) -> wasmtime::Result<Told<()>> {
        Ok(told(held(self, &own)?.delete(vec![name]).await))
    }

    async fn delete_objects(&mut self, own: Own, names: Vec<String>) -> wasmtime::Result<Told<()>> {
        Ok(told(held(self, &own)?.delete(names).await))
    }

    async fn has_object(&mut self, own: Own, name: String) -> wasmtime::Result<Told<bool>> {
        Ok(told(held(self, &own)?.has(name).await))
    }

    async fn object_info(
        &mut self,
        own: Own,
        name: String,
    ) -> wasmtime::Result<Told<ObjectMetadata>> {
        let container = held(self, &own)?;
        let info = told(container.info(name.clone()).await);
        Ok(info.map(|info| ObjectMetadata {
            name,
            container: container.name(),
            created_at: since_1970(info.created).as_secs(),
            size: info.size,
        }))
    }

    async fn clear(&mut self, own: Own) -> wasmtime::Result<Told<()>> {
        Ok(told(held(self, &own)?.clear().await))
    }

    async fn drop(&mut self, own: Own) -> wasmtime::Result<()> {
        self.table().delete(own)?;
        Ok(())
    }
}

/// Names that a guest reads.
#[allow(unreachable_pub, reason = "the bindings name it publicly")]
pub struct ObjectNames {
    names: Names,
    /// What was read to see whether there is more.
    ahead: Option<Result<String, BlobError>>,
}

impl ObjectNames {
    fn new(names: Names) -> Self {
        Self { names, ahead: None }
    }

    /// Gives the next names to somebody, so many at most. Says how many, and whether there are no more.
    async fn next(
        &mut self,
        most: u64,
        mut take: impl FnMut(String),
    ) -> Result<(u64, bool), BlobError> {
        let mut given = 0;
        loop {
            let next = match self.ahead.take() {
                Some(next) => next,
                None => match self.names.next().await {
                    Some(next) => next,
                    None => return Ok((given, true)),
                },
            };
            if given == most {
                self.ahead = Some(next);
                return Ok((given, false));
            }
            take(next?);
            given += 1;
        }
    }
}

type Stream = Resource<ObjectNames>;

impl HostStreamObjectNames for StoreData {
    async fn read_stream_object_names(
        &mut self,
        stream: Stream,
        most: u64,
    ) -> wasmtime::Result<Told<(Vec<String>, bool)>> {
        let mut names = Vec::new();
        let stream = self.table().get_mut(&stream)?;
        let read = stream
            .next(most.min(MOST_NAMES), |name| names.push(name))
            .await;
        Ok(told(read.map(|(_, last)| (names, last))))
    }

    async fn skip_stream_object_names(
        &mut self,
        stream: Stream,
        most: u64,
    ) -> wasmtime::Result<Told<(u64, bool)>> {
        let stream = self.table().get_mut(&stream)?;
        Ok(told(stream.next(most, drop).await))
    }

    async fn drop(&mut self, stream: Stream) -> wasmtime::Result<()> {
        self.table().delete(stream)?;
        Ok(())
    }
}
