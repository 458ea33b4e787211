//! Messages of 0.2: sent in a loop, and handled by telling that they came.

use bench::capabilities::tally;
use wasmcloud::messaging0_2_0::consumer;
use wasmcloud::messaging0_2_0::types::BrokerMessage;

wit_bindgen::generate!({ path: "../wit", world: "bench-messages", generate_all });

struct Both;

impl exports::bench::capabilities::messages::Guest for Both {
    fn publish(subject: String, count: u32) -> Result<(), String> {
        let message = BrokerMessage {
            subject,
            body: vec![b'm'; 100],
            reply_to: None,
        };
        for _ in 0..count {
            consumer::publish(&message)?;
        }
        Ok(())
    }
}

impl exports::wasmcloud::messaging0_2_0::handler::Guest for Both {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        match message.body.len() {
            100 => tally::handled(),
            length => return Err(format!("a message of {length} bytes came")),
        }
        Ok(())
    }
}

export!(Both);
