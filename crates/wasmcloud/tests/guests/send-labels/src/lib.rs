//! Sends messages by the plain import or by a label.

use wasmcloud::messaging0_2_0::consumer;
use wasmcloud::messaging0_2_0::types::BrokerMessage;

wit_bindgen::generate!({ path: "../wit", world: "send-labels", generate_all });

struct Sender;

impl Guest for Sender {
    fn publish(by_label: bool, subject: String, body: String) -> Result<(), String> {
        let message = BrokerMessage {
            subject,
            body: body.into_bytes(),
            reply_to: None,
        };
        match by_label {
            true => orders::publish(&message),
            false => consumer::publish(&message),
        }
    }
}

export!(Sender);
