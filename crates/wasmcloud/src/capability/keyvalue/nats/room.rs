//! What one tenant keeps: one stream on the server, with a subject for each key and one message for each subject, which is a bucket
//! of NATS as other programs know them.

use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::client::Request;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::RawMessage;
use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::answers::{refused, unanswered};
use super::server::Server;
use super::{scan, stream};
use crate::capability::keyvalue::Fault;
use crate::capability::keyvalue::entries::{Held, Millis};
use crate::plugin::PluginError;

/// From when on a value is gone, in milliseconds since 1970.
const EXPIRES: &str = "Wasmcloud-Expires";
/// The key, where it is too long for a subject.
pub(super) const KEY: &str = "Wasmcloud-Key";
/// How many changes that depend on what is there may be under way from here; those of one key take turns.
const TURNS: usize = 64;

/// What a manifest wants of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Wish {
    /// On how many servers of a cluster everything is.
    pub(in super::super) replicas: Option<usize>,
    /// How many bytes there may be.
    pub(in super::super) size: Option<u64>,
}

/// How entries are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// By whoever has them, which is quick: right where nobody else has them.
    Direct,
    /// By the one of several servers that knows the last of them.
    Leader,
}

/// Whether a write was made that depends on what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// Somebody else has changed the key.
    Raced,
}

/// An entry that is to be written.
pub(super) struct Entry<'a> {
    pub(super) subject: &'a str,
    /// The key, where the subject does not tell it.
    pub(super) key: Option<&'a str>,
    pub(super) value: Bytes,
    pub(super) expires: Option<Millis>,
}

/// What one tenant keeps.
pub(super) struct Room {
    server: Arc<Server>,
    bucket: String,
    wish: Wish,
    /// Known once the stream has been found or made.
    reads: Mutex<Option<Reads>>,
    /// Held while somebody looks for it, so that one does.
    opening: tokio::sync::Mutex<()>,
    turns: Vec<tokio::sync::Mutex<()>>,
    hasher: RandomState,
    /// Whether some entry has been seen that will be over one day.
    ends: AtomicBool,
    sweeper: Mutex<Option<AbortHandle>>,
}

impl Room {
    pub(super) fn new(server: Arc<Server>, bucket: String, wish: Wish) -> Arc<Self> {
        let sweep = server.times().sweep;
        let room = Arc::new(Self {
            server,
            bucket,
            wish,
            reads: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
            hasher: RandomState::new(),
            ends: AtomicBool::new(false),
            sweeper: Mutex::default(),
        });
        let sweeper = tokio::spawn(scan::sweep_now_and_then(Arc::downgrade(&room), sweep));
        let mut held = room.sweeper.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(sweeper.abort_handle());
        drop(held);
        room
    }

