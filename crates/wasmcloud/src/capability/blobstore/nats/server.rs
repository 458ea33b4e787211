//! A NATS server with JetStream, shared by all workloads that name it in the same way: what is asked of its streams, and what its
//! failures mean.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Config, DirectGetErrorKind, DiscardPolicy, LastRawMessageErrorKind, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use tokio::runtime::Handle;

use super::leases::{Doomed, Leases};
use super::place::NatsPlace;
use crate::capability::blobstore::{BlobError, PIECE, cause};
use crate::capability::nats::{Link, Live, NatsError};
use crate::net::dial::{Dial, NamedBy};
use crate::plugin::PluginError;

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What a message takes beside a chunk.
const HEAD: usize = 4 << 10;

/// A server.
pub(in super::super) struct Server {
    link: Link,
    replicas: usize,
    pub(super) leases: Arc<Leases>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// Connects. A server that is away is waited for in the background.
    pub(in super::super) async fn connect(
        place: &NatsPlace,
        dial: &Dial,
    ) -> Result<Self, PluginError> {
        let link = Link::open(dial, &place.url, NamedBy::Workload, "blobs", PATIENCE).await;
        let link = link.map_err(|error: NatsError| {
            PluginError::new(format!("there are no blobs over NATS: {error}"))
        })?;
        Ok(Self::over(link, place.replicas))
    }

    pub(super) fn over(link: Link, replicas: usize) -> Self {
        Self {
            link,
            replicas,
            leases: Arc::default(),
        }
    }

    /// Why it cannot be used now, for whoever runs the workload.
    pub(super) fn trouble(&self) -> Option<String> {
        self.link.trouble()
    }

    /// How large a chunk is, in bytes.
    pub(super) fn chunk(&self) -> usize {
        let most = self.link.max_payload();
        // Nothing is known of a server that has not answered yet.
        let room = most.saturating_sub(HEAD).max(1 << 10);
        if most == 0 {
            PIECE / 2
        } else {
            room.min(PIECE)
        }
    }

    /// The connection. Nothing is sent to a server that is away: it would only be late.
    pub(super) fn connected(&self) -> Result<Arc<Live>, BlobError> {
        let away = || BlobError::Unavailable("its server cannot be reached".to_owned());
        self.link.live().ok_or_else(away)
    }

    pub(super) async fn stream(&self, name: &str) -> Result<Stream<()>, BlobError> {
        let stream = self.connected()?.context.get_stream_no_info(name).await;
        stream.map_err(|_| BlobError::Other("the name makes no stream of NATS".to_owned()))
    }

    /// Makes a stream. One of this name that is there does as well, also with another number of copies.
    pub(super) async fn make(
        &self,
        name: &str,
        subjects: Vec<String>,
        about: &str,
        own: Config,
    ) -> Result<(), BlobError> {
        let live = self.connected()?;
        let config = Config {
            name: name.to_owned(),
            description: Some(about.to_owned()),
            subjects,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            num_replicas: self.replicas,
            ..own
        };
        use async_nats::jetstream::context::CreateStreamErrorKind::JetStream;
        let made = live.context.create_stream(config).await;
        made.map(drop).or_else(|error| match error.kind() {
            JetStream(told) if told.error_code() == ErrorCode::STREAM_NAME_EXIST => Ok(()),
            _ => Err(fault(&error, BlobError::NoSuchContainer)),
        })
    }

