//! Handles messages of 0.2 as the last word of their subject tells it to.

use wasmcloud::messaging0_2_0::consumer;
use wasmcloud::messaging0_2_0::types::BrokerMessage;

wit_bindgen::generate!({ path: "../wit", world: "tell-p2", generate_all });

struct Handler;

impl exports::wasmcloud::messaging0_2_0::handler::Guest for Handler {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        println!("{} {body}", message.subject);
        match message.subject.rsplit('.').next() {
            Some("trap") => panic!("told to trap"),
            Some("fail") => Err("told to fail".to_owned()),
            Some("ramble") => Err("on and on ".repeat(100 << 10)),
            Some("spin") => loop {
                std::hint::spin_loop();
            },
            Some("echo") => answer(message),
            Some("ask") => {
                ask();
                println!("answered {body}");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn answer(message: BrokerMessage) -> Result<(), String> {
    let Some(subject) = message.reply_to else {
        return Ok(());
    };
    consumer::publish(&BrokerMessage {
        subject,
        body: message.body,
        reply_to: None,
    })
}

/// Asks until somebody answers.
fn ask() {
    while consumer::request("gate.echo", b"", 1000).is_err() {}
}

export!(Handler);
