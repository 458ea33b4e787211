//! Keys and values through `wasmcloud:keyvalue`, in a loop.

use bench::capabilities::keyvalue::Action;
use exports::bench::capabilities::keyvalue_async::Guest;
use stopwatch::Stopwatch;
use wasmcloud::keyvalue::types::Error;
use wasmcloud::keyvalue::{atomics, store};

wit_bindgen::generate!({ path: "../wit", world: "bench-keyvalue-p3", generate_all });

struct Looper;

/// What is kept.
const VALUE: [u8; 100] = [b'v'; 100];

fn told(error: Error) -> String {
    format!("{error:?}")
}

impl Guest for Looper {
    async fn run(action: Action, key: String, count: u32, each: bool) -> Result<Vec<u64>, String> {
        let bucket = store::open("bench".to_owned()).await.map_err(told)?;
        if action == Action::Get {
            let set = bucket.set(key.clone(), VALUE.to_vec(), None).await;
            set.map_err(told)?;
        }
        let mut watch = Stopwatch::start(count, each);
        for _ in 0..count {
            let key = key.clone();
            match action {
                Action::Get => match bucket.get(key).await.map_err(told)? {
                    Some(value) if value.len() == VALUE.len() => {}
                    other => return Err(format!("this is there: {other:?}")),
                },
                Action::Set => {
                    let set = bucket.set(key, VALUE.to_vec(), None).await;
                    set.map_err(told)?;
                }
                Action::Increment => {
                    atomics::increment(&bucket, key, 1).await.map_err(told)?;
                }
            }
            watch.lap();
        }
        Ok(watch.stop())
    }
}

export!(Looper);
