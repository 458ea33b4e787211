//! `wasmcloud:blobstore/container`.

use tokio::sync::mpsc;
use wasmtime::component::{HasSelf, Resource, StreamReader};

use super::containers::{Host, HostContainer, HostContainerWithStore};
use super::stream::{Names, Received, Sent, WAITING};
use super::types::{ContainerMetadata, Error, ObjectMetadata};
use super::{Access, Told, told};
use crate::capability::blobstore::container::{Container, since_1970};
use crate::plugin::StoreData;

type Own = Resource<Container>;

fn held(access: &Access, own: &Own) -> wasmtime::Result<Container> {
    access.with(|mut store| Ok(store.get().table().get(own)?.clone()))
}

/// Nanoseconds, for as long as they fit.
fn nanoseconds(time: std::time::SystemTime) -> u64 {
    u64::try_from(since_1970(time).as_nanos()).unwrap_or(u64::MAX)
}

impl Host for StoreData {}

impl HostContainer for StoreData {
    fn drop(&mut self, own: Own) -> wasmtime::Result<()> {
        self.table().delete(own)?;
        Ok(())
    }
}

impl HostContainerWithStore<StoreData> for HasSelf<StoreData> {
    async fn name(access: &Access, own: Own) -> wasmtime::Result<Told<String>> {
        Ok(Ok(held(access, &own)?.name()))
    }

    async fn info(access: &Access, own: Own) -> wasmtime::Result<Told<ContainerMetadata>> {
        let container = held(access, &own)?;
        let created = told(container.created().await);
        Ok(created.map(|created| ContainerMetadata {
            name: container.name(),
            created_at: nanoseconds(created),
        }))
    }

    async fn get_data(
        access: &Access,
        own: Own,
        name: String,
        start: u64,
        end: u64,
    ) -> wasmtime::Result<Told<StreamReader<u8>>> {
        match held(access, &own)?.read(name, start, end).await {
            Ok(reading) => {
                let received = Received::new(reading.contents);
                Ok(Ok(access.with(|store| StreamReader::new(store, received))?))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn write_data(
        access: &Access,
        own: Own,
        name: String,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<Told<()>> {
        let opened = match held(access, &own) {
            Ok(container) => Ok(container.write(name).await),
            Err(error) => Err(error),
        };
        let mut writing = match opened {
            Ok(Ok(writing)) => writing,
            refused => {
                data.close_with(access)?;
                return Ok(refused?.map(drop).map_err(Error::from));
            }
        };
        let (sender, mut chunks) = mpsc::channel(WAITING);
        access.with(|store| data.pipe(store, Sent::new(sender)))?;
        while let Some(chunk) = chunks.recv().await {
            if let Err(error) = writing.write(chunk).await {
                return Ok(Err(error.into()));
            }
        }
        Ok(told(writing.commit().await))
    }

    async fn list_objects(
        access: &Access,
        own: Own,
    ) -> wasmtime::Result<Told<StreamReader<String>>> {
        match held(access, &own)?.list().await {
            Ok(names) => {
                let names = Names(names);
                Ok(Ok(access.with(|store| StreamReader::new(store, names))?))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn delete_object(access: &Access, own: Own, name: String) -> wasmtime::Result<Told<()>> {
        Ok(told(held(access, &own)?.delete(vec![name]).await))
    }

    async fn delete_objects(
        access: &Access,
        own: Own,
        names: Vec<String>,
    ) -> wasmtime::Result<Told<()>> {
        Ok(told(held(access, &own)?.delete(names).await))
    }

    async fn has_object(access: &Access, own: Own, name: String) -> wasmtime::Result<Told<bool>> {
        Ok(told(held(access, &own)?.has(name).await))
    }

    async fn object_info(
        access: &Access,
        own: Own,
        name: String,
    ) -> wasmtime::Result<Told<ObjectMetadata>> {
        let container = held(access, &own)?;
        let info = told(container.info(name.clone()).await);
        Ok(info.map(|info| ObjectMetadata {
            name,
            container: container.name(),
            created_at: nanoseconds(info.created),
            size: info.size,
        }))
    }

    async fn clear(access: &Access, own: Own) -> wasmtime::Result<Told<()>> {
        Ok(told(held(access, &own)?.clear().await))
    }
}
