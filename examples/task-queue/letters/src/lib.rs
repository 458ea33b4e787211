//! Hears of tasks that were given up, and writes that down.

wit_bindgen::generate!({ path: "../wit", world: "letters", generate_all });

use exports::wasmcloud::messaging::handler::Guest;
use wasi::keyvalue::store;
use wasmcloud::messaging::types::BrokerMessage;

struct Letters;

impl Guest for Letters {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        let (number, what) = text.split_once(' ').ok_or("this is no task")?;
        println!("task {number} was given up: {what}");
        let written = store::open("tasks")
            .and_then(|bucket| bucket.set(&format!("{number}/state"), b"given up"));
        written.map_err(|error| format!("the list of tasks is not to be had: {error:?}"))
    }
}

export!(Letters);
