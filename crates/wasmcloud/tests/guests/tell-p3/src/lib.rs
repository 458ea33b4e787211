//! Handles messages of 0.3 as the last word of their subject tells it to.

use std::cell::Cell;

use wasmcloud::messaging0_3_0::consumer;
use wasmcloud::messaging0_3_0::types::{BrokerMessage, HandleMessageError as Error};
use wit_bindgen::{spawn_local, yield_async};

wit_bindgen::generate!({ path: "../wit", world: "tell-p3", generate_all });

struct Handler;

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

impl exports::wasmcloud::messaging0_3_0::handler::Guest for Handler {
    async fn handle_message(message: BrokerMessage) -> Result<(), Error> {
        SEEN.set(SEEN.get() + 1);
        let body = message.body.collect().await;
        let text = String::from_utf8_lossy(&body).into_owned();
        match message.subject.rsplit('.').next() {
            Some("count") => println!("{} {}", message.subject, SEEN.get()),
            Some("length") => println!("{} {}", message.subject, body.len()),
            _ => println!("{} {text}", message.subject),
        }
        match message.subject.rsplit('.').next() {
            Some("trap") => panic!("told to trap"),
            Some("reject") => Err(Error::Reject),
            Some("retry") => Err(Error::Retry),
            Some("fail") => Err(Error::Other("told to fail".to_owned())),
            Some("ramble") => Err(Error::Other("on and on ".repeat(100 << 10))),
            Some("hang") => loop {
                yield_async().await;
            },
            Some("echo") => {
                if let Some(subject) = message.reply_to {
                    answer(subject, body).await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

async fn answer(subject: String, body: Vec<u8>) {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        writer.write_all(body).await;
    });
    let message = BrokerMessage {
        subject,
        body: reader,
        reply_to: None,
    };
    let _ = consumer::publish(message).await;
}

export!(Handler);
