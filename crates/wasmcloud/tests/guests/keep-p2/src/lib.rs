//! Keeps things through `wasi:keyvalue`, by the plain import or by a label.

use exports::test::keep::shelf::{Guest, Way};
use wasi::keyvalue::{atomics, batch, store};

wit_bindgen::generate!({ path: "../wit", world: "keep-p2", generate_all });

struct Shelf;

/// The two imports have types of their own that look the same.
macro_rules! told {
    ($done:expr, $import:ident) => {
        $done.map_err(|error| match error {
            $import::Error::NoSuchStore => "no such store".to_owned(),
            $import::Error::AccessDenied => "access denied".to_owned(),
            $import::Error::Other(told) => told,
        })
    };
}

macro_rules! by {
    ($way:expr, $bucket:expr, |$open:ident| $done:expr) => {
        match $way {
            Way::Plain => {
                let $open = told!(store::open(&$bucket), store)?;
                told!($done, store)
            }
            Way::Sessions => {
                let $open = told!(sessions::open(&$bucket), sessions)?;
                told!($done, sessions)
            }
        }
    };
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

impl Guest for Shelf {
    fn get(way: Way, bucket: String, key: String) -> Result<Option<String>, String> {
        by!(way, bucket, |open| open.get(&key)).map(|value| value.map(text))
    }

    fn set(way: Way, bucket: String, key: String, value: String) -> Result<(), String> {
        by!(way, bucket, |open| open.set(&key, value.as_bytes()))
    }

    fn delete(way: Way, bucket: String, key: String) -> Result<(), String> {
        by!(way, bucket, |open| open.delete(&key))
    }

    fn exists(way: Way, bucket: String, key: String) -> Result<bool, String> {
        by!(way, bucket, |open| open.exists(&key))
    }

    fn list(bucket: String, cursor: Option<u64>) -> Result<(u32, Option<u64>), String> {
        let open = told!(store::open(&bucket), store)?;
        let page = told!(open.list_keys(cursor), store)?;
        Ok((page.keys.len() as u32, page.cursor))
    }

    fn keys(
        way: Way,
        bucket: String,
        cursor: Option<u64>,
    ) -> Result<(Vec<String>, Option<u64>), String> {
        by!(way, bucket, |open| open
            .list_keys(cursor)
            .map(|page| (page.keys, page.cursor)))
    }

    fn fill(bucket: String, prefix: String, count: u32) -> Result<(), String> {
        let open = told!(store::open(&bucket), store)?;
        let pairs: Vec<_> = (0..count)
            .map(|number| (format!("{prefix}{number}"), b"v".to_vec()))
            .collect();
        told!(batch::set_many(&open, &pairs), store)
    }

    fn count(bucket: String, key: String, delta: u64) -> Result<u64, String> {
        let open = told!(store::open(&bucket), store)?;
        told!(atomics::increment(&open, &key, delta), store)
    }

    fn get_many(
        bucket: String,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, String)>>, String> {
        let open = told!(store::open(&bucket), store)?;
        let found = told!(batch::get_many(&open, &keys), store)?;
        let pair = |(key, value)| (key, text(value));
        Ok(found.into_iter().map(|found| found.map(pair)).collect())
    }

    fn delete_many(bucket: String, keys: Vec<String>) -> Result<(), String> {
        let open = told!(store::open(&bucket), store)?;
        told!(batch::delete_many(&open, &keys), store)
    }
}

export!(Shelf);
