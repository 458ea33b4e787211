//! `wasmcloud:blobstore` 0.1.0: the same as `wasi:blobstore`, with streams of the component model.

mod container;
mod stream;

use wasmtime::component::{Accessor, HasSelf, LinkerInstance, Resource};

use super::BlobError;
use super::container::{Container, Store};
use super::plugin::{not_offered, wasmcloud};
use crate::plugin::{Asker, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/blobstore/wasmcloud.wit",
        world: "wasmcloud:blobstore/imports",
        imports: { default: trappable },
        named_imports: { "wasmcloud:blobstore/blobstore": crate::plugin::Asker },
        with: {
            "wasmcloud:blobstore/container.container": crate::capability::blobstore::container::Container,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasmcloud::blobstore::blobstore;
use generated::wasmcloud::blobstore::{container as containers, types};
use types::{Error, ObjectId};

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    type Own = HasSelf<StoreData>;
    match import.interface.name.as_str() {
        "types" => types::add_to_linker_instance::<S, Own>(linker, |s| s),
        "container" => containers::add_to_linker_instance::<S, Own>(linker, |s| s),
        "blobstore" => blobstore::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
        _ => Err(not_offered(import)),
    }
}

/// What a guest is told.
type Told<T> = Result<T, Error>;
type Access = Accessor<StoreData, HasSelf<StoreData>>;

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NoSuchContainer => Self::NoSuchContainer,
            BlobError::ContainerExists => Self::ContainerAlreadyExists,
            BlobError::NoSuchObject => Self::NoSuchObject,
            BlobError::Quota(_) => Self::QuotaExceeded,
            BlobError::Denied => Self::AccessDenied,
            BlobError::Timeout => Self::Timeout,
            BlobError::Unavailable(_) => Self::StoreUnavailable,
            BlobError::Name(_) | BlobError::Other(_) => Self::Other(error.to_string()),
        }
    }
}

fn told<T>(outcome: Result<T, BlobError>) -> Told<T> {
    outcome.map_err(Error::from)
}

fn led_to(access: &Access, asker: &Asker) -> wasmtime::Result<Store> {
    access.with(|mut store| wasmcloud(store.get(), asker))
}

fn hold(
    access: &Access,
    container: Result<Container, BlobError>,
) -> wasmtime::Result<Told<Resource<Container>>> {
    match container {
        Ok(container) => {
            let pushed = access.with(|mut store| store.get().table().push(container));
            Ok(Ok(pushed?))
        }
        Err(error) => Ok(Err(error.into())),
    }
}

impl types::Host for StoreData {}

impl blobstore::Host for StoreData {}

impl blobstore::HostWithStore<StoreData> for HasSelf<StoreData> {
    async fn create_container(
        access: &Access,
        asker: Asker,
        name: String,
    ) -> wasmtime::Result<Told<Resource<Container>>> {
        let made = led_to(access, &asker)?.create(name).await;
        hold(access, made)
    }

    async fn get_container(
        access: &Access,
        asker: Asker,
        name: String,
    ) -> wasmtime::Result<Told<Resource<Container>>> {
        let found = led_to(access, &asker)?.get(name).await;
        hold(access, found)
    }

    async fn delete_container(
        access: &Access,
        asker: Asker,
        name: String,
    ) -> wasmtime::Result<Told<()>> {
        Ok(told(led_to(access, &asker)?.delete(name).await))
    }

    async fn container_exists(
        access: &Access,
        asker: Asker,
        name: String,
    ) -> wasmtime::Result<Told<bool>> {
        Ok(told(led_to(access, &asker)?.exists(name).await))
    }

    async fn copy_object(
        access: &Access,
        asker: Asker,
        from: ObjectId,
        to: ObjectId,
    ) -> wasmtime::Result<Told<()>> {
        let store = led_to(access, &asker)?;
        Ok(told(store.copy(parts(from), parts(to)).await))
    }

    async fn move_object(
        access: &Access,
        asker: Asker,
        from: ObjectId,
        to: ObjectId,
    ) -> wasmtime::Result<Told<()>> {
        let store = led_to(access, &asker)?;
        Ok(told(store.rename(parts(from), parts(to)).await))
    }
}

fn parts(id: ObjectId) -> [String; 2] {
    [id.container, id.object]
}
