//! `wasmcloud:keyvalue@0.2.0`: conversions only.

use std::time::Duration;

use wasmtime::component::{Accessor, HasSelf, LinkerInstance, Resource};

use super::opened::{Handle, Ways, open};
use super::{Expected, Fault, Sign, Swap};
use crate::plugin::{Asker, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue/p3",
        world: "wasmcloud:keyvalue/imports",
        imports: { default: trappable },
        named_imports: { "wasmcloud:keyvalue/store": crate::plugin::Asker },
        with: {
            "wasmcloud:keyvalue/types.bucket": crate::capability::keyvalue::opened::Handle,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasmcloud::keyvalue::store;
use generated::wasmcloud::keyvalue::{atomics, batch, cas, types};

use types::{Error, KeyResponse, SetOptions};

/// Where the imports of this dialect lead.
pub(super) struct Wasmcloud(pub(super) Ways);

type Held = Resource<Handle>;
type Outcome<T> = wasmtime::Result<Result<T, Error>>;
type Own = HasSelf<StoreData>;
type Guest = Accessor<StoreData, Own>;

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    match import.interface.name.as_str() {
        "types" => types::add_to_linker_instance::<S, Own>(linker, |s| s),
        "atomics" => atomics::add_to_linker_instance::<S, Own>(linker, |s| s),
        "cas" => cas::add_to_linker_instance::<S, Own>(linker, |s| s),
        "batch" => batch::add_to_linker_instance::<S, Own>(linker, |s| s),
        _ => store::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Invalid(_) => Self::InvalidArgument,
            Fault::Exists => Self::PreconditionFailed,
            Fault::Full(_) => Self::QuotaExceeded,
            Fault::Unavailable(_) => Self::StoreUnavailable,
            Fault::Timeout => Self::Timeout,
            Fault::Denied => Self::AccessDenied,
            fault => Self::Other(fault.to_string()),
        }
    }
}

fn told<T>(done: Result<T, Fault>) -> Outcome<T> {
    Ok(done.map_err(Error::from))
}

fn held(guest: &Guest, bucket: &Held) -> wasmtime::Result<Handle> {
    guest.with(|mut store| Handle::held(store.get(), bucket))
}

impl store::Host for StoreData {}

impl store::HostWithStore<StoreData> for Own {
    async fn open(guest: &Guest, asker: Asker, name: String) -> Outcome<Held> {
        guest.with(|mut store| {
            let store = store.get();
            let ways = store.workload().states.get::<Wasmcloud>();
            match open(ways.map(|ways| &ways.0), &asker, &name) {
                Ok(bucket) => Ok(Ok(store.table().push(bucket)?)),
                Err(fault) => told(Err(fault)),
            }
        })
    }
}

impl types::Host for StoreData {}

impl types::HostBucket for StoreData {
    fn drop(&mut self, bucket: Held) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl types::HostBucketWithStore<StoreData> for Own {
    async fn get(guest: &Guest, bucket: Held, key: String) -> Outcome<Option<Vec<u8>>> {
        let found = held(guest, &bucket)?.bucket.get(&key).await;
        told(found.map(|value| value.map(Vec::from)))
    }

    async fn set(
        guest: &Guest,
        bucket: Held,
        key: String,
        value: Vec<u8>,
        options: Option<SetOptions>,
    ) -> Outcome<()> {
        let how = options.map(|options| super::SetOptions {
            ttl: options.ttl_ms.map(Duration::from_millis),
            if_absent: options.if_not_exists,
        });
        let bucket = held(guest, &bucket)?;
        told(
            bucket
                .bucket
                .set(&key, value.into(), how.unwrap_or_default())
                .await,
        )
    }

    async fn delete(guest: &Guest, bucket: Held, key: String) -> Outcome<()> {
        told(held(guest, &bucket)?.bucket.delete(&key).await)
    }

    async fn exists(guest: &Guest, bucket: Held, key: String) -> Outcome<bool> {
        told(held(guest, &bucket)?.bucket.exists(&key).await)
    }

    async fn list_keys(
        guest: &Guest,
        bucket: Held,
        prefix: Option<String>,
        cursor: Option<String>,
    ) -> Outcome<KeyResponse> {
        let page = held(guest, &bucket)?.named(prefix, cursor).await;
        told(page.map(|(keys, cursor)| KeyResponse { keys, cursor }))
    }
}

impl atomics::Host for StoreData {}

impl atomics::HostWithStore<StoreData> for Own {
    async fn increment(guest: &Guest, bucket: Held, key: String, delta: i64) -> Outcome<i64> {
        let bucket = held(guest, &bucket)?;
        told(bucket.bucket.increment(&key, delta, Sign::Any).await)
    }
}

impl From<super::Entry> for cas::Entry {
    fn from(entry: super::Entry) -> Self {
        Self {
            value: entry.value.into(),
            version: entry.version,
        }
    }
}

impl cas::Host for StoreData {}

impl cas::HostWithStore<StoreData> for Own {
    async fn current(guest: &Guest, bucket: Held, key: String) -> Outcome<Option<cas::Entry>> {
        let found = held(guest, &bucket)?.bucket.current(&key).await;
        told(found.map(|entry| entry.map(cas::Entry::from)))
    }

    async fn swap(
        guest: &Guest,
        bucket: Held,
        key: String,
        value: Vec<u8>,
        options: cas::CasOptions,
    ) -> Outcome<cas::CasResult> {
        let expected = Expected {
            version: options.require_version,
            value: options.require_value.map(Into::into),
        };
        let bucket = held(guest, &bucket)?;
        let done = bucket.bucket.swap(&key, value.into(), expected).await;
        told(done.map(|done| match done {
            Swap::Done => cas::CasResult::Swapped,
            Swap::Stale(entry) => cas::CasResult::Stale(entry.map(cas::Entry::from)),
        }))
    }
}

impl batch::Host for StoreData {}

impl batch::HostWithStore<StoreData> for Own {
    async fn get_many(
        guest: &Guest,
        bucket: Held,
        keys: Vec<String>,
    ) -> Outcome<Vec<Option<(String, Vec<u8>)>>> {
        told(held(guest, &bucket)?.pairs(keys).await)
    }

    async fn set_many(guest: &Guest, bucket: Held, pairs: Vec<(String, Vec<u8>)>) -> Outcome<()> {
        told(held(guest, &bucket)?.set_pairs(pairs).await)
    }

    async fn delete_many(guest: &Guest, bucket: Held, keys: Vec<String>) -> Outcome<()> {
        told(held(guest, &bucket)?.bucket.delete_many(keys).await)
    }
}
