//! `wasmcloud:messaging@0.3.0`: conversions, and bodies that are streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, ComponentType, Destination, HasSelf, Lift, LinkerInstance, Source, StreamConsumer,
    StreamProducer, StreamReader, StreamResult,
};

use super::outlet::{REQUEST_TIME, Turn, addressed};
use super::plugin::Outlets;
use super::{Message, MessagingError, SubjectError, Verdict};
use crate::capability::in_flight::Permit;
use crate::plugin::{Asker, CallError, Entry, Import, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/messaging/p3",
        world: "wasmcloud:messaging/imports",
        imports: { default: async | store | trappable },
        named_imports: { "wasmcloud:messaging/consumer": crate::plugin::Asker },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasmcloud::messaging::consumer;
use generated::wasmcloud::messaging::types::{BrokerMessage, Error};

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    let asker = import.asker();
    consumer::add_to_linker_instance::<StoreData, HasSelf<StoreData>>(linker, asker, |s| s)
}

impl consumer::Host for StoreData {}

type Own = HasSelf<StoreData>;

impl consumer::HostWithStore<StoreData> for Own {
    async fn request(
        store: &Accessor<StoreData, Self>,
        asker: Asker,
        subject: String,
        mut body: StreamReader<u8>,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Result<BrokerMessage, Error>> {
        let outlets = store.with(|mut store| Outlets::of(store.get()))?;
        let outlet = outlets.to(&asker)?;
        if let Err(error) = addressed(&subject, None) {
            body.close_with(store)?;
            return Ok(Err(MessagingError::from(error).into()));
        }
        let time = timeout_ms.map_or(REQUEST_TIME, |ms| Duration::from_millis(ms.into()));
        let (body, turn) = match collect(store, &outlets, outlet.longest(), body).await? {
            Ok(collected) => collected,
            Err(error) => return Ok(Err(error.into())),
        };
        let answered = async {
            let answer = outlet.request(&subject, body, time, turn).await?;
            let room = outlets.room_for(&answer.body).await?;
            Ok::<_, MessagingError>((answer, room))
        };
        match answered.await {
            Ok((answer, room)) => store
                .with(|store| to_guest(store, answer, Some(room)))
                .map(Ok),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn publish(
        store: &Accessor<StoreData, Self>,
        asker: Asker,
        mut message: BrokerMessage,
    ) -> wasmtime::Result<Result<(), Error>> {
        let outlets = store.with(|mut store| Outlets::of(store.get()))?;
        let outlet = outlets.to(&asker)?;
        if let Err(error) = addressed(&message.subject, message.reply_to.as_deref()) {
            message.body.close_with(store)?;
            return Ok(Err(MessagingError::from(error).into()));
        }
        let collected = collect(store, &outlets, outlet.longest(), message.body).await?;
        let (body, turn) = match collected {
            Ok(collected) => collected,
            Err(error) => return Ok(Err(error.into())),
        };
        let reply_to = message.reply_to.as_deref();
        let published = outlet.publish(&message.subject, body, reply_to, turn);
        Ok(published.await.map_err(Error::from))
    }
}

impl From<MessagingError> for Error {
    fn from(error: MessagingError) -> Self {
        match error {
            MessagingError::Subject(SubjectError::Reserved) => Self::AccessDenied,
            #[cfg(feature = "messaging-nats")]
            MessagingError::Subject(SubjectError::OfHosts) => Self::AccessDenied,
            MessagingError::Subject(_) => Self::SubjectInvalid,
            MessagingError::TimedOut(_) => Self::Timeout,
            MessagingError::Unavailable => Self::BrokerUnavailable,
            MessagingError::TooLarge { .. } => Self::MessageTooLarge,
            MessagingError::Full => Self::QuotaExceeded,
            MessagingError::NobodyThere | MessagingError::Other(_) => {
                Self::Other(error.to_string())
            }
        }
    }
}

fn to_guest(
    store: impl wasmtime::AsContextMut<Data = StoreData>,
    message: Message,
    room: Option<Permit>,
) -> wasmtime::Result<BrokerMessage> {
    let body = Body {
        left: message.body,
        _room: room,
    };
    Ok(BrokerMessage {
        subject: message.subject.to_string(),
        body: StreamReader::new(store, body)?,
        reply_to: message.reply_to.map(|it| it.to_string()),
    })
}

/// Why a handler has not handled a message.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(variant)]
enum HandlerError {
    #[component(name = "reject")]
    Reject,
    #[component(name = "retry")]
    Retry,
    #[component(name = "other")]
    Other(String),
}

/// Calls a handler.
pub(super) async fn handle(entry: &Entry, message: Message) -> Result<Verdict, CallError> {
    let index = entry.function("handle-message").map_err(CallError::Trap)?;
    let handled = entry.callee.invoke_concurrent(
        move |accessor, instance| {
            Box::pin(async move {
                let (function, message) = accessor.with(|mut store| {
                    let function = instance
                        .get_typed_func::<(BrokerMessage,), (Result<(), HandlerError>,)>(
                            &mut store, &index,
                        )?;
                    let message = to_guest(&mut store, message, None)?;
                    wasmtime::error::Ok((function, message))
                })?;
                let (handled,) = function.call_concurrent(accessor, (message,)).await?;
                Ok(handled)
            })
        },
        |_| {},
    );
    Ok(match handled.await? {
        Ok(()) => Verdict::Handled,
        Err(HandlerError::Reject) => Verdict::Rejected,
        Err(HandlerError::Retry) => Verdict::Failed("the handler wants it again".to_owned()),
        Err(HandlerError::Other(error)) => Verdict::Failed(error),
    })
}

/// A body on its way to a guest, and the room that it takes.
struct Body {
    left: Bytes,
    _room: Option<Permit>,
}

impl<D> StreamProducer<D> for Body {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, BytesMut>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if self.left.is_empty() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut destination = destination.as_direct(store, self.left.len());
        let into = destination.remaining();
        let length = into.len().min(self.left.len());
        let piece = self.left.split_to(length);
        if let Some(into) = into.get_mut(..piece.len()) {
            into.copy_from_slice(&piece);
        }
        destination.mark_written(piece.len());
        Poll::Ready(Ok(match self.left.is_empty() {
            true => StreamResult::Dropped,
            false => StreamResult::Completed,
        }))
    }
}

type Collected = Result<Bytes, MessagingError>;

/// Reads a body to its end, as far as it may be that long. It has its turn until somebody else has room for the body.
async fn collect(
    store: &Accessor<StoreData, Own>,
    outlets: &Arc<Outlets>,
    longest: u64,
    body: StreamReader<u8>,
) -> wasmtime::Result<Result<(Bytes, Turn), MessagingError>> {
    let turn = outlets.turn().await;
    let (tell, collected) = oneshot::channel();
    let collector = Collector {
        body: BytesMut::new(),
        longest,
        tell: Some(tell),
    };
    store.with(|store| body.pipe(store, collector))?;
    let collected = collected
        .await
        .map_err(|_| wasmtime::format_err!("a body was lost on its way"))?;
    Ok(collected.map(|body| (body, turn)))
}

/// Collects a body, and tells it when it has ended.
struct Collector {
    body: BytesMut,
    longest: u64,
    tell: Option<oneshot::Sender<Collected>>,
}

impl Collector {
    fn tell(&mut self, collected: Collected) {
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(collected);
        }
    }
}

impl<D> StreamConsumer<D> for Collector {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let piece = source.remaining();
        let length = (self.body.len() + piece.len()) as u64;
        if length > self.longest {
            let most = self.longest;
            self.body = BytesMut::new();
            self.tell(Err(MessagingError::TooLarge { length, most }));
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        self.body.extend_from_slice(piece);
        let read = piece.len();
        source.mark_read(read);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// It is dropped when whoever writes has ended.
impl Drop for Collector {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.body).freeze();
        self.tell(Ok(body));
    }
}
