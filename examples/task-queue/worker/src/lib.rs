//! Does tasks. One that fails comes back later, as often as the manifest says.

wit_bindgen::generate!({ path: "../wit", world: "worker", generate_all });

use exports::wasmcloud::messaging::handler::Guest;
use wasi::keyvalue::{atomics, store};
use wasmcloud::messaging::types::BrokerMessage;

struct Worker;

impl Guest for Worker {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        let (number, what) = text.split_once(' ').ok_or("this is no task")?;
        let told = |error: store::Error| format!("the list of tasks is not to be had: {error:?}");
        let bucket = store::open("tasks").map_err(told)?;
        let state = format!("{number}/state");
        // A message may come twice, as when the host fell over before it could say that this one is done.
        if bucket
            .get(&state)
            .map_err(told)?
            .is_some_and(|state| state == b"done")
        {
            return Ok(());
        }
        let tries = format!("{number}/tries");
        let tries = atomics::increment(&bucket, &tries, 1).map_err(told)?;
        let done = work(what, tries);
        let new: &[u8] = match &done {
            Ok(()) => b"done",
            Err(_) => b"failed, comes back",
        };
        bucket.set(&state, new).map_err(told)?;
        done
    }
}

/// Where the work would be. What begins with `flaky` fails twice, as if somebody else had to be up for it, and `broken` always.
fn work(what: &str, tries: u64) -> Result<(), String> {
    match what.split_whitespace().next() {
        Some("flaky") if tries <= 2 => Err(format!("`{what}` did not work this time")),
        Some("broken") => Err(format!("`{what}` never works")),
        _ => Ok(()),
    }
}

export!(Worker);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_flaky_works_in_the_end() {
        assert!(work("rest", 1).is_ok());
        assert!(work("flaky call", 2).is_err() && work("flaky call", 3).is_ok());
        assert!(work("broken call", 100).is_err());
    }
}
