//! `wasi:blobstore` 0.2.0-draft.

mod container;
mod incoming;
mod outgoing;
mod spool;
mod values;

use wasmtime::component::{HasSelf, LinkerInstance, Resource};

use super::BlobError;
use super::container::Container;
use super::plugin::{not_offered, wasi};
use crate::plugin::{Asker, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: ["wit/p2/deps/io.wit", "wit/blobstore/wasi.wit"],
        world: "wasi:blobstore/imports",
        imports: { default: async | trappable },
        named_imports: { "wasi:blobstore/blobstore": crate::plugin::Asker },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:blobstore/types.outgoing-value": super::outgoing::Outgoing,
            "wasi:blobstore/types.incoming-value": super::incoming::Incoming,
            "wasi:blobstore/container.container": crate::capability::blobstore::container::Container,
            "wasi:blobstore/container.stream-object-names": super::container::ObjectNames,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasi::blobstore::blobstore;
use generated::wasi::blobstore::{container as containers, types};
pub(super) use spool::Spool;

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

/// What a guest is told: a value, or what went wrong in words.
type Told<T> = Result<T, String>;

fn told<T>(outcome: Result<T, BlobError>) -> Told<T> {
    outcome.map_err(|error| error.to_string())
}

impl blobstore::Host for StoreData {
    async fn create_container(
        &mut self,
        asker: Asker,
        name: String,
    ) -> wasmtime::Result<Told<Resource<Container>>> {
        let made = wasi(self, &asker)?.create(name).await;
        self.hold(made)
    }

    async fn get_container(
        &mut self,
        asker: Asker,
        name: String,
    ) -> wasmtime::Result<Told<Resource<Container>>> {
        let found = wasi(self, &asker)?.get(name).await;
        self.hold(found)
    }

    async fn delete_container(&mut self, asker: Asker, name: String) -> wasmtime::Result<Told<()>> {
        Ok(told(wasi(self, &asker)?.delete(name).await))
    }

    async fn container_exists(
        &mut self,
        asker: Asker,
        name: String,
    ) -> wasmtime::Result<Told<bool>> {
        Ok(told(wasi(self, &asker)?.exists(name).await))
    }

    async fn copy_object(
        &mut self,
        asker: Asker,
        from: types::ObjectId,
        to: types::ObjectId,
    ) -> wasmtime::Result<Told<()>> {
        let store = wasi(self, &asker)?;
        Ok(told(store.copy(parts(from), parts(to)).await))
    }

    async fn move_object(
        &mut self,
        asker: Asker,
        from: types::ObjectId,
        to: types::ObjectId,
    ) -> wasmtime::Result<Told<()>> {
        let store = wasi(self, &asker)?;
        Ok(told(store.rename(parts(from), parts(to)).await))
    }
}

fn parts(id: types::ObjectId) -> [String; 2] {
    [id.container, id.object]
}

impl StoreData {
    fn hold(
        &mut self,
        container: Result<Container, BlobError>,
    ) -> wasmtime::Result<Told<Resource<Container>>> {
        Ok(match container {
            Ok(container) => Ok(self.table().push(container)?),
            Err(error) => Err(error.to_string()),
        })
    }
}
