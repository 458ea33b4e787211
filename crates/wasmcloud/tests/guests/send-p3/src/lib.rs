//! Sends messages of 0.3 as it is told.

use wasmcloud::messaging0_3_0::consumer;
use wasmcloud::messaging0_3_0::types::{BrokerMessage, Error};
use wit_bindgen::rt::async_support::StreamReader;
use wit_bindgen::spawn_local;

wit_bindgen::generate!({ path: "../wit", world: "send-p3", generate_all });

struct Sender;

fn stream(body: String) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        writer.write_all(body.into_bytes()).await;
    });
    reader
}

fn told(error: Error) -> String {
    match error {
        Error::SubjectInvalid => "subject-invalid".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Timeout => "timeout".to_owned(),
        Error::BrokerUnavailable => "broker-unavailable".to_owned(),
        Error::MessageTooLarge => "message-too-large".to_owned(),
        Error::QuotaExceeded => "quota-exceeded".to_owned(),
        Error::Other(text) => text,
    }
}

fn message(subject: String, body: StreamReader<u8>) -> BrokerMessage {
    BrokerMessage {
        subject,
        body,
        reply_to: None,
    }
}

impl exports::test::messages::streams::Guest for Sender {
    async fn publish(subject: String, body: String) -> Result<(), String> {
        let published = consumer::publish(message(subject, stream(body))).await;
        published.map_err(told)
    }

    async fn request(
        subject: String,
        body: String,
        timeout_ms: Option<u32>,
    ) -> Result<String, String> {
        let answer = consumer::request(subject, stream(body), timeout_ms).await;
        let body = answer.map_err(told)?.body.collect().await;
        String::from_utf8(body).map_err(|error| error.to_string())
    }

    async fn pour(subject: String, bytes: u64) -> (u64, Result<(), String>) {
        let (mut writer, reader) = wit_stream::new();
        let write = async move {
            let mut written = 0;
            while written < bytes {
                let piece = usize::try_from(bytes - written)
                    .unwrap_or(usize::MAX)
                    .min(4096);
                let left = writer.write_all(vec![0; piece]).await;
                written += (piece - left.len()) as u64;
                if !left.is_empty() {
                    break;
                }
            }
            written
        };
        let publish = consumer::publish(message(subject, reader));
        let (written, published) = futures_util::future::join(write, publish).await;
        (written, published.map_err(told))
    }
}

export!(Sender);
