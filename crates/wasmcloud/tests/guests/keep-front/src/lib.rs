//! In front of a component that keeps things: keeps the same itself.

use test::keep::shelf::{self, Way};
use wasi::keyvalue::store::{self, Error};

wit_bindgen::generate!({ path: "../wit", world: "keep-front", generate_all });

struct Front;

fn told(error: Error) -> String {
    format!("{error:?}")
}

fn own(bucket: &str, key: &str) -> Result<Option<String>, String> {
    let bucket = store::open(bucket).map_err(told)?;
    let value = bucket.get(key).map_err(told)?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

impl Guest for Front {
    /// By the front itself, and by both imports of the other.
    fn put(bucket: String, key: String) -> Result<(), String> {
        let open = store::open(&bucket).map_err(told)?;
        open.set(&format!("{key} front"), b"front").map_err(told)?;
        shelf::set(Way::Plain, &bucket, &format!("{key} plain"), "plain")?;
        shelf::set(Way::Sessions, &bucket, &key, "sessions")
    }

    /// What the front sees, and what the other one does.
    fn look(bucket: String, key: String) -> String {
        let mut found = Vec::new();
        for end in ["", " front", " plain"] {
            let key = format!("{key}{end}");
            let seen = [
                own(&bucket, &key),
                shelf::get(Way::Plain, &bucket, &key),
                shelf::get(Way::Sessions, &bucket, &key),
            ];
            let words = seen.map(|seen| match seen {
                Ok(Some(value)) => value,
                Ok(None) => "-".to_owned(),
                Err(error) => error,
            });
            found.push(words.join(" "));
        }
        found.join("; ")
    }
}

export!(Front);
