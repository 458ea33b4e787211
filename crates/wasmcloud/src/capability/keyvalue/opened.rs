//! What a workload has been given: for each way of asking, what it keeps there; and the buckets that its guests hold.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Resource;

use super::limited::{Limited, Traffic, check_name};
use super::listing::{Mark, Next, Wanted};
use super::{Bucket, Fault, KeyValueOptions, Store};
use crate::capability::routes::Routes;
use crate::capability::tenant::Tenant;
use crate::plugin::{Asker, StoreData};

/// What a workload keeps in one place.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) tenant: Tenant,
    pub(super) options: KeyValueOptions,
    /// Shared by everything that the workload keeps.
    pub(super) traffic: Traffic,
}

/// Where each import leads.
pub(super) type Ways = Routes<Option<Arc<Opened>>>;

/// A bucket in the hands of a guest. It knows where it came from, so that it is good for every import.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings name it")]
pub struct Handle {
    pub(super) bucket: Arc<dyn Bucket>,
    mark: Mark,
}

impl Opened {
    fn bucket(&self, name: &str) -> Result<Handle, Fault> {
        check_name(name)?;
        let traffic = self.traffic.clone();
        let bucket = Limited::new(self.store.bucket(name), &self.options, traffic);
        Ok(Handle {
            bucket: Arc::new(bucket),
            mark: Mark::of(&[&self.tenant.to_string(), name]),
        })
    }
}

/// The bucket of a name, for whoever asks.
pub(super) fn open(ways: Option<&Ways>, asker: &Asker, name: &str) -> Result<Handle, Fault> {
    let way = ways.and_then(|ways| ways.to(asker.label.as_deref()).as_ref());
    way.ok_or(Fault::Denied)?.bucket(name)
}

impl Handle {
    /// The one that a guest holds.
    pub(super) fn held(store: &mut StoreData, bucket: &Resource<Self>) -> wasmtime::Result<Self> {
        Ok(store.table().get(bucket)?.clone())
    }

    /// A page of keys in an order of its own, by a cursor of 64 bits.
    pub(super) async fn placed(
        &self,
        cursor: Option<u64>,
    ) -> Result<(Vec<String>, Option<u64>), Fault> {
        let page = self.bucket.list(Wanted::placed(self.mark, cursor)?).await?;
        let next = page.next.and_then(|next| match next {
            Next::Cursor(cursor) => Some(cursor),
            Next::After(_) => None,
        });
        Ok((page.keys, next))
    }

    /// A page of keys in the order of their bytes.
    pub(super) async fn named(
        &self,
        prefix: Option<String>,
        cursor: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), Fault> {
        let begins = prefix.clone().unwrap_or_default();
        let wanted = Wanted::named(self.mark, prefix, cursor.as_deref())?;
        let page = self.bucket.list(wanted).await?;
        let next = page.next.and_then(|next| match next {
            Next::After(key) => Some(self.mark.at_key(&begins, &key)),
            Next::Cursor(_) => None,
        });
        Ok((page.keys, next))
    }

    /// The keys that have values, with these.
    pub(super) async fn pairs(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Fault> {
        let values = self.bucket.get_many(keys.clone()).await?;
        let pairs = keys.into_iter().zip(values);
        Ok(pairs
            .map(|(key, value)| Some((key, value?.into())))
            .collect())
    }

    /// Gives each key its value.
    pub(super) async fn set_pairs(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), Fault> {
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| (key, Bytes::from(value)));
        self.bucket.set_many(pairs.collect()).await
    }
}
