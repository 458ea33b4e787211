//! `wasmcloud:messaging@0.2.0`: conversions only.

use std::time::Duration;

use wasmtime::component::{HasSelf, LinkerInstance};

use super::plugin::Outlets;
use super::{Message, MessagingError, Verdict};
use crate::plugin::{Asker, CallError, Entry, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/messaging/p2",
        world: "wasmcloud:messaging/imports",
        imports: { default: async | trappable },
        named_imports: { "wasmcloud:messaging/consumer": crate::plugin::Asker },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasmcloud::messaging::consumer;
use generated::wasmcloud::messaging::types::BrokerMessage;

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    let asker = import.asker();
    consumer::add_to_linker_instance::<StoreData, HasSelf<StoreData>>(linker, asker, |s| s)
}

impl consumer::Host for StoreData {
    async fn request(
        &mut self,
        asker: Asker,
        subject: String,
        body: Vec<u8>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<BrokerMessage, String>> {
        let outlet = Outlets::of(self)?.to(&asker)?;
        let time = Duration::from_millis(timeout_ms.into());
        let answer = outlet.request(&subject, body.into(), time, None).await;
        Ok(answer.map(BrokerMessage::from).map_err(told))
    }

    async fn publish(
        &mut self,
        asker: Asker,
        message: BrokerMessage,
    ) -> wasmtime::Result<Result<(), String>> {
        let outlet = Outlets::of(self)?.to(&asker)?;
        let reply_to = message.reply_to.as_deref();
        let body = message.body.into();
        let published = outlet.publish(&message.subject, body, reply_to, None);
        Ok(published.await.map_err(told))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(error: MessagingError) -> String {
    error.to_string()
}

impl From<Message> for BrokerMessage {
    fn from(message: Message) -> Self {
        Self {
            subject: message.subject.to_string(),
            body: message.body.into(),
            reply_to: message.reply_to.map(|it| it.to_string()),
        }
    }
}

/// Calls a handler.
pub(super) async fn handle(entry: &Entry, message: Message) -> Result<Verdict, CallError> {
    let message = BrokerMessage::from(message);
    let (handled,): (Result<(), String>,) = entry.call("handle-message", (message,)).await?;
    Ok(match handled {
        Ok(()) => Verdict::Handled,
        Err(error) => Verdict::Failed(error),
    })
}
