//! `wasi:keyvalue@0.2.0-draft`: conversions only.

use wasmtime::component::{HasSelf, LinkerInstance, Resource};

use super::opened::{Handle, Ways, open};
use super::{Fault, SetOptions, Sign};
use crate::plugin::{Asker, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue/p2",
        world: "wasi:keyvalue/imports",
        imports: { default: trappable | async },
        named_imports: { "wasi:keyvalue/opening": crate::plugin::Asker },
        with: {
            "wasi:keyvalue/store.bucket": crate::capability::keyvalue::opened::Handle,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasi::keyvalue::opening;
use generated::wasi::keyvalue::{atomics, batch, store};

use store::{Error, KeyResponse};

/// Where the imports of this dialect lead.
pub(super) struct Wasi(pub(super) Ways);

type Held = Resource<Handle>;
type Outcome<T> = wasmtime::Result<Result<T, Error>>;

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    type Own = HasSelf<StoreData>;
    match import.interface.name.as_str() {
        "atomics" => atomics::add_to_linker_instance::<S, Own>(linker, |s| s),
        "batch" => batch::add_to_linker_instance::<S, Own>(linker, |s| s),
        _ => {
            store::add_to_linker_instance::<S, Own>(linker, |s| s)?;
            opening::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s)
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Denied => Self::AccessDenied,
            fault => Self::Other(fault.to_string()),
        }
    }
}

fn told<T>(done: Result<T, Fault>) -> Outcome<T> {
    Ok(done.map_err(Error::from))
}

impl opening::Host for StoreData {
    async fn open(&mut self, asker: Asker, name: String) -> Outcome<Held> {
        let ways = self.workload().states.get::<Wasi>();
        match open(ways.map(|ways| &ways.0), &asker, &name) {
            Ok(bucket) => Ok(Ok(self.table().push(bucket)?)),
            Err(fault) => told(Err(fault)),
        }
    }
}

impl store::Host for StoreData {}

impl store::HostBucket for StoreData {
    async fn get(&mut self, bucket: Held, key: String) -> Outcome<Option<Vec<u8>>> {
        let found = Handle::held(self, &bucket)?.bucket.get(&key).await;
        told(found.map(|value| value.map(Vec::from)))
    }

    async fn set(&mut self, bucket: Held, key: String, value: Vec<u8>) -> Outcome<()> {
        let bucket = Handle::held(self, &bucket)?;
        told(
            bucket
                .bucket
                .set(&key, value.into(), SetOptions::default())
                .await,
        )
    }

    async fn delete(&mut self, bucket: Held, key: String) -> Outcome<()> {
        told(Handle::held(self, &bucket)?.bucket.delete(&key).await)
    }

    async fn exists(&mut self, bucket: Held, key: String) -> Outcome<bool> {
        told(Handle::held(self, &bucket)?.bucket.exists(&key).await)
    }

    async fn list_keys(&mut self, bucket: Held, cursor: Option<u64>) -> Outcome<KeyResponse> {
        let page = Handle::held(self, &bucket)?.placed(cursor).await;
        told(page.map(|(keys, cursor)| KeyResponse { keys, cursor }))
    }

    async fn drop(&mut self, bucket: Held) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for StoreData {
    /// Counters go no further than an `i64`, whatever counts them.
    async fn increment(&mut self, bucket: Held, key: String, delta: u64) -> Outcome<u64> {
        let bucket = Handle::held(self, &bucket)?;
        let Ok(delta) = i64::try_from(delta) else {
            return told(Err(Fault::OutOfRange));
        };
        let count = bucket
            .bucket
            .increment(&key, delta, Sign::NotNegative)
            .await;
        told(count.and_then(|count| u64::try_from(count).map_err(|_| Fault::OutOfRange)))
    }
}

impl batch::Host for StoreData {
    async fn get_many(
        &mut self,
        bucket: Held,
        keys: Vec<String>,
    ) -> Outcome<Vec<Option<(String, Vec<u8>)>>> {
        told(Handle::held(self, &bucket)?.pairs(keys).await)
    }

    async fn set_many(&mut self, bucket: Held, pairs: Vec<(String, Vec<u8>)>) -> Outcome<()> {
        told(Handle::held(self, &bucket)?.set_pairs(pairs).await)
    }

    async fn delete_many(&mut self, bucket: Held, keys: Vec<String>) -> Outcome<()> {
        told(Handle::held(self, &bucket)?.bucket.delete_many(keys).await)
    }
}
