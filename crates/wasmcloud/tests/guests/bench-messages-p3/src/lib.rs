//! Messages of 0.3: sent in a loop, and handled by telling that they came.

use bench::capabilities::tally;
use wasmcloud::messaging0_3_0::consumer;
use wasmcloud::messaging0_3_0::types::{BrokerMessage, HandleMessageError};
use wit_bindgen::spawn_local;

wit_bindgen::generate!({ path: "../wit", world: "bench-messages-p3", generate_all });

struct Both;

impl exports::bench::capabilities::messages_async::Guest for Both {
    async fn publish(subject: String, count: u32) -> Result<(), String> {
        for _ in 0..count {
            let (mut writer, body) = wit_stream::new();
            spawn_local(async move {
                writer.write_all(vec![b'm'; 100]).await;
            });
            let message = BrokerMessage {
                subject: subject.clone(),
                body,
                reply_to: None,
            };
            let published = consumer::publish(message).await;
            published.map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }
}

impl exports::wasmcloud::messaging0_3_0::handler::Guest for Both {
    async fn handle_message(message: BrokerMessage) -> Result<(), HandleMessageError> {
        match message.body.collect().await.len() {
            100 => tally::handled(),
            length => {
                let told = format!("a message of {length} bytes came");
                return Err(HandleMessageError::Other(told));
            }
        }
        Ok(())
    }
}

export!(Both);
