//! Keeps things through `wasmcloud:keyvalue`, by the plain import or by a label.

use exports::test::keep::rack::{Guest, Required, Way};
use wasmcloud::keyvalue::cas::{CasOptions, CasResult};
use wasmcloud::keyvalue::types::{Bucket, Error, SetOptions};
use wasmcloud::keyvalue::{atomics, batch, cas, store};

wit_bindgen::generate!({ path: "../wit", world: "keep-p3", generate_all });

struct Rack;

fn told(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::InvalidArgument => "invalid-argument".to_owned(),
        Error::PreconditionFailed => "precondition-failed".to_owned(),
        Error::Timeout => "timeout".to_owned(),
        Error::StoreUnavailable => "store-unavailable".to_owned(),
        Error::QuotaExceeded => "quota-exceeded".to_owned(),
        Error::Other(told) => told,
    }
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

/// A bucket is the same type by whatever label it was opened.
async fn open(way: Way, bucket: String) -> Result<Bucket, String> {
    match way {
        Way::Plain => store::open(bucket).await,
        Way::Sessions => sessions::open(bucket).await,
    }
    .map_err(told)
}

impl Guest for Rack {
    async fn get(way: Way, bucket: String, key: String) -> Result<Option<String>, String> {
        let bucket = open(way, bucket).await?;
        let found = bucket.get(key).await.map_err(told)?;
        Ok(found.map(text))
    }

    async fn set(
        way: Way,
        bucket: String,
        key: String,
        value: String,
        ttl_ms: Option<u64>,
        if_not_exists: bool,
    ) -> Result<(), String> {
        let bucket = open(way, bucket).await?;
        let options = (ttl_ms.is_some() || if_not_exists).then_some(SetOptions {
            ttl_ms,
            if_not_exists,
        });
        bucket.set(key, value.into(), options).await.map_err(told)
    }

    async fn delete(bucket: String, key: String) -> Result<(), String> {
        let bucket = open(Way::Plain, bucket).await?;
        bucket.delete(key).await.map_err(told)
    }

    async fn exists(way: Way, bucket: String, key: String) -> Result<bool, String> {
        let bucket = open(way, bucket).await?;
        bucket.exists(key).await.map_err(told)
    }

    async fn list(
        way: Way,
        bucket: String,
        prefix: Option<String>,
        cursor: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), String> {
        let bucket = open(way, bucket).await?;
        let page = bucket.list_keys(prefix, cursor).await.map_err(told)?;
        Ok((page.keys, page.cursor))
    }

    async fn count(way: Way, bucket: String, key: String, delta: i64) -> Result<i64, String> {
        let bucket = open(way, bucket).await?;
        atomics::increment(&bucket, key, delta).await.map_err(told)
    }

    async fn current(
        way: Way,
        bucket: String,
        key: String,
    ) -> Result<Option<(String, String)>, String> {
        let bucket = open(way, bucket).await?;
        let found = cas::current(&bucket, key).await.map_err(told)?;
        Ok(found.map(|entry| (text(entry.value), entry.version)))
    }

    async fn swap(
        way: Way,
        bucket: String,
        key: String,
        value: String,
        required: Required,
    ) -> Result<Option<String>, String> {
        let bucket = open(way, bucket).await?;
        let options = CasOptions {
            require_version: required.0,
            require_value: required.1.map(String::into_bytes),
        };
        match cas::swap(&bucket, key, value.into(), options).await {
            Ok(CasResult::Swapped) => Ok(None),
            Ok(CasResult::Stale(None)) => Ok(Some("nothing".to_owned())),
            Ok(CasResult::Stale(Some(entry))) => Ok(Some(text(entry.value))),
            Err(error) => Err(told(error)),
        }
    }

    async fn many(
        way: Way,
        bucket: String,
        pairs: Vec<(String, String)>,
    ) -> Result<Vec<Option<(String, String)>>, String> {
        let bucket = open(way, bucket).await?;
        let keys = pairs.iter().map(|(key, _)| key.clone()).collect();
        let pairs = pairs.into_iter().map(|(key, value)| (key, value.into()));
        let set = batch::set_many(&bucket, pairs.collect()).await;
        set.map_err(told)?;
        let found = batch::get_many(&bucket, keys).await.map_err(told)?;
        let pair = |(key, value)| (key, text(value));
        Ok(found.into_iter().map(|found| found.map(pair)).collect())
    }

    async fn delete_many(way: Way, bucket: String, keys: Vec<String>) -> Result<(), String> {
        let bucket = open(way, bucket).await?;
        batch::delete_many(&bucket, keys).await.map_err(told)
    }
}

export!(Rack);