    /// The last message under a subject, as whoever decides about the stream knows it.
    pub(super) async fn last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<StreamMessage>, BlobError> {
        let stream = self.stream(stream).await?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(match error.kind() {
                LastRawMessageErrorKind::JetStream(error) => {
                    of_api(&error, BlobError::NoSuchContainer)
                }
                _ => fault(&error, BlobError::NoSuchContainer),
            }),
        }
    }

    /// A message by its place. Whoever has a copy of the stream answers.
    pub(super) async fn at(&self, stream: &Stream<()>, place: u64) -> Result<StreamMessage, Miss> {
        drop(self.connected().map_err(Miss::Failed)?);
        let got = stream.direct_get(place).await;
        got.map_err(|error| match error.kind() {
            DirectGetErrorKind::NotFound => Miss::Gone,
            DirectGetErrorKind::TimedOut => Miss::Failed(BlobError::Timeout),
            _ => Miss::Failed(fault(&error, BlobError::NoSuchContainer)),
        })
    }

    /// The first message under a subject from a place on.
    pub(super) async fn next(
        &self,
        stream: &Stream<()>,
        subject: &str,
        from: u64,
    ) -> Result<StreamMessage, Miss> {
        drop(self.connected().map_err(Miss::Failed)?);
        let got = stream
            .direct_get_next_for_subject(subject, Some(from))
            .await;
        got.map_err(|error| match error.kind() {
            DirectGetErrorKind::NotFound => Miss::Gone,
            DirectGetErrorKind::TimedOut => Miss::Failed(BlobError::Timeout),
            _ => Miss::Failed(fault(&error, BlobError::NoSuchContainer)),
        })
    }

    /// Puts a message in the place of all others under its subject, if the last one there is at this place; 0: if there is none.
    /// `false`: another one is.
    pub(super) async fn replace(
        &self,
        subject: String,
        payload: Bytes,
        last: u64,
    ) -> Result<bool, BlobError> {
        let live = self.connected()?;
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_ROLLUP, "sub");
        headers.insert(
            NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            last.to_string().as_str(),
        );
        let sent = live
            .context
            .publish_with_headers(subject, headers, payload)
            .await;
        let acknowledged = match sent {
            Ok(acknowledged) => acknowledged.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(false),
            Err(error) => Err(of_publish(&error)),
        }
    }

    /// Removes the messages under a subject; with a place, only those up to it.
    pub(super) async fn purge(
        &self,
        stream: &str,
        subject: &str,
        until: Option<u64>,
    ) -> Result<(), BlobError> {
        let purge = self.stream(stream).await?.purge().filter(subject);
        let purged = match until {
            // The first one that stays.
            Some(last) => purge.sequence(last.saturating_add(1)).await,
            None => purge.await,
        };
        purged.map(drop).map_err(|error| {
            use async_nats::jetstream::stream::PurgeErrorKind;
            match error.kind() {
                PurgeErrorKind::TimedOut => BlobError::Timeout,
                PurgeErrorKind::JetStream(error) => of_api(&error, BlobError::NoSuchContainer),
                PurgeErrorKind::Request => fault(&error, BlobError::NoSuchContainer),
            }
        })
    }

    /// Removes what nobody wants any more, now or when nobody of this host reads it any more. Where that fails, it takes room and
    /// nothing else.
    pub(super) async fn forget(self: &Arc<Self>, doomed: Doomed) {
        if let Some(doomed) = self.leases.doom(doomed) {
            self.remove(doomed).await;
        }
    }

    /// The same for whoever cannot wait for it.
    pub(super) fn remover(self: &Arc<Self>) -> Arc<dyn Fn(Doomed) + Send + Sync> {
        let (this, runtime) = (Arc::clone(self), Handle::current());
        Arc::new(move |doomed| {
            let this = Arc::clone(&this);
            runtime.spawn(async move { this.remove(doomed).await });
        })
    }

    async fn delete_stream(&self, bucket: &str) -> Result<(), BlobError> {
        let live = self.connected()?;
        let deleted = live.context.delete_stream(stream_of(bucket)).await;
        deleted
            .map(drop)
            .map_err(|error| fault(&error, BlobError::NoSuchContainer))
    }

    async fn remove(&self, doomed: Doomed) {
        let removed = match doomed {
            Doomed::Chunks { bucket, nuid } => {
                let (stream, subject) = (stream_of(&bucket), chunks_of(&bucket, &nuid));
                self.purge(&stream, &subject, None).await
            }
            Doomed::Bucket(bucket) => self.delete_stream(&bucket).await,
        };
        match removed {
            Ok(()) | Err(BlobError::NoSuchContainer) => {}
            Err(error) => {
                tracing::warn!(%error, "bytes of a blob that is no more stay on their NATS server");
            }
        }
    }
}

