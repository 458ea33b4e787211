//! Keys and values through `wasi:keyvalue`, in a loop.

use exports::bench::capabilities::keyvalue::{Action, Guest};
use stopwatch::Stopwatch;
use wasi::keyvalue::{atomics, store};

wit_bindgen::generate!({ path: "../wit", world: "bench-keyvalue", generate_all });

struct Looper;

/// What is kept.
const VALUE: [u8; 100] = [b'v'; 100];

fn told(error: store::Error) -> String {
    format!("{error:?}")
}

impl Guest for Looper {
    fn run(action: Action, key: String, count: u32, each: bool) -> Result<Vec<u64>, String> {
        let bucket = store::open("bench").map_err(told)?;
        if action == Action::Get {
            bucket.set(&key, &VALUE).map_err(told)?;
        }
        let mut watch = Stopwatch::start(count, each);
        for _ in 0..count {
            match action {
                Action::Get => match bucket.get(&key).map_err(told)? {
                    Some(value) if value.len() == VALUE.len() => {}
                    other => return Err(format!("this is there: {other:?}")),
                },
                Action::Set => bucket.set(&key, &VALUE).map_err(told)?,
                Action::Increment => {
                    atomics::increment(&bucket, &key, 1).map_err(told)?;
                }
            }
            watch.lap();
        }
        Ok(watch.stop())
    }
}

export!(Looper);
