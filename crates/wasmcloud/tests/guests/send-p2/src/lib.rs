//! Sends messages of 0.2 as it is told.

use wasmcloud::messaging0_2_0::consumer;
use wasmcloud::messaging0_2_0::types::BrokerMessage;

wit_bindgen::generate!({ path: "../wit", world: "send-p2", generate_all });

struct Sender;

fn message(subject: String, body: Vec<u8>) -> BrokerMessage {
    BrokerMessage {
        subject,
        body,
        reply_to: None,
    }
}

impl exports::test::messages::sends::Guest for Sender {
    fn publish(subject: String, body: String) -> Result<(), String> {
        consumer::publish(&message(subject, body.into_bytes()))
    }

    fn request(subject: String, body: String, timeout_ms: u32) -> Result<String, String> {
        let answer = consumer::request(&subject, body.as_bytes(), timeout_ms)?;
        String::from_utf8(answer.body).map_err(|error| error.to_string())
    }

    fn fill(subject: String, bytes: u32) -> Result<(), String> {
        consumer::publish(&message(subject, vec![0; bytes as usize]))
    }
}

export!(Sender);