/// The stream of a bucket.
pub(super) fn stream_of(bucket: &str) -> String {
    format!("OBJ_{bucket}")
}

/// The subject of the chunks of an object.
pub(super) fn chunks_of(bucket: &str, nuid: &str) -> String {
    format!("$O.{bucket}.C.{nuid}")
}

/// Why there is no message.
#[derive(Debug)]
pub(super) enum Miss {
    Gone,
    Failed(BlobError),
}

/// What it means that something was not taken.
pub(super) fn of_publish(error: &PublishError) -> BlobError {
    match error.kind() {
        PublishErrorKind::StreamNotFound => BlobError::NoSuchContainer,
        PublishErrorKind::TimedOut => BlobError::Timeout,
        PublishErrorKind::BrokenPipe => {
            BlobError::Unavailable("the connection to its server broke".to_owned())
        }
        PublishErrorKind::MaxPayloadExceeded => {
            BlobError::Unavailable("its server takes only smaller messages now".to_owned())
        }
        _ => fault(error, BlobError::NoSuchContainer),
    }
}

/// What a failure means. `absent` is for a stream that is not there. Of what the server says nothing is repeated.
pub(super) fn fault(error: &(dyn std::error::Error + 'static), absent: BlobError) -> BlobError {
    use async_nats::jetstream::context::{
        CreateStreamError, CreateStreamErrorKind, DeleteStreamError, GetStreamErrorKind,
        RequestError, RequestErrorKind,
    };
    if let Some(error) = cause::<jetstream::Error>(error) {
        return of_api(error, absent);
    }
    if let Some(error) = cause::<CreateStreamError>(error) {
        match error.kind() {
            CreateStreamErrorKind::JetStream(error) => return of_api(&error, absent),
            CreateStreamErrorKind::TimedOut => return BlobError::Timeout,
            _ => {}
        }
    }
    if let Some(error) = cause::<DeleteStreamError>(error)
        && let GetStreamErrorKind::JetStream(error) = error.kind()
    {
        return of_api(&error, absent);
    }
    match cause::<RequestError>(error).map(RequestError::kind) {
        Some(RequestErrorKind::TimedOut) => BlobError::Timeout,
        // Without JetStream, nobody listens.
        Some(RequestErrorKind::NoResponders) => no_jetstream(),
        _ => BlobError::Unavailable("its server does not do what it is asked to".to_owned()),
    }
}

fn no_jetstream() -> BlobError {
    BlobError::Unavailable("its server has no JetStream, or not for this user".to_owned())
}

/// What an answer of JetStream means.
pub(super) fn of_api(error: &jetstream::Error, absent: BlobError) -> BlobError {
    const FULL: [ErrorCode; 7] = [
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ErrorCode::MEMORY_RESOURCES_EXCEEDED,
        ErrorCode::MAXIMUM_STREAMS_LIMIT,
        ErrorCode::STREAM_LIMITS,
        ErrorCode::STREAM_STORE_FAILED,
    ];
    match error.error_code() {
        ErrorCode::STREAM_NOT_FOUND => absent,
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            no_jetstream()
        }
        ErrorCode::CLUSTER_NOT_AVAILABLE
        | ErrorCode::CLUSTER_NOT_ACTIVE
        | ErrorCode::CLUSTER_NO_PEERS => {
            BlobError::Unavailable("its cluster is not ready".to_owned())
        }
        code if FULL.contains(&code) => BlobError::Quota("the store is full".to_owned()),
        code => BlobError::Other(format!("the server answers with {}", code.0)),
    }
}