    /// Finds or makes the stream. A server that is not ready now is no error; one that will never do it is.
    pub(super) async fn begin(&self) -> Result<(), PluginError> {
        match self.in_time(self.open()).await {
            Err(Fault::Other(told)) => {
                let told = format!("keys and values cannot be kept on the server of `url`: {told}");
                Err(PluginError::new(told))
            }
            Err(Fault::Full(told)) => {
                let told = format!("the server of `url` has no room for keys and values: {told}");
                Err(PluginError::new(told))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// The bucket on the server.
    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn wish(&self) -> Wish {
        self.wish
    }

    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    /// What all subjects begin with.
    pub(super) fn prefix(&self) -> String {
        format!("$KV.{}.", self.bucket)
    }

    /// Whether there was something to be over since this was asked last.
    pub(super) fn had_ends(&self) -> bool {
        self.ends.swap(false, Ordering::Relaxed)
    }

    pub(super) fn has_ends(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// No call waits longer than this.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let patient = self.server.times().patient;
        timeout(patient, work).await.unwrap_or_else(|_| {
            // As where a single question has no answer.
            *self.known() = None;
            Err(Fault::Timeout)
        })
    }

    /// Waits for those from here that change the same key.
    pub(super) async fn turn(&self, subject: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let turns = u64::try_from(self.turns.len()).unwrap_or(1).max(1);
        let turn = usize::try_from(self.hasher.hash_one(subject) % turns).unwrap_or(0);
        Some(self.turns.get(turn)?.lock().await)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Reads>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How to read, when the stream is there.
    pub(super) async fn open(&self) -> Result<Reads, Fault> {
        if let Some(reads) = *self.known() {
            return Ok(reads);
        }
        let _one = self.opening.lock().await;
        if let Some(reads) = *self.known() {
            return Ok(reads);
        }
        let reads = stream::open(self).await.inspect_err(|fault| {
            self.server.complain(fault);
        })?;
        *self.known() = Some(reads);
        Ok(reads)
    }

    /// Asks the server something.
    async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Fault> {
        let live = self.server.connected().await?;
        let client = &live.client;
        let patient = Some(self.server.times().patient);
        let mut request = Request::new().payload(payload).timeout(patient);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = client.send_request(subject, request).await;
        answer.map_err(|error| {
            let fault = unanswered(error.kind(), client.max_payload());
            if matches!(fault, Fault::Unavailable(_) | Fault::Timeout) {
                // The stream may be gone: questions to one that is not there may be left without an answer.
                *self.known() = None;
            }
            fault
        })
    }

    /// Asks for something that the server does with streams. What it refuses with a code is for whoever asks.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        subject: &str,
        question: &impl serde::Serialize,
    ) -> Result<Result<T, async_nats::jetstream::Error>, Fault> {
        let question = serde_json::to_vec(question).map_err(|_| strange())?;
        let subject = format!("$JS.API.{subject}");
        let answer = self.ask(subject, None, question.into()).await?;
        understood(&answer.payload)
    }

    fn refused(&self, error: &async_nats::jetstream::Error) -> Fault {
        if error.error_code() == ErrorCode::STREAM_NOT_FOUND {
            *self.known() = None;
        }
        refused(error)
    }

    /// Whether a question is answered that has no more to it.
    pub(super) async fn answers(&self) -> Result<(), Fault> {
        let question = format!("$JS.API.DIRECT.GET.{}.{}=", self.stream(), self.prefix());
        let answer = self.ask(question, None, Bytes::new()).await?;
        found_directly(answer).map(drop)
    }

    /// What a subject has, also if its time is over.
    pub(super) async fn read(&self, subject: &str) -> Result<Option<Held>, Fault> {
        let found = match self.open().await? {
            Reads::Direct => {
                let question = format!("$JS.API.DIRECT.GET.{}.{subject}", self.stream());
                let answer = self.ask(question, None, Bytes::new()).await?;
                found_directly(answer)?
            }
            Reads::Leader => self.found_by_leader(subject).await?,
        };
        found.map(|found| self.held(found)).transpose()
    }

    /// The number of the last message of the subjects that a filter means.
    pub(super) async fn last(&self, filter: &str) -> Result<Option<u64>, Fault> {
        let found = match self.open().await? {
            Reads::Direct => {
                let subject = format!("$JS.API.DIRECT.GET.{}", self.stream());
                let question = json!({ "last_by_subj": filter }).to_string();
                found_directly(self.ask(subject, None, question.into()).await?)?
            }
            Reads::Leader => self.found_by_leader(filter).await?,
        };
        Ok(found.map(|found| found.sequence))
    }

    async fn found_by_leader(&self, subject: &str) -> Result<Option<StreamMessage>, Fault> {
        #[derive(Deserialize)]
        struct Found {
            message: RawMessage,
        }
        let api = format!("STREAM.MSG.GET.{}", self.stream());
        let question = json!({ "last_by_subj": subject });
        match self.api::<Found>(&api, &question).await? {
            Ok(found) => {
                let message = StreamMessage::try_from(found.message);
                message.map(Some).map_err(|_| strange())
            }
            Err(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn held(&self, found: StreamMessage) -> Result<Held, Fault> {
        let expires = expires(&found.headers)?;
        if expires.is_some() {
            self.has_ends();
        }
        Ok(Held {
            value: found.payload,
            revision: found.sequence,
            expires,
        })
    }

    /// Writes an entry; with `expected` only if the subject has a message of this number, or none where it is 0.
    pub(super) async fn write(
        &self,
        entry: Entry<'_>,
        expected: Option<u64>,
    ) -> Result<Written, Fault> {
        self.open().await?;
        let mut headers = HeaderMap::new();
        if let Some(expected) = expected {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        if let Some(expires) = entry.expires {
            self.has_ends();
            headers.insert(EXPIRES, expires.to_string());
        }
        if let Some(key) = entry.key {
            headers.insert(KEY, key);
        }
        // A value that is as long as the server takes has no room for even an empty head.
        let headers = (!headers.is_empty()).then_some(headers);
        let answer = self.ask(entry.subject.to_owned(), headers, entry.value);
        match understood::<PublishAck>(&answer.await?.payload)? {
            Ok(_) => Ok(Written::Done),
            Err(error) if error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE => {
                Ok(Written::Raced)
            }
            Err(error) => Err(self.refused(&error)),
        }
    }

    /// Takes a message away. One that is not there any more is no error.
    pub(super) async fn remove(&self, revision: u64) -> Result<(), Fault> {
        #[derive(Deserialize)]
        struct Removed {}
        let api = format!("STREAM.MSG.DELETE.{}", self.stream());
        let question = json!({ "seq": revision, "no_erase": true });
        match self.api::<Removed>(&api, &question).await? {
            Ok(Removed {}) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(self.refused(&error)),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let sweeper = self.sweeper.get_mut();
        if let Some(sweeper) = sweeper.unwrap_or_else(PoisonError::into_inner).take() {
            sweeper.abort();
        }
    }
}

/// From when on a message is over.
pub(super) fn expires(headers: &HeaderMap) -> Result<Option<Millis>, Fault> {
    let written = headers.get(EXPIRES);
    let read = written.map(|written| written.as_str().parse());
    read.transpose().map_err(|_| strange())
}

fn found_directly(answer: Message) -> Result<Option<StreamMessage>, Fault> {
    match answer.status {
        None => StreamMessage::try_from(answer)
            .map(Some)
            .map_err(|_| strange()),
        Some(StatusCode::NOT_FOUND) => Ok(None),
        Some(status) => Err(Fault::Other(format!("the server answers with {status}"))),
    }
}

/// It has been taken away before, by itself or by a newer one of its subject.
fn is_gone(error: &async_nats::jetstream::Error) -> bool {
    let gone = [
        ErrorCode::NO_MESSAGE_FOUND,
        ErrorCode::SEQUENCE_NOT_FOUND,
        ErrorCode::STREAM_MESSAGE_DELETE_FAILED,
    ];
    gone.contains(&error.error_code())
}

fn understood<T: DeserializeOwned>(
    answer: &[u8],
) -> Result<Result<T, async_nats::jetstream::Error>, Fault> {
    match serde_json::from_slice(answer) {
        Ok(Response::Ok(answer)) => Ok(Ok(answer)),
        Ok(Response::Err { error }) => Ok(Err(error)),
        Err(_) => Err(strange()),
    }
}

pub(super) fn strange() -> Fault {
    Fault::Other("the server answers with what makes no sense".to_owned())
}
